"""Copy a run to a folder that timm and transformers load; dry runs; bad input."""

import os
import re

import pytest
import timm
import torch

from spectralvision.engine.model_io import load_model
from spectralvision.sharing import push as push_module
from tests.helpers.run_folders import FILES, make_run


def test_a_folder_is_complete_and_loads_in_timm_and_transformers(run, call, tmp_path):
    code, out, err = call(run, "./deep/shared")
    assert (code, err) == (0, "")
    assert "written  local-dir:deep/shared\n" in out
    folder = tmp_path / "deep" / "shared"
    assert sorted(os.listdir(folder)) == FILES
    assert os.listdir(tmp_path / "deep") == ["shared"]
    assert (folder.stat().st_mode & 0o777, (folder / "README.md").stat().st_mode & 0o777) == (
        0o755,
        0o644,
    )
    x = torch.rand(2, 3, 32, 32)
    expected = load_model(str(run)).eval()(x)
    torch.testing.assert_close(
        timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(x), expected
    )
    transformers = pytest.importorskip("transformers")
    wrapped = transformers.TimmWrapperForImageClassification.from_pretrained(folder).eval()
    torch.testing.assert_close(wrapped(x).logits, expected)
    assert wrapped.config.id2label[1] == "green"
    assert call(run, "local-dir:flat")[0] == 0
    assert call("local-dir:flat", "./again")[0] == 0  # a copy can be copied again
    assert (
        "No metrics were stored with these weights."
        in (tmp_path / "again" / "README.md").read_text()
    )


def test_a_dry_run_needs_neither_token_nor_network(run, call, tmp_path, monkeypatch):
    monkeypatch.setattr(push_module, "get_token", lambda: None)
    monkeypatch.setattr(push_module, "HfApi", None)
    code, out, err = call(run, "me/photos", "--dry-run", "--public")
    assert (code, err) == (0, "")
    assert re.match(r"---\n(.+\n)*library_name: timm\n", out)
    assert re.search(r"^model\.safetensors  \d", out, re.MULTILINE)
    assert "target   hf_hub:me/photos (public)\nnothing was uploaded or written (--dry-run)" in out
    assert call(run, "./shared", "--dry-run")[0] == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", r"push needs RUN and TARGET: see `spectralvision push --help`\."),
        ("RUN", r"push needs TARGET: see `spectralvision push --help`\."),
        (
            "nothing me/x",
            r"nothing is not a run folder: push needs one written by `spectralvision train` or "
            r"`spectralvision convert`\.",
        ),
        ("affnet_et me/x", r"affnet_et is not a run folder"),
        ("full me/x", r"full is not a run folder: it has no config\.json\."),
        ("RUN photos", r"photos is not the name of a repository: use OWNER/NAME"),
        ("RUN me/a/b", r"me/a/b is not the name of a repository"),
        ("RUN me/a@v1", r"push uploads to the main revision: remove @v1 from the target\."),
        ("RUN full", r"full exists and is not an empty folder: choose another\."),
        (
            "RUN full/notes.txt",
            r"choose another, or use hf_hub:full/notes\.txt for the repository of that name\.",
        ),
        ("RUN ./full", r"\./full exists and is not an empty folder: choose another\."),
        ("RUN ./full/notes.txt", r"notes\.txt exists and is not an empty folder"),
        (
            "RUN ./full/notes.txt/x",
            r"full/notes\.txt/x cannot be written: choose another folder \(",
        ),
        ("RUN me/x --licence mit", r"push has no option --licence: did you mean --license\?"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(words, sentence, run, call, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    code, out, err = call(*words.replace("RUN", str(run)).split())
    assert (code, out) == (2, "")
    assert re.search(rf"^spectralvision: error: .*{sentence}", err), err
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "full",
        "full/notes.txt",
    ]


def test_weights_that_cannot_be_read_are_not_copied(run, call, tmp_path):
    broken = make_run(tmp_path / "broken", "test_resnet")
    (broken / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:1000])
    assert "the weights in" in call(broken, "./shared")[2]
    (broken / "model.safetensors").unlink()
    assert "broken is not a run folder: it has no model.safetensors." in call(broken, "./shared")[2]
    assert not (tmp_path / "shared").exists()
