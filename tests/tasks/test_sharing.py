"""A run to a repository and back, over HTTP on this machine; the same into a folder; what cannot be sent."""

import json
import os
import re
import subprocess
import sys

import pytest
import timm
import torch
from huggingface_hub import ModelCard

import spectralvision as sv
from spectralvision.cli import main
from spectralvision.runs import write_json
from spectralvision.tasks import sharing
from spectralvision.tasks.loading import describe, load_model, save_model
from tests.hub_server import TOKEN, serving
from tests.pictures import image_folder

CLASSES = ["blue", "green", "red"]
FILES = ["README.md", "config.json", "model.safetensors"]
RECORD = {
    "status": "finished",
    "data": {"name": "torch/cifar10", "images": {"train": 24, "val": 6}},
    "results": {"val_top1": 0.83333, "best_epoch": 3},
}
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
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "photos-test_resnet", "test_resnet")


def made(folder, name, record=RECORD):
    torch.manual_seed(1)
    model = sv.create_model(name, num_classes=3)
    torch.nn.init.normal_(model.get_classifier().weight)
    describe(model, CLASSES, 32)
    folder.mkdir()
    save_model(model, folder)
    write_json(folder / "run.json", record)
    (folder / "metrics.csv").write_text("epoch\n")
    return folder


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """(exit code, standard output, standard error) of `push` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def words(*more):
        capsys.readouterr()
        return main(["push", *map(str, more)]), *capsys.readouterr()

    return words


@pytest.fixture(scope="module")
def hub():
    with serving() as hub:
        yield hub


def process(hub, home, *commands):
    """The same of several commands in one process that takes `hub` for the Hugging Face Hub."""
    given = [([str(word) for word in command[0]], command[1]) for command in commands]
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=json.dumps(given),
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_to_a_repository_and_back(run, hub, tmp_path):
    photos = image_folder(tmp_path / "photos", 4)
    name = "hf_hub:me/photos"
    commands = [
        (["push", run, "me/photos", "--license", "apache-2.0", "--json"], {}),
        (["predict", photos, "--model", name, "--top-k", "3", "--csv", "--workers", "0"], {}),
        (["predict", photos, "--model", run, "--top-k", "3", "--csv", "--workers", "0"], {}),
        (["evaluate", "--model", name, "--data", photos, "--json", "--workers", "0"], {}),
        (
            ["train", "--data", photos, "--model", name, "--epochs", "1", "--workers", "0", "--out", tmp_path / "run"],
            {},
        ),
        (["train", "--data", photos, "--model", name, "--dry-run", "--json"], {"HF_HUB_OFFLINE": "1"}),
    ]
    pushed, there, here, judged, trained, planned = process(hub, tmp_path / "home", *commands)
    result = json.loads(pushed[1])
    assert (pushed[0], result["url"], result["visibility"]) == (0, f"{hub.url}/me/photos", "private")
    assert hub.repos["me/photos"]["private"]
    assert sorted(hub.of("me/photos")) == FILES  # neither run.json, which holds paths, nor anything else
    for file in FILES[1:]:
        assert hub.of("me/photos")[file] == (run / file).read_bytes()
    assert (there[0], there[1]) == (0, here[1])
    assert (judged[0], json.loads(judged[1])["images"]) == (0, 12)
    assert trained[0] == 0, trained[2]
    assert json.loads(planned[1])["recipe"]["epochs"] == 15  # as from any trained weights, and from the copy here


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
    said = subprocess.run([sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "{0: 'blue', 1: 'green', 2: 'red'}" in said.stdout
    logits = load_model(str(run)).eval()(torch.ones(1, 3, 32, 32))
    assert json.loads(said.stdout.partition("} ")[2]) == [pytest.approx(logits[0].tolist(), abs=1e-5)]


def test_what_is_there_keeps_its_card_and_its_visibility(run, hub, tmp_path):
    hub.of("me/open")["README.md"] = b"edited"
    hub.of("me/open")["notes.txt"] = b"mine"
    hub.of("me/closed", private=True)
    words = ["push", run, "me/open"]
    refused, kept, written, closed = process(
        hub,
        tmp_path,
        (words, {}),
        ([*words, "--public"], {}),
        ([*words, "--public", "--replace-card", "--json"], {}),
        (["push", run, "me/closed", "--public"], {}),
    )
    assert refused[0] == 2
    assert f"me/open is public: give --public, or change it in its settings at {hub.url}." in refused[2]
    assert (kept[0], "README.md" in kept[1]) == (0, False)
    assert "the card of hf_hub:me/open was left as it is; --replace-card writes a new one" in kept[2]
    assert (written[0], json.loads(written[1])["card_kept"]) == (0, False)
    assert hub.of("me/open")["README.md"].startswith(b"---\n")
    assert hub.of("me/open")["notes.txt"] == b"mine"
    assert "me/closed is private: leave --public out" in closed[2]
    assert hub.of("me/closed") == {}


def test_what_the_network_refuses_is_one_sentence(run, hub, tmp_path):
    hub.of("me/hidden", private=True)["config.json"] = b"{}"
    hub.of("me/empty")
    hub.of("me/other")["config.json"] = (run / "config.json").read_bytes()
    hub.of("me/other")["model.safetensors"] = b"broken"
    login = "run `hf auth login`, or set HF_TOKEN to a token"
    predict = ["predict", run / "config.json", "--model"]
    cases = [
        ((["push", run, "you/photos"], {}), f"your token may not write to you/photos: {login} that may."),
        (([*predict, "hf_hub:me/none"], {}), f"{hub.url} has no repository me/none, or a private one that"),
        (([*predict, "hf_hub:me/empty"], {}), "me/empty is not a model in timm's format"),
        (([*predict, "hf_hub:me/empty@v9"], {}), "me/empty@v9 has no such revision."),
        (([*predict, "hf_hub:me/other"], {}), "the weights in me/other cannot be used ("),
        ((["train", "--data", "digits", "--model", "hf_hub:me/none", "--dry-run"], {}), "has no repository me/none"),
        (
            (["push", run, "me/photos"], {"HF_TOKEN": "stale"}),
            f"{hub.url} does not accept your token: {login} that is valid.",
        ),
        (([*predict, "hf_hub:me/hidden"], {}), "has no repository me/hidden, or a private one"),
        ((["push", run, "me/photos"], {"HF_TOKEN": ""}), f"there is no token for {hub.url}: {login} that may write."),
    ]
    for (_, sentence), (code, out, err) in zip(
        cases, process(hub, tmp_path, *[case for case, _ in cases]), strict=True
    ):
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert sentence in err.strip().splitlines()[-1]
        assert err.strip().splitlines()[-1].startswith("spectralvision: error: ")


def test_without_a_network(run, tmp_path):
    class Nowhere:
        url = "http://127.0.0.1:9"

    pushed, loaded = process(
        Nowhere,
        tmp_path,
        (["push", run, "me/photos"], {}),
        (["predict", run / "config.json", "--model", "hf_hub:me/photos"], {}),  # huggingface_hub tries for some time
    )
    assert pushed[0] == loaded[0] == 2
    assert re.search(r"http://127\.0\.0\.1:9 cannot be reached \(.*\): see whether there is a network\.$", pushed[2])
    assert "cannot be reached, and me/photos was not loaded before: see whether there is" in loaded[2]


def test_a_folder_is_whole_and_read_by_timm_and_transformers(run, call, tmp_path):
    code, out, err = call(run, "./deep/shared")
    assert (code, err) == (0, "")
    assert "sent     local-dir:deep/shared\n" in out
    folder = tmp_path / "deep" / "shared"
    assert sorted(os.listdir(folder)) == FILES
    assert os.listdir(tmp_path / "deep") == ["shared"]
    assert (folder.stat().st_mode & 0o777, (folder / "README.md").stat().st_mode & 0o777) == (0o755, 0o644)
    x = torch.rand(2, 3, 32, 32)
    expected = load_model(str(run)).eval()(x)
    torch.testing.assert_close(timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(x), expected)
    transformers = pytest.importorskip("transformers")
    wrapped = transformers.TimmWrapperForImageClassification.from_pretrained(folder).eval()
    torch.testing.assert_close(wrapped(x).logits, expected)
    assert wrapped.config.id2label[1] == "green"
    assert call(run, "local-dir:flat")[0] == 0
    assert call("local-dir:flat", "./again")[0] == 0  # what was pushed can be pushed on
    assert "No figure on its quality" in (tmp_path / "again" / "README.md").read_text()


def test_a_card_says_what_the_run_knows(run, call, tmp_path):
    code, out, _ = call(run, "me/photos", "--license", "cc-by-4.0", "--dry-run", "--json")
    assert code == 0
    result = json.loads(out)
    card = ModelCard(result["card"])
    assert card.data.to_dict() == {
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "license": "cc-by-4.0",
        "datasets": ["cifar10"],
        "metrics": ["accuracy"],
        "tags": ["image-classification", "timm", "transformers", "spectralvision"],
        "model-index": [
            {
                "name": "photos",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": "torch/cifar10", "type": "cifar10", "split": "validation"},
                        "metrics": [{"type": "accuracy", "value": 0.8333, "name": "top-1"}],
                    }
                ],
            }
        ],
    }
    assert "| val | 6 | 83.33% |" in card.text
    assert "Tells 3 classes apart: blue, green, red." in card.text
    assert 'timm.create_model("hf_hub:me/photos", pretrained=True)' in card.text
    assert "`spectralvision predict PHOTO.jpg --model hf_hub:me/photos`" in card.text
    assert 'TimmWrapperForImageClassification.from_pretrained("me/photos")' in card.text
    assert [(file["name"], file["bytes"]) for file in result["files"]] == [
        ("README.md", len(result["card"].encode())),
        *((file, (run / file).stat().st_size) for file in FILES[1:]),
    ]
    assert os.listdir(tmp_path) == []


def test_a_card_of_ours_can_be_followed(call, tmp_path):
    made(tmp_path / "run", "affnet_et", {"status": "interrupted", "data": {"name": "photos"}})
    assert call(tmp_path / "run", "./shared")[0] == 0
    text = (tmp_path / "shared" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {}
    exec(code, names)  # from the folder beside, as it says
    assert len(code.splitlines()) == 3
    assert names["names"] == CLASSES
    assert "datasets" not in text
    assert "license:" not in text
    assert "None is stated: ask whoever shared these weights" in text
    assert "The training had not ended" in text


def test_a_dry_run_needs_neither_token_nor_network(run, call, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "get_token", lambda: None)
    monkeypatch.setattr(sharing, "HfApi", None)
    code, out, err = call(run, "me/photos", "--dry-run", "--public")
    assert (code, err) == (0, "")
    assert re.match(r"---\n(.+\n)*library_name: timm\n", out)
    assert re.search(r"^model\.safetensors  \d", out, re.MULTILINE)
    assert "would go to hf_hub:me/photos, public; nothing was sent (--dry-run)" in out
    assert call(run, "./shared", "--dry-run")[0] == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", r"push needs a run folder and where to send it"),
        ("RUN", r"push needs a run folder and where to send it"),
        ("nothing me/x", r"nothing is not a run folder: push takes one that train or convert has written\."),
        ("affnet_et me/x", r"affnet_et is not a run folder"),
        ("full me/x", r"full is not a run folder: it has no config\.json\."),
        ("RUN photos", r"photos does not name a repository: OWNER/NAME does"),
        ("RUN me/a/b", r"me/a/b does not name a repository"),
        ("RUN me/a@v1", r"push sends to the main revision: leave @v1 out\."),
        ("RUN full", r"full exists and is not an empty folder: name another\."),
        ("RUN full/notes.txt", r"name another; hf_hub:full/notes\.txt is the repository of that name\."),
        ("RUN ./full", r"\./full exists and is not an empty folder: name another\."),
        ("RUN ./full/notes.txt", r"notes\.txt exists and is not an empty folder"),
        ("RUN ./full/notes.txt/x", r"full/notes\.txt/x cannot be written: name another \("),
        ("RUN me/x --licence mit", r"no option --licence: did you mean --license\?"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_everything(words, sentence, run, call, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    code, out, err = call(*words.replace("RUN", str(run)).split())
    assert (code, out) == (2, "")
    assert re.search(rf"^spectralvision: error: .*{sentence}", err), err
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["full", "full/notes.txt"]


def test_weights_that_cannot_be_read_are_not_sent(run, call, tmp_path):
    broken = made(tmp_path / "broken", "test_resnet")
    (broken / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:1000])
    assert "the weights in" in call(broken, "./shared")[2]
    (broken / "model.safetensors").unlink()
    assert "broken is not a run folder: it has no model.safetensors." in call(broken, "./shared")[2]
    assert not (tmp_path / "shared").exists()
