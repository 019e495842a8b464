"""What the page of `spectralvision demo` shows, without the page."""

import numpy as np
import pytest
import torch
from PIL import Image

from spectralvision.analysis.frequencies import radial_frequency
from spectralvision.cli import main
from spectralvision.demo.examples import write_examples
from spectralvision.demo.explorer import Explorer, keep_frequencies, open_upload
from spectralvision.engine.model_io import load_model
from spectralvision.mixers import AdaptiveFrequencyFilter
from spectralvision.runs import UserError
from tests.helpers.run_folders import make_run
from tests.helpers.scenes import coco_folder, mask_folder


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def explorer():
    return Explorer(["affnet_et.tiny_imagenet"])


def test_a_classifier(explorer, examples):
    name = explorer.names[0]
    found = explorer.explore(name, examples[0])
    assert len(found.scores) == 5
    values = list(found.scores.values())
    assert values == sorted(values, reverse=True)
    assert found.seen.size == (480, 480)
    assert found.answer.size == (480, 480)
    assert min(found.layer.size) > 300
    assert found.seconds > 0
    assert len(explorer.layers(name)) == 9
    assert not explorer.has_orientations(name, explorer.layers(name)[0])
    other = explorer.explore(name, examples[0], layer=explorer.layers(name)[-1])
    assert np.asarray(other.layer).shape != np.asarray(found.layer).shape or not np.array_equal(
        np.asarray(other.layer), np.asarray(found.layer)
    )
    assert other.scores == found.scores


def test_the_answer_is_that_of_predict(explorer, examples, capsys):
    found = explorer.explore(explorer.names[0], examples[1])
    assert main(["predict", str(examples[1]), "--top-k", "5", "--json"]) == 0
    import json

    (predicted,) = json.loads(capsys.readouterr().out)["predictions"]
    expected = {one["class"]: one["probability"] for one in predicted["classes"]}
    assert list(found.scores) == list(expected)
    assert list(found.scores.values()) == pytest.approx(list(expected.values()), abs=1e-5)


def test_removed_frequencies_change_image_and_answer(explorer, examples):
    name, plate = explorer.names[0], examples[2]
    whole = explorer.explore(name, plate)
    low = explorer.explore(name, plate, highest=0.1)
    high = explorer.explore(name, plate, lowest=0.5)
    images = [np.asarray(one.seen, float) for one in (whole, low, high)]
    assert images[1].std() < 0.5 * images[0].std()
    assert images[2].std() < images[0].std()
    assert low.scores != whole.scores


def test_frequencies_are_kept_between_two_cutoffs():
    columns = torch.arange(64)
    waves = [torch.cos(2 * torch.pi * cycles * columns / 64) for cycles in (2, 8, 24)]
    pixels = (0.5 + sum(waves)).expand(3, 64, 64)
    assert keep_frequencies(pixels, 0, 1.5) is pixels
    kept = keep_frequencies(pixels, 0.15, 0.5)  # 8 of 32 cycles
    torch.testing.assert_close(kept, (0.5 + waves[1]).expand(3, 64, 64), atol=1e-5, rtol=0)


def test_frequencies_are_those_of_the_input_of_the_model(explorer, tmp_path):
    """Half of the input's Nyquist frequency, wherever that is in the upload."""
    large = tmp_path / "large.png"
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), "uint8")
    Image.fromarray(noise).save(large)
    model = explorer.load(explorer.names[0])
    batch, pixels = model.prepare(open_upload(large), 0, 0.5)
    assert batch.shape[1:] == pixels.shape == (3, *model.preprocessing["input_size"][1:])
    energy = torch.fft.fft2(pixels.double()).abs().square().mean(dim=0)
    outside = radial_frequency(*pixels.shape[1:]) > 0.5
    assert float(energy[outside].sum() / energy.sum()) < 1e-10
    assert float(energy[~outside][1:].sum() / energy.sum()) > 1e-3


def test_scattering_layers_show_their_bands(tmp_path, examples):
    run = make_run(tmp_path / "run", "svt_h_s")
    explorer = Explorer([str(run)])
    assert len(explorer.layers(str(run))) == 7
    assert explorer.has_orientations(str(run), explorer.layers(str(run))[0])
    pictures = [
        np.asarray(explorer.explore(str(run), examples[0], orientation=one).layer) for one in (0, 3)
    ]
    assert pictures[0].shape[2] == 3
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_models_of_other_tasks(task, tmp_path, examples):
    write = mask_folder if task == "segmentation" else coco_folder
    data = tmp_path / "data"
    write(data)
    run = tmp_path / "run"
    words = ["train", task, "--data", data, "--model", "affnet_et", "--pretrained", "none",
             "--epochs", "1", "--input-size", "64", "--workers", "0", "--out", run]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    explorer = Explorer([str(run)])
    assert not explorer.is_classifier(str(run))
    found = explorer.explore(str(run), examples[0])
    assert found.scores == {}
    assert max(found.answer.size) >= 256
    assert found.layer is not None
    low = explorer.explore(str(run), examples[0], highest=0.05)
    difference = np.asarray(low.seen, float) - np.asarray(found.seen, float)
    assert np.abs(difference).mean() > 2


def test_models_of_other_channels_are_rejected(tmp_path):
    run = make_run(tmp_path / "gray", "test_resnet", in_chans=1)
    with pytest.raises(UserError, match="this model takes images of 1 channels, but 3 are"):
        Explorer([str(run)])
    assert Explorer(["affnet_et.cifar10", str(run)]).layers("affnet_et.cifar10")


def test_a_layer_that_does_not_run_has_no_picture(tmp_path, examples):
    explorer = Explorer([str(make_run(tmp_path / "run", "affnet_et"))])
    model = explorer.load(explorer.names[0])
    unused = AdaptiveFrequencyFilter(8)
    model.layers = {"unused": unused, **model.layers}
    assert explorer.explore(explorer.names[0], examples[0], layer="unused").layer is None
    assert explorer.explore(explorer.names[0], examples[0], layer=list(model.layers)[1]).layer


def test_a_model_without_such_layers(tmp_path, examples):
    run = make_run(tmp_path / "run", "test_resnet")
    found = Explorer([str(run)]).explore(str(run), examples[0])
    assert found.layer is None
    assert len(found.scores) == 3
    model = load_model(str(run)).eval()
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_what_is_no_image_is_rejected(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("no image")
    for path in (text, tmp_path / "missing.png"):
        with pytest.raises(UserError, match="this file cannot be read as an image: use a JPEG"):
            open_upload(path)
    cut = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(UserError, match="this file"):
        open_upload(cut)


def test_images_that_unpack_to_too_much_are_rejected_undecoded(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.png"
    Image.new("1", (9000, 9000)).save(bomb)
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match="81 million pixels, more than 50 million"):
        open_upload(bomb)


def test_models_are_loaded_once(monkeypatch):
    explorer = Explorer(["affnet_et.cifar10", "affnet_et.tiny_imagenet"])
    assert explorer.load("affnet_et.cifar10") is explorer.load("affnet_et.cifar10")
    assert torch.is_grad_enabled()


def test_bad_words(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spectralvision.commands.demo.require_extra", lambda *names: None)
    for words, expected in {
        "affnet_tt": "affnet_tt is neither a run folder nor the name of a model",
        "--port 0": "--port 0 should be between 1 and 65535.",
        "--port x": "--port x should be a whole number or none.",
        "--examples-from none.png": "none.png does not exist.",
        "affnet_et": "no ImageNet weights of affnet_et come with spectralvision",
    }.items():
        assert main(["demo", *words.split()]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"spectralvision: error: {expected}"), words
