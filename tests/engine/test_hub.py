"""Names of repositories, and errors of the Hub as sentences."""

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from spectralvision.engine.errors import explain_hub_error
from spectralvision.engine.hub import host, parse_repository
from spectralvision.engine.model_io import brings_weights, find_model
from spectralvision.runs import UserError


@pytest.mark.parametrize("name", ["me/photos", "hf_hub:me/photos", "hf-hub:me/photos"])
def test_a_repository_by_any_of_its_names(name):
    assert parse_repository(name) == "me/photos"


def test_timm_gets_its_own_prefix():
    assert find_model("hf_hub:me/photos@v1") == "hf-hub:me/photos@v1"
    assert brings_weights("hf_hub:me/photos")
    assert not brings_weights("affnet_et")


@pytest.mark.parametrize(
    "name",
    ["photos", "me/", "/photos", "a/b/c", "me/a b", "me/a--b", "me/x.git", "me/p@", "m/p@a@b"],
)
def test_other_names_are_rejected(name):
    with pytest.raises(UserError, match=r"is not the name of a repository: use OWNER/NAME"):
        find_model(f"hf_hub:{name}")


def test_errors_are_explained():
    assert "cannot be reached, and me/x is not in the local cache" in explain_hub_error(
        LocalEntryNotFoundError("gone"), "me/x"
    )
    assert (
        explain_hub_error(ConnectionError("refused."), "me/x")
        == f"{host()} cannot be reached (refused): check the network connection"
    )
    assert (
        explain_hub_error(ValueError("no such licence"), "me/x")
        == f"{host()} rejects me/x (no such licence)"
    )
