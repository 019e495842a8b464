"""The model card: metadata for the Hub, metrics of the run, and code that runs."""

import json
import os
import re
from html import escape

import markdown_it
from huggingface_hub import ModelCard

import spectralvision as sv
from spectralvision.engine.model_io import describe
from spectralvision.runs import printable, write_json
from spectralvision.sharing.model_card import write_card
from tests.helpers.run_folders import CLASSES, FILES, RECORD, make_run


def test_a_card_has_the_facts_of_its_run(run, call, tmp_path):
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
                        "dataset": {
                            "name": "torch/cifar10",
                            "type": "cifar10",
                            "split": "validation",
                        },
                        "metrics": [{"type": "accuracy", "value": 0.8333, "name": "top-1"}],
                    }
                ],
            }
        ],
    }
    assert "| val | 6 | 83.33% |" in card.text.splitlines()
    assert "Classifies 3 classes: blue, green, red." in card.text
    assert 'timm.create_model("hf_hub:me/photos", pretrained=True)' in card.text
    assert "`spectralvision predict PHOTO.jpg --model hf_hub:me/photos`" in card.text
    assert 'TimmWrapperForImageClassification.from_pretrained("me/photos")' in card.text
    assert [(file["name"], file["bytes"]) for file in result["files"]] == [
        ("README.md", len(result["card"].encode())),
        *((file, (run / file).stat().st_size) for file in FILES[1:]),
    ]
    assert os.listdir(tmp_path) == []


def test_the_code_of_a_card_runs(call, tmp_path):
    make_run(tmp_path / "run", "affnet_et", {"status": "interrupted", "data": {"name": "photos"}})
    assert call(tmp_path / "run", "./shared")[0] == 0
    text = (tmp_path / "shared" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {}
    exec(code, names)  # finds the folder beside it
    assert len(code.splitlines()) == 3
    assert names["names"] == CLASSES
    assert "datasets" not in text
    assert "license:" not in text
    assert "Not stated: ask whoever shared these weights" in text
    assert "The training did not finish" in text


def test_names_cannot_change_the_card(tmp_path):
    names = [
        "<script>alert(1)</script>", "[a](javascript:x) ![b](http://a/b.png)", "a | b\n## c",
        "*d* `e` _f_", "\x1b[31m\u202eg",
    ]  # fmt: skip
    record = {**RECORD, "data": {"name": "x|\n# y<img src=z>", "images": {"val": 6}}}
    write_json(tmp_path / "run.json", record)
    model = sv.create_model("affnet_et", num_classes=5)
    describe(model, names, 32)
    text = write_card(model, tmp_path, "me\n# you", 'local-dir:a"b', None)
    card = ModelCard(text)
    lines = card.text.strip().splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        r"# me\\n# you", "## Use", "## Licence"
    ]  # fmt: skip
    assert "<script" not in text
    assert "<img" not in card.text
    listed = next(line for line in lines if line.startswith("Classifies"))
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(listed)
    assert html == f"<p>Classifies 5 classes: {escape(', '.join(map(printable, names)))}.</p>\n"
    assert 'create_model("local-dir:a\\"b", pretrained' in text
    assert card.data.eval_results[0].dataset_name == r"x|\n# y<img src=z>"
