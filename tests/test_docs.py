"""The Python blocks of the documents, run as they stand, in a folder that holds what they name."""

import json
import re
from pathlib import Path

import pytest
import torch

import spectralvision as sv
from spectralvision.tasks.loading import describe, save_model
from tests.golden import rule
from tests.pictures import image_folder, picture

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", *(f"docs/guides/{name}.md" for name in ("python", "released-weights", "sharing"))]


def blocks():
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text[: match.start()].count("\n") + 2
            yield pytest.param(document, line, match[1], id=f"{document}:{line}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the documents speak of: a run, photographs, a checkpoint of the authors' names."""
    root = tmp_path_factory.mktemp("docs")
    torch.manual_seed(0)
    model = sv.create_model("affnet_et", num_classes=3)
    describe(model, ["blue", "green", "red"], 64)
    (root / "runs/photos-affnet_et").mkdir(parents=True)
    save_model(model, root / "runs/photos-affnet_et")
    image_folder(root / "photos/train", 4)
    picture("red", 0).save(root / "photo.jpg")
    torch.save({"state_dict": rule.state(rule.load("affnet_256")[1])}, root / "affnet.pt")
    return root


@pytest.mark.filterwarnings("ignore", "error:::spectralvision")
@pytest.mark.parametrize(("document", "line", "code"), list(blocks()))
def test_a_block_runs(document, line, code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if "transformers" in code:
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")  # its Trainer
    names = {"__name__": "documented"}
    exec(compile("\n" * (line - 1) + code, str(ROOT / document), "exec"), names)
    CHECKS.get(next((word for word in CHECKS if word in code), ""), lambda names: None)(names)


def _trained(names):
    assert (Path("runs/mine/model.safetensors")).exists()


def _classified(names):
    assert len(set(names["names"]) & {"blue", "green", "red"}) == 2


def _features(names):
    assert names["vectors"].shape == (2, 576)
    assert [64 // value.shape[-1] for value in names["maps"]] == [2, 4, 8, 16, 32]
    assert names["backbone"].feature_info.reduction() == [4, 8, 16, 32]


def _moved(names):
    before = sv.create_model("local-dir:runs/photos-affnet_et", pretrained=True)
    assert not torch.equal(names["model"].head.fc.weight, before.head.fc.weight)


def _wrapped(names):
    """transformers reads back what it has written, and computes what timm computes on the same weights."""
    from transformers import TimmWrapperForImageClassification as Wrapper

    x = torch.rand(2, 3, 64, 64)
    saved, trained = Wrapper.from_pretrained("runs/trainer/best").eval(), names["model"].eval().cpu()
    torch.testing.assert_close(saved(x).logits, trained(x).logits)
    plain = sv.create_model("local-dir:runs/photos-affnet_et", pretrained=True).eval()
    untouched = Wrapper.from_pretrained("runs/photos-affnet_et").eval()
    torch.testing.assert_close(untouched(x).logits, plain(x))
    assert not torch.equal(trained(x).logits, plain(x))
    assert untouched.config.id2label[2] == "red"


CHECKS = {
    "TrainingArguments": _wrapped,
    "save_model": _trained,
    "topk": _classified,
    "vectors": _features,
    "optimizer.step()": _moved,
}


def test_every_block_of_the_guide_is_found():
    assert sum(block.values[0].endswith("python.md") for block in blocks()) == 6


def test_the_speeds_in_the_readme_are_those_of_the_results():
    from benchmarks.readme_table import BEGIN, END, table

    shown = (ROOT / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == table(ROOT / "benchmarks/results")


def test_the_accuracies_on_their_page_are_those_of_the_results():
    from benchmarks.accuracy_page import BEGIN, END, PAGE, RESULTS, tables

    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == tables(json.loads(RESULTS.read_text())["rows"])
