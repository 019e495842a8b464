"""Upload a run and load it again, over HTTP on this machine; what the Hub rejects."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from spectralvision.engine.model_io import load_model
from tests.helpers.hub_server import TOKEN, serving
from tests.helpers.pictures import image_folder
from tests.helpers.run_folders import FILES

COMMANDS = """
import contextlib, io, json, os, sys
from spectralvision.cli import main
done = []
for words, environment in json.load(sys.stdin):
    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    done.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def hub():
    with serving() as hub:
        yield hub


def run_commands(hub, home, *commands):
    """Return (exit code, output, errors) of commands in one process whose Hub is `hub`."""
    given = [([str(word) for word in command[0]], command[1]) for command in commands]
    variables = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=json.dumps(given),
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_push_to_a_repository_and_load_it(run, hub, tmp_path):
    photos = image_folder(tmp_path / "photos", 4)
    name = "hf_hub:me/photos"
    commands = [
        (["push", run, "me/photos", "--license", "apache-2.0", "--json"], {}),
        (["predict", photos, "--model", name, "--top-k", "3", "--csv", "--workers", "0"], {}),
        (["predict", photos, "--model", run, "--top-k", "3", "--csv", "--workers", "0"], {}),
        (["evaluate", "--model", name, "--data", photos, "--json", "--workers", "0"], {}),
        (
            [
                "train",
                "--data",
                photos,
                "--model",
                name,
                "--epochs",
                "1",
                "--workers",
                "0",
                "--out",
                tmp_path / "run",
            ],
            {},
        ),
        (
            ["train", "--data", photos, "--model", name, "--dry-run", "--json"],
            {"HF_HUB_OFFLINE": "1"},
        ),
    ]
    pushed, there, here, evaluated, trained, planned = run_commands(
        hub, tmp_path / "home", *commands
    )
    result = json.loads(pushed[1])
    assert (pushed[0], result["url"], result["visibility"]) == (
        0,
        f"{hub.url}/me/photos",
        "private",
    )
    assert hub.repos["me/photos"]["private"]
    # Neither run.json, which holds paths, nor anything else
    assert sorted(hub.of("me/photos")) == FILES
    for file in FILES[1:]:
        assert hub.of("me/photos")[file] == (run / file).read_bytes()
    assert (there[0], there[1]) == (0, here[1])
    assert (evaluated[0], json.loads(evaluated[1])["images"]) == (0, 12)
    assert trained[0] == 0, trained[2]
    assert planned[0] == 0, planned[2]  # from the local cache
    assert json.loads(planned[1])["config"]["epochs"] == 15  # as from any pretrained weights


def test_transformers_reads_the_repository(run, hub, tmp_path):
    pytest.importorskip("transformers")
    hub.of("me/wrapped").update({file: (run / file).read_bytes() for file in FILES[1:]})
    code = """
import spectralvision, torch
from transformers import TimmWrapperForImageClassification
model = TimmWrapperForImageClassification.from_pretrained("me/wrapped")
print(model.config.id2label, model.eval()(torch.ones(1, 3, 32, 32)).logits.tolist())
"""
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "{0: 'blue', 1: 'green', 2: 'red'}" in done.stdout
    logits = load_model(str(run)).eval()(torch.ones(1, 3, 32, 32))
    assert json.loads(done.stdout.partition("} ")[2]) == [
        pytest.approx(logits[0].tolist(), abs=1e-5)
    ]


def test_an_existing_repository_keeps_its_card_and_its_visibility(run, hub, tmp_path):
    hub.of("me/open")["README.md"] = b"edited"
    hub.of("me/open")["notes.txt"] = b"mine"
    hub.of("me/closed", private=True)
    words = ["push", run, "me/open"]
    rejected, kept, written, closed = run_commands(
        hub,
        tmp_path,
        (words, {}),
        ([*words, "--public"], {}),
        ([*words, "--public", "--replace-card", "--json"], {}),
        (["push", run, "me/closed", "--public"], {}),
    )
    assert rejected[0] == 2
    assert (
        f"me/open is public: add --public, or change it in its settings at {hub.url}."
        in rejected[2]
    )
    assert (kept[0], "README.md" in kept[1]) == (0, False)
    assert "the model card of hf_hub:me/open was kept; --replace-card writes a new one" in kept[2]
    assert (written[0], json.loads(written[1])["card_kept"]) == (0, False)
    assert hub.of("me/open")["README.md"].startswith(b"---\n")
    assert hub.of("me/open")["notes.txt"] == b"mine"
    assert "me/closed is private: remove --public" in closed[2]
    assert hub.of("me/closed") == {}


def test_each_error_of_the_hub_is_one_sentence(run, hub, tmp_path):
    hub.of("me/hidden", private=True)["config.json"] = b"{}"
    hub.of("me/empty")
    hub.of("me/other")["config.json"] = (run / "config.json").read_bytes()
    hub.of("me/other")["model.safetensors"] = b"broken"
    login = "run `hf auth login`, or set HF_TOKEN to a token"
    predict = ["predict", run / "config.json", "--model"]
    cases = [
        (
            (["push", run, "you/photos"], {}),
            f"your token may not write to you/photos: {login} that may.",
        ),
        (
            ([*predict, "hf_hub:me/none"], {}),
            f"{hub.url} has no repository me/none, or it is private and your token has no access:",
        ),
        (([*predict, "hf_hub:me/empty"], {}), "me/empty is not a model in timm's format"),
        (([*predict, "hf_hub:me/empty@v9"], {}), "me/empty@v9 has no such revision."),
        (([*predict, "hf_hub:me/other"], {}), "the weights in me/other cannot be used ("),
        (
            (["train", "--data", "digits", "--model", "hf_hub:me/none", "--dry-run"], {}),
            "has no repository me/none",
        ),
        (
            (["push", run, "me/photos"], {"HF_TOKEN": "stale"}),
            f"{hub.url} does not accept your token: {login} that is valid.",
        ),
        (([*predict, "hf_hub:me/hidden"], {}), "has no repository me/hidden, or it is private"),
        (
            (["push", run, "me/photos"], {"HF_TOKEN": ""}),
            f"there is no token for {hub.url}: {login} that may write.",
        ),
    ]
    for (_, sentence), (code, out, err) in zip(
        cases, run_commands(hub, tmp_path, *[case for case, _ in cases]), strict=True
    ):
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert sentence in err.strip().splitlines()[-1]
        assert err.strip().splitlines()[-1].startswith("spectralvision: error: ")


def test_without_a_network(run, tmp_path):
    class Nowhere:
        url = "http://127.0.0.1:9"

    pushed, loaded = run_commands(
        Nowhere,
        tmp_path,
        (["push", run, "me/photos"], {}),
        (
            ["predict", run / "config.json", "--model", "hf_hub:me/photos"],
            {},
        ),  # huggingface_hub tries for some time
    )
    assert pushed[0] == loaded[0] == 2
    assert re.search(
        r"http://127\.0\.0\.1:9 cannot be reached: check the network connection\.$",
        pushed[2],
    )
    assert (
        "cannot be reached, and me/photos is not in the local cache: check the network" in loaded[2]
    )
