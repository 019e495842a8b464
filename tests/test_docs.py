"""The documents: their Python blocks run, their commands parse, their numbers are measured ones."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

import spectralvision as sv
from spectralvision.cli import main, parse_command
from spectralvision.runs import write_json
from spectralvision.tasks import registry
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.exporting import ExportConfig
from spectralvision.tasks.exporting import export as export_model
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.training_run import describe_config
from tests.golden import rule
from tests.helpers.pictures import image_folder, picture

ROOT = Path(__file__).parents[1]
CARDS = {
    name: f"src/spectralvision/models/weights/{name}.md"
    for name in ("affnet_et.cifar10", "affnet_et.tiny_imagenet")
}
GUIDES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/guides").glob("*.md"))
MATHS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/maths").glob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/index.md", *CARDS.values(), *GUIDES, *MATHS]
VERB = r"(?:^|[\s'`/])spectralvision(?:\.cli)? ((?:%s)\b[^`'<>|&;#\n]*)"
VERBS = (
    "models|train|evaluate|predict|convert|export|benchmark|analyze|compare|demo|token-labels|push"
)


def blocks(language):
    """Yield document, line and text of each block of a language."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text[: match.start()].count("\n") + 2
            yield pytest.param(document, line, match[1], id=f"{document}:{line}")


def commands():
    """Yield document and words of each command of this package, in blocks and in prose."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text().replace("\\\n", " ")
        text = re.sub(r"^```python\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for match in re.finditer(VERB % VERBS, text, re.MULTILINE):
            words = match[1].strip()
            is_line = match[0].lstrip("\n").startswith("spectralvision")
            if is_line or " " in words:  # not a verb alone in prose
                yield pytest.param(words, id=f"{document}:{words}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with what the documents name: runs, photographs, a checkpoint."""
    root = tmp_path_factory.mktemp("docs")
    torch.manual_seed(0)
    model = sv.create_model("affnet_et", num_classes=3)
    sv.save_run(model, ["blue", "green", "red"], 64, root / "runs/photos-affnet_et")
    for run in ("runs/photos-affnet_et", "runs/photos", "RUN"):
        (root / run).mkdir(parents=True, exist_ok=True)
        write_json(root / run / "run.json", describe_config(ClassificationConfig(data="photos")))
    dense = {"streets": SegmentationConfig, "objects": DetectionConfig}
    for data, kind in dense.items():
        run = root / f"runs/{data}-affnet_t"
        run.mkdir()
        write_json(run / "run.json", describe_config(kind(data=data)))
    image_folder(root / "photos/train", 4)
    picture("red", 0).save(root / "photo.jpg")
    torch.save({"state_dict": rule.state(rule.load("affnet_256")[1])}, root / "affnet.pt")
    export = ExportConfig(
        model=str(root / "runs/photos-affnet_et"), target="onnx", out=root / "deploy"
    )
    export_model(export)
    return root


@pytest.mark.filterwarnings("ignore", "error:::spectralvision")
@pytest.mark.parametrize(("document", "line", "code"), list(blocks("python")))
def test_a_block_runs(document, line, code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if "transformers" in code:
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")  # its Trainer
    names = {"__name__": "documented"}
    exec(compile("\n" * (line - 1) + code, str(ROOT / document), "exec"), names)
    for word, check in CHECKS.items():
        if word in code:
            check(names)


@pytest.mark.parametrize("words", sorted(set(commands()), key=lambda param: param.id))
def test_a_command_is_understood(words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(registry, "read_config", lambda model: {})  # of repositories
    words = re.sub(r"\$\w+|\$\(\(.*?\)\)", "1", words)  # shell variables
    if words.endswith("--help"):
        assert main(shlex.split(words)) == 0
    else:
        parse_command(shlex.split(words))


def _saved(names):
    saved = sv.create_model("local-dir:runs/mine", pretrained=True).eval()
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(saved(x), names["model"].eval()(x))


def _classified(names):
    assert len(set(names["names"]) & {"blue", "green", "red"}) == 2


def _features(names):
    assert names["vectors"].shape == (2, 576)
    assert [64 // value.shape[-1] for value in names["maps"]] == [2, 4, 8, 16, 32]
    assert names["backbone"].feature_info.reduction() == [4, 8, 16, 32]


def _mixed(names):
    assert names["y"].shape == names["z"].shape == names["x"].shape
    torch.testing.assert_close(names["x_again"], names["x"])
    torch.testing.assert_close(names["x_back"], names["x"])


def _own_mixer(names):
    model = names["model"]
    assert sum(isinstance(module, names["MyMixer"]) for module in model.modules()) == 9
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 10)


def _ring_filter(names):
    x = torch.randn(2, 3, 9, 12)
    torch.testing.assert_close(names["RingFilter"](3)(x), x)
    model = names["model"]
    found = [module for module in model.modules() if isinstance(module, names["RingFilter"])]
    assert [tuple(one.gain.shape[1:]) for one in found] == [(4,)] * 9
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(one.gain.grad.any() for one in found)
    export_model(ExportConfig(model="runs/ring", target="onnx", out=Path("deploy-ring")))


def _named_mixer(names):
    found = [type(module).__name__ for module in names["model"].modules()]
    assert found.count("WaveletConvolution") == 9


def _masks(names):
    assert names["masks"].mask.shape == (4, 104, 8, 8)
    assert Path("masks.png").stat().st_size > 10_000


def _inverted(names):
    torch.testing.assert_close(names["y"], names["x"])


def _bundled(names):
    assert names["model"].num_classes == 10


def _bundled_photographs(names):
    assert names["model"].num_classes == 200


def _moved(names):
    before = sv.create_model("local-dir:runs/photos-affnet_et", pretrained=True)
    assert not torch.equal(names["model"].head.fc.weight, before.head.fc.weight)


def _wrapped(names):
    """transformers reads back what it has written, and computes what timm computes."""
    from transformers import TimmWrapperForImageClassification as Wrapper

    x = torch.rand(2, 3, 64, 64)
    saved, trained = (
        Wrapper.from_pretrained("runs/trainer/best").eval(),
        names["model"].eval().cpu(),
    )
    torch.testing.assert_close(saved(x).logits, trained(x).logits)
    plain = sv.create_model("local-dir:runs/photos-affnet_et", pretrained=True).eval()
    untouched = Wrapper.from_pretrained("runs/photos-affnet_et").eval()
    torch.testing.assert_close(untouched(x).logits, plain(x))
    assert not torch.equal(trained(x).logits, plain(x))
    assert untouched.config.id2label[2] == "red"


CHECKS = {
    "TrainingArguments": _wrapped,
    'folder="runs/mine"': _saved,
    "topk": _classified,
    "vectors": _features,
    "optimizer.step()": _moved,
    "dtcwt2d(x": _mixed,
    "mixer_layer=MyMixer": _own_mixer,
    'mixer_layer="wavelet': _named_mixer,
    "class RingFilter": _ring_filter,
    "plot_masks": _masks,
    "DTCWTInverse": _inverted,
    "affnet_et.cifar10": _bundled,
    "affnet_et.tiny_imagenet": _bundled_photographs,
}


def test_every_block_and_command_is_found():
    """The patterns above must not miss what they are for."""
    found = [block.values[0] for block in blocks("python")]
    assert found.count("docs/guides/python.md") == 7
    assert {"README.md", "CONTRIBUTING.md", *CARDS.values()} <= set(found)
    for word in CHECKS:
        assert any(word in block.values[2] for block in blocks("python")), word
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        fences = text.count("\n```")
        known = sum(
            len(re.findall(rf"^```{one}$", text, re.M)) for one in ("python", "sh", "bash", "")
        )
        assert fences == known, f"{document} has a block of an unknown language"
    starts = [block.values[2] for block in [*blocks("sh"), *blocks("bash")]]
    lines = [line for block in starts for line in block.splitlines()]
    written = [line for line in lines if re.match(r"spectralvision \w", line)]
    parsed = [param.values[0] for param in commands()]
    assert len(written) > 40
    for line in written:
        assert any(line.startswith(f"spectralvision {words}") for words in parsed), line


def test_links_lead_to_files():
    """Also the anchors of links within the documents."""
    count = 0
    for document in DOCUMENTS:
        path = ROOT / document
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if target.startswith("http"):
                continue
            file, _, anchor = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            assert found.exists(), f"{document}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
                assert anchor in [title.lower().replace(" ", "-") for title in titles], target
            count += 1
    assert count > 30


def test_paths_in_code_marks_exist():
    """Such as `tests/models/test_golden.py`; not those of runs and of data."""
    count = 0
    for document in DOCUMENTS:
        for path in re.findall(
            r"`((?:src|tests|docs|benchmarks)/[\w./-]+)`", (ROOT / document).read_text()
        ):
            if "NAME" not in path:
                assert (ROOT / path).exists(), f"{document}: {path}"
                count += 1
    assert count > 20


def between(document, begin, end):
    _, mark, rest = (ROOT / document).read_text().partition(begin)
    text, closing, _ = rest.partition(end)
    assert mark, f"{document} has no {begin}"
    assert closing, f"{document} has no {end}"
    return text


def test_the_speeds_are_those_of_the_results():
    from benchmarks import speed_page as page

    cure = "run `python benchmarks/speed_page.py`"
    assert between("docs/guides/speed.md", page.BEGIN, page.END) == page.table(), cure
    assert between("README.md", page.BEGIN, page.END) == page.sentence(), cure
    with Image.open(page.PICTURE) as picture:
        assert picture.info["Source"] == page.picture_source(), cure


def test_the_accuracies_on_their_page_are_those_of_the_results():
    from benchmarks.accuracy_page import BEGIN, END, page_text

    assert between("docs/guides/accuracy.md", BEGIN, END) == page_text()


def test_the_latencies_are_those_of_the_results():
    from benchmarks.deploy_page import BEGIN, END, RESULTS, tables

    text = between("docs/guides/export.md", BEGIN, END)
    assert text == tables(json.loads(RESULTS.read_text())), "run `python benchmarks/deploy_page.py`"


def test_the_comparisons_are_those_of_the_results():
    from benchmarks.comparing_page import BEGIN, END, page_text

    cure = "run `python benchmarks/comparing_page.py`"
    assert between("docs/guides/comparing.md", BEGIN, END) == page_text(), cure


def test_the_accuracies_in_the_text_are_those_of_the_results():
    rows = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["rows"]
    top1 = {row["model"]: row["test_top1"] for row in rows}
    ours, theirs = top1["affnet_et"], top1["mobilevit_xxs"]
    transferred, scratch = (
        top1[f"affnet_et {start}"] for start in ("from CIFAR-10 weights", "from scratch")
    )
    readme = (ROOT / "README.md").read_text()
    assert f"affnet_et reaches {ours:.0%}".replace("%", " %") in readme
    assert f"mobilevit_xxs reaches {theirs:.0%}".replace("%", " %") in readme
    page = (ROOT / "docs/guides/accuracy.md").read_text()
    assert f"{100 * (ours - theirs):.1f} points ahead of mobilevit_xxs" in page
    assert f"gains {100 * (transferred - scratch):.1f}" in page


@pytest.mark.parametrize("name", CARDS)
def test_the_card_of_a_bundled_model_is_that_of_the_script(name):
    from benchmarks import ship_weights

    text = (ROOT / CARDS[name]).read_text()
    seen: set[str] = set()

    def group(field):
        """Return a pattern for a field of the template: the same text wherever it occurs."""
        word = field[1]
        if word in seen:
            return f"(?P={word})"
        seen.add(word)
        return rf"(?P<{word}>[\w.,%-]+)"

    template = ship_weights.CARDS[name]
    pattern = re.sub(r"\\{(\w+)[^}]*\\}", group, re.escape(template))
    match = re.fullmatch(pattern, text)
    assert match, "the card differs from the template in benchmarks/ship_weights.py"
    model = sv.create_model(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert match["parameters"] == f"{parameters / 1e6:.2f}"
    if name == "affnet_et.tiny_imagenet":
        accuracy = f"{float(match['test'].rstrip('%')):.1f} %"
        readme = " ".join((ROOT / "README.md").read_text().split())
        assert f"names {accuracy} of the validation images" in readme


def test_the_results_of_timm_tests_are_what_the_guide_says():
    results = json.loads((ROOT / "benchmarks/results/timm_tests.json").read_text())
    assert results["models"] == sorted(sv.list_models())
    assert all(set(outcomes) == {"passed"} for outcomes in results["tests"].values())


def test_the_tables_of_models_are_those_of_the_models():
    from benchmarks import models_page

    rows = models_page.read_rows()
    assert sorted(row.name for row in rows) == sorted(sv.list_models())
    for path, expected in (
        ("README.md", models_page.families_table(rows)),
        ("docs/guides/models.md", models_page.models_table(rows)),
    ):
        text = between(path, models_page.BEGIN, models_page.END)
        assert text == expected, "run `python benchmarks/models_page.py`"
