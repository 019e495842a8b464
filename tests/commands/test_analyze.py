"""`spectralvision analyze`: the page, its pictures and numbers, and what it rejects."""

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from spectralvision.cli import main
from spectralvision.report import analysis_report
from spectralvision.report.analysis_page import Chapter
from tests.helpers.pictures import image_folder
from tests.helpers.run_folders import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "photos", "affnet_et")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 4)


def call(capsys, *words):
    code = main(["analyze", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class References(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.images = 0

    def handle_starttag(self, tag, attrs):
        self.images += tag == "img"
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_the_report_of_a_run(run, photos, tmp_path, capsys):
    out = tmp_path / "report"
    words = ("--model", run, "--data", photos, "--num-images", 6, "--out", out, "--json")
    code, text, _ = call(capsys, *words)
    result = json.loads(text)
    assert code == 0
    assert result["failed"] == {}
    assert set(result["files"]) == {path.name for path in out.iterdir()}

    # 1. The page has all pictures inside, and refers to nothing else
    page = References()
    page.feed((out / "analysis.html").read_text())
    pictures = sorted(out.glob("*.png"))
    assert page.images == len(pictures) >= 14
    assert all(one.startswith("data:image/png;base64,") for one in page.found)
    for path in pictures:
        with Image.open(path) as image:
            assert min(image.size) > 200

    # 2. The numbers are those of the network
    chapters = result["chapters"]
    assert chapters == json.loads((out / "analysis.json").read_text())
    costs = chapters["costs"]
    assert sum(part["macs"] for part in costs["parts"]) == costs["macs"]
    assert costs["milliseconds"] == pytest.approx(
        1e3 * sum(part["seconds"] for part in costs["parts"])
    )
    assert len(chapters["filters"]["adaptivity"]) == 9
    assert not chapters["frequencies"]["is_agreement"]
    assert chapters["loss"]["steps"][10] == 0
    assert min(chapters["features"]["areas"].values()) > 0


def test_images_and_chapters(run, photos, tmp_path, capsys):
    out = tmp_path / "report"
    chosen = ("--chapters", "filters", "frequencies", "--layers", "stages.3.blocks.1.filter")
    code, text, _ = call(
        capsys, "--model", run, "--images", photos, "--num-images", 2, "--out", out, *chosen
    )
    assert code == 0
    assert sorted(path.stem for path in out.glob("*.png")) == [
        "filters",
        "frequencies",
        "groups-stages-3-blocks-1-filter",
        "images-stages-3-blocks-1-filter",
        "masks-stages-3-blocks-1-filter",
    ]
    assert text.splitlines()[:2] == [
        f"written  {out}/analysis.html, 5 pictures",
        "images   2 of 12 image files",
    ]
    assert json.loads((out / "analysis.json").read_text())["frequencies"]["is_agreement"]


def test_one_image(photos, tmp_path, capsys):
    """What varies by image is left out, which the report says; analysis.json is standard JSON."""
    out = tmp_path / "report"
    words = ("--model", "affnet_et.tiny_imagenet", "--images", photos / "red" / "0.png")
    code, text, _ = call(capsys, *words, "--out", out, "--chapters", "filters", "loss")
    assert code == 0
    assert text.splitlines()[2] == (
        "filters  At least two images are needed to measure how much the masks vary by image."
    )
    assert not list(out.glob("images-*.png"))
    page = (out / "analysis.html").read_text()
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)

    def reject(constant):
        raise AssertionError(constant)

    numbers = json.loads((out / "analysis.json").read_text(), parse_constant=reject)
    assert numbers["filters"]["adaptivity"] is None
    assert len(numbers["filters"]["zeroed"]) == 9


def test_numbers_that_are_not_finite_become_null():
    numbers = {"loss": [1.0, float("inf")], "by_layer": {"a": float("nan"), "b": (2, "c")}}
    assert Chapter("id", "Title", "", numbers=numbers).numbers == {
        "loss": [1.0, None],
        "by_layer": {"a": None, "b": [2, "c"]},
    }


def test_a_model_without_weights_and_images(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--model", "svt_h_s", "--random-weights", "--input-size", 64, "--num-images", 1)
    for name in ("svt_h_s", "svt_h_s-2"):
        code, text, _ = call(capsys, *words, "--chapters", "bands", "activation")
        assert code == 0
        assert text.startswith(f"written  analysis/{name}/analysis.html")
    numbers = json.loads((tmp_path / "analysis/svt_h_s/analysis.json").read_text())
    energy = numbers["bands"]["energy"]
    assert len(energy) == 7
    assert all(len(one["before"]) == len(one["after"]) == 6 for one in energy.values())
    assert "random weights" in (tmp_path / "analysis/svt_h_s/analysis.html").read_text()


def test_a_chapter_that_fails_is_reported(run, photos, tmp_path, capsys, monkeypatch):
    def fail(subject, layers):
        raise ZeroDivisionError("no luck")

    monkeypatch.setitem(analysis_report.CHAPTERS, "loss", (fail, "Loss landscape"))
    out = tmp_path / "report"
    words = ("--model", run, "--images", photos, "--num-images", 1, "--out", out)
    code, _, error = call(capsys, *words, "--chapters", "loss", "frequencies")
    assert code == 1
    assert error.splitlines()[-1] == "loss could not be computed: no luck"
    page = (out / "analysis.html").read_text()
    assert "This could not be computed (no luck)." in page
    assert "frequencies.png" in {path.name for path in out.iterdir()}


def test_the_model_is_not_changed(run, photos, tmp_path, capsys):
    before = (run / "model.safetensors").read_bytes()
    files = sorted(path.name for path in run.iterdir())
    threads = torch.get_num_threads()
    assert call(capsys, "--model", run, "--images", photos, "--out", tmp_path / "out")[0] == 0
    assert (run / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in run.iterdir()) == files
    assert torch.get_num_threads() == threads


REJECTED = {
    "": "analyze needs --model: see `spectralvision analyze --help`.",
    "--model affnet_tt": "affnet_tt is neither a run folder nor the name of a model: did you mean "
    "affnet_t or affnet_et or affnet?",
    "--model RUN --random-weights": "--random-weights is for the name of a model, but RUN comes "
    "with weights: leave it out.",
    "--model RUN --images PHOTOS --data PHOTOS": "analyze takes either --images or --data.",
    "--model RUN --images none.png": "none.png does not exist.",
    "--model RUN --images notes.png": "notes.png cannot be read as an image (no image format)",
    "--model RUN --data none": "none does not exist: ",
    "--model RUN --split val": "--split needs --data.",
    "--model RUN --data PHOTOS --split dev": "photos has no split 'dev': it has all.",
    "--model RUN --data digits": "digits has 10 classes that RUN does not know",
    "--model RUN --num-images 0": "--num-images 0 should be ",
    "--model RUN --input-size 0": "--input-size 0 should be ",
    "--model RUN --input-size 9 9 9": "--input-size takes one side, or height and width.",
    "--model RUN --layers stages.9": "--layers stages.9: the mixers are stages.2.blocks.0.filter, ",
    "--model RUN --chapters all": "--chapters all should be costs, filters, bands, features, "
    "frequencies, activation or loss.",
    "--model RUN --out PHOTOS": "PHOTOS exists and is not an empty folder: name another with "
    "--out.",
    "--model RUN --device cuda": "",
    "--model test_resnet --random-weights --layers x": "test_resnet has no layers for --layers: "
    "leave it out.",
}


@pytest.mark.parametrize("words", REJECTED)
def test_bad_input(words, run, photos, tmp_path, capsys, monkeypatch):
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.png").write_text("no image")
    names = {"RUN": str(run), "PHOTOS": str(photos)}
    code, out, error = call(capsys, *(names.get(word, word) for word in words.split()))
    expected = REJECTED[words].replace("RUN", str(run)).replace("PHOTOS", str(photos))
    assert (code, out) == (2, "")
    assert len(error.splitlines()) == 1
    assert error.startswith(f"spectralvision: error: {expected}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.png"]
