"""A converted checkpoint computes what the authors' code computes; bad input leaves no files."""

import json
import os

import pytest
import timm
import torch

from spectralvision.engine.model_io import label_names, label_titles, load_model
from spectralvision.runs import UserError
from spectralvision.sharing.convert import convert
from tests.golden import rule
from tests.helpers.golden import max_error
from tests.helpers.tolerances import LOGITS
from tests.helpers.twins import twin


def checkpoint(file, folder, **changes):
    path = folder / f"{file}.pt"
    torch.save({"state_dict": rule.state(rule.load(file)[1]) | changes}, path)
    return str(path)


@pytest.mark.parametrize(
    ("file", "model", "options"),
    [
        ("affnet_et_256", "affnet_et", {}),
        ("affnet_et_no_shrink", "affnet_et", {"threshold": 0.0}),
        ("svt_s_released", "svt_s", {"token_label": True}),
    ],
)
def test_the_run_computes_the_golden_logits(file, model, options, tmp_path):
    arrays, meta = rule.load(file)
    result = convert(checkpoint(file, tmp_path), model, str(tmp_path / "run"), **options)
    run = timm.create_model(f"local-dir:{result['run']}", pretrained=True).eval()
    with torch.no_grad():
        logits = run(rule.images(file, tuple(meta["input_shape"])))
    assert max_error(logits, arrays["logits"]) <= LOGITS
    assert label_names(run)[0] == "n01440764"
    assert label_titles(load_model(result["run"]))[0].startswith("tench")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["source"]["file"] == f"{file}.pt"
    assert {name: record["source"].get(name) for name in options} == options


def test_the_averaged_weights_of_a_compiled_run_are_converted(tmp_path):
    state = rule.state(rule.load("affnet_et_256")[1])
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    zeros = {name: torch.zeros_like(value) for name, value in wrapped.items()}
    content = {"epoch": 1, "model_state_dict": zeros, "ema_state_dict": wrapped}
    torch.save(content, tmp_path / "training_checkpoint_last.pt")
    source = str(tmp_path / "training_checkpoint_last.pt")
    model = load_model(convert(source, "affnet_et", str(tmp_path / "run"))["run"])
    assert torch.equal(model.head.fc.weight, state["classifier.fc.weight"])


def test_the_number_of_classes_is_the_checkpoints(tmp_path):
    head = {"classifier.fc.weight": torch.ones(4, 576), "classifier.fc.bias": torch.ones(4)}
    state = rule.state(rule.load("affnet_et_256")[1])
    assert set(head) <= set(state)
    result = convert(
        checkpoint("affnet_et_256", tmp_path, **head), "affnet_et", str(tmp_path / "run")
    )
    assert (result["num_classes"], result["reported_top1"]) == (4, None)
    model = load_model(result["run"])
    assert torch.equal(model.head.fc.bias, torch.ones(4))
    assert label_names(model) is None


def test_rejected_input_leaves_nothing_behind(tmp_path):
    torch.save(twin("svt_h_s", token_label=True).state_dict(), tmp_path / "labelled.pt")
    changed = {"classifier.fc.weight": torch.ones(4, 320)}
    os.rename(checkpoint("affnet_et_256", tmp_path, **changed), tmp_path / "head.pt")
    file = checkpoint("affnet_et_256", tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    (tmp_path / "broken.pt").write_bytes(b"\x80\x02junk")
    before = sorted(os.listdir(tmp_path))
    for source, model, options, sentence in [
        (file, "affnet_t", {}, "does not fit affnet_t: .* has shape"),
        (file, "svt_s", {}, "the checkpoint is of another model"),
        (
            str(tmp_path / "head.pt"),
            "affnet_et",
            {},
            r"head\.fc\.weight has shape .* in the model\.$",
        ),
        (file, "resnet18", {}, "not a model whose checkpoints can be converted"),
        (file, "affnet_ett", {}, "did you mean affnet_et"),
        (file, "affnet_et", {"token_label": True}, "is for SVT models"),
        (file, "svt_s", {"threshold": 0.0}, "is for AFFNet models"),
        (str(tmp_path / "none.pt"), "affnet_et", {}, "no checkpoint at"),
        (str(tmp_path / "broken.pt"), "affnet_et", {}, "nothing in it was executed"),
        (str(tmp_path / "labelled.pt"), "svt_h_s", {}, "add --token-label"),
    ]:
        with pytest.raises(UserError, match=sentence) as raised:
            convert(source, model, str(tmp_path / "run"), **options)
        assert "weights_only" not in str(raised.value)
        assert "head=" not in str(raised.value)  # a keyword of load_released
    with pytest.raises(UserError, match="not an empty folder"):
        convert(file, "affnet_et", str(tmp_path / "taken"))
    assert sorted(os.listdir(tmp_path)) == before
