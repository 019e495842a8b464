"""Names of repositories, errors of the Hub as sentences, and life without a network."""

import contextlib
import socket
import time

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from spectralvision.engine import hub
from spectralvision.engine.errors import explain_hub_error
from spectralvision.engine.hub import host, is_reachable, parse_repository
from spectralvision.engine.model_io import brings_weights, find_model, load_model
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


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache, no proxy, and no address of any host; return the hosts asked for."""
    asked = []

    def look_up(name, *_, **__):
        asked.append(name)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return asked


@pytest.mark.parametrize(
    ("name", "repo"),
    [("hf_hub:me/photos", "me/photos"), ("mobilenetv3_small_100", "timm/mobilenetv3_small_100.*")],
)
def test_without_a_network_it_fails_at_once(name, repo, no_network):
    start = time.monotonic()
    with pytest.raises(
        UserError, match=rf"cannot be reached, and {repo} is not in the local cache: check the net"
    ):
        load_model(name)
    assert time.monotonic() - start < 5
    assert len(no_network) == 1  # no request is repeated
    assert constants.HF_HUB_OFFLINE is False


def test_models_of_our_own_need_no_network(no_network):
    load_model("affnet_et.cifar10")
    load_model("resnet18", pretrained=False)
    assert no_network == []


def test_a_search_for_an_address_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    start = time.monotonic()
    assert not is_reachable(seconds=0.1)
    assert time.monotonic() - start < 1.5


def test_what_listens_is_reachable(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", dict)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        assert is_reachable()
    assert not is_reachable()
    monkeypatch.setattr(hub, "getproxies", lambda: {"http": "http://proxy:3128"})
    assert is_reachable()
