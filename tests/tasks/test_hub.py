"""Names of repositories, and errors as sentences."""

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from spectralvision.runs import UserError
from spectralvision.tasks.hub import explained, host, repository
from spectralvision.tasks.loading import brings_weights, find_model


@pytest.mark.parametrize("name", ["me/photos", "hf_hub:me/photos", "hf-hub:me/photos"])
def test_a_repository_by_any_of_its_names(name):
    assert repository(name) == "me/photos"


def test_timm_gets_its_own_word():
    assert find_model("hf_hub:me/photos@v1") == "hf-hub:me/photos@v1"
    assert brings_weights("hf_hub:me/photos")
    assert not brings_weights("affnet_et")


@pytest.mark.parametrize(
    "name", ["photos", "me/", "/photos", "a/b/c", "me/a b", "me/a--b", "me/x.git", "me/p@", "m/p@a@b"]
)
def test_what_is_no_repository_is_refused(name):
    with pytest.raises(UserError, match=r"does not name a repository: OWNER/NAME does"):
        find_model(f"hf_hub:{name}")


def test_errors_are_explained():
    assert "cannot be reached, and me/x was not loaded before" in explained(LocalEntryNotFoundError("gone"), "me/x")
    assert (
        explained(ConnectionError("refused."), "me/x")
        == f"{host()} cannot be reached (refused): see whether there is a network"
    )
    assert explained(ValueError("no such licence"), "me/x") == f"{host()} refuses me/x (no such licence)"
