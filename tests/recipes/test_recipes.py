"""Every recipe in a shrunken form: a narrow model, few images, one or two epochs; what it fills in; how it goes on."""

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest
import torch

from spectralvision.cli import main
from spectralvision.data.opening import open_data
from spectralvision.recipes import RECIPES, find_recipe, name_of, settling
from spectralvision.recipes.classification import Classification
from spectralvision.recipes.svt import SvtImagenet
from spectralvision.tasks import classification, token_labelling
from tests.label_maps import stored, teacher
from tests.pictures import COLOURS, image_folder
from tests.recipes.test_resume import what_came_out

NARROW = {"dims": (8, 16, 16, 16), "depths": (1, 1, 1, 1), "stem_dim": 8, "img_size": 64}
NEW = [name for name in RECIPES if name != "classification"]
GUIDE = Path(__file__).parents[2] / "docs/guides/recipes.md"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    images = open_data(str(image_folder(root / "photos", 10))).split("all")
    teacher(root / "svt", name="svt_h_s", token_label=True, **NARROW)
    affnet = {"dims": (8, 8, 16, 16, 16), "depths": (1, 1, 1, 1, 1), "mlp_ratios": (2, 2, 2, 2, 2)}
    teacher(root / "affnet", name="affnet_et", **affnet)
    stored(root / "maps", images, COLOURS, shape=(3, 2, 2), shard=8)
    return root


def words(root, name, *more):
    """The recipe on 24 images; what is given here is what does not fit them."""
    model = "affnet" if name.startswith("affnet") else "svt"
    shrunk = ["--data", root / "photos", "--model", root / model, "--epochs", "2", "--batch-size", "8"]
    shrunk += ["--input-size", "64", "--warmup-epochs", "0.5", "--workers", "0"]
    if name.startswith("affnet"):
        shrunk += ["--min-size", "32", "--max-size", "96", "--batch-size", "4"]
    if name.endswith("token-labels"):
        shrunk += ["--label-maps", root / "maps"]
    return [str(word) for word in ("train", name, *shrunk, *more)]


@pytest.mark.parametrize("name", NEW)
def test_a_shrunken_run_is_recorded_as_its_recipe(name, root, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(words(root, name, "--out", run, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    record = json.loads((run / "run.json").read_text())
    assert record["recipe_name"] == name
    again = Classification.of_run(run)
    assert type(again) is find_recipe(name)
    assert dataclasses.asdict(again) == record["recipe"] | {"augmentation": dataclasses.asdict(again.augmentation)}


@pytest.mark.parametrize("name", ["affnet-imagenet", "svt-imagenet", "svt-imagenet-token-labels", "finetune"])
def test_a_resumed_recipe_equals_one_that_was_not_interrupted(name, root, tmp_path):
    """With batches of several sides, repeats, mixing, averages and label maps."""
    kind = token_labelling.TokenLabelClassifier if name.endswith("labels") else classification.Classifier
    true = kind.training_step

    def step(module, batch, batch_idx):
        if module.global_step == 5:  # in the second epoch, after a batch of it
            raise KeyboardInterrupt
        return true(module, batch, batch_idx)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(words(root, name, "--out", whole)) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "training_step", step)
        assert main(words(root, name, "--out", parts, "--checkpoint-minutes", "0")) == 130
    assert main(["train", "--resume", str(parts)]) == 0
    (weights, _, rows), (weights2, _, rows2) = what_came_out(whole), what_came_out(parts)
    assert all(torch.equal(weights[key], weights2[key]) for key in weights)
    assert rows == rows2


def test_the_learning_rate_follows_the_batch_once():
    data = open_data("synthetic/4000", num_classes=20)
    recipe = SvtImagenet(data="synthetic/4000", num_classes=20, batch_size=512)
    settled = settling.resolved(recipe, data)
    assert settled.optimisation.lr == pytest.approx(5e-4)
    assert settling.resolved(settled, data).optimisation.lr == pytest.approx(5e-4)
    assert settled.optimisation.lr * settled.optimisation.warmup_start == pytest.approx(5e-7)


@pytest.mark.parametrize("name", NEW)
def test_a_recipe_says_claim_result_hours_and_commands(name):
    kind = find_recipe(name)
    said = inspect.getmodule(kind).__doc__
    for part in (
        "Claim (the",
        "Ours: not run.",
        "hours not measured",
        "torchrun --nproc-per-node 8",
        "--nnodes 2",
        "srun",
    ):
        assert part in said
    assert "ot run" in kind.__doc__ or name == "finetune"
    assert name_of(kind) == name
    assert f"`{name}`" in GUIDE.read_text()


def commands():
    for path in (GUIDE, *(Path(inspect.getfile(find_recipe(name))) for name in NEW)):
        text = path.read_text().replace("\\\n", " ")
        yield from re.findall(
            r"(?:spectralvision|spectralvision\.cli) train ([a-z][\w-]+(?: +--[\w-]+ [^\s`]+| +--dry-run)*)", text
        )


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_documented_command_is_understood(line):
    from spectralvision.cli import _parse_train

    job = _parse_train(line.split())
    assert type(job.recipe) is find_recipe(line.split()[0])


def test_help_and_unknown_names(capsys):
    assert main(["train", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(name in said for name in RECIPES)
    assert main(["train", "svt-imagenett", "--data", "digits"]) == 2
    assert "did you mean svt-imagenet" in capsys.readouterr().err


def test_a_published_run_is_tried_without_its_images(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = ["--data", "synthetic/1281167", "--num-classes", "1000", "--batch-size", "8", "--dry-run", "--json"]
    assert main(["train", "svt-imagenet", "--model", "test_resnet", "--input-size", "64", *more]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert "1281167 train, 51246 val images" in err
    assert "h in all" in err
    assert result["seconds"] > 0
    assert result["images_per_second"] > 0
    assert result["memory"] > 2**20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--repeats 0", r"--repeats 0 should be at least 1\."),
        ("--min-size 64", r"--min-size and --max-size go together"),
        ("--min-size 70 --max-size 90", r"no multiple of 32 lies between --min-size 70 and --max-size 90\."),
        ("--min-size 8 --max-size 90", r"--min-size 8 should be at least 32\."),
        ("--warmup-start 2", r"--warmup-start 2\.0 should lie between 0 and 1\."),
        ("--lr-base-size 0", r"--lr-base-size 0 should be at least 1\."),
        ("--crop-pct 3", r"--crop-pct 3\.0 should lie between 0\.1 and 1\."),
        ("--distillation-weight 2", r"--distillation-weight 2\.0 should lie between 0 and 1\."),
        ("--temperature 0", r"--temperature 0\.0 should be at least 0\.01\."),
        ("--distillation warm", r".*--distillation.* Expected one of \('soft', 'hard'\)"),
        ("--data synthetic/many", r"--data synthetic/many should be synthetic/COUNT with at least 20 images"),
        ("--teacher no_such", r"no_such is neither a run folder nor the name of a model"),
    ],
)
def test_values_that_cannot_work(given, sentence, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", str(root / "photos"), "--model", "test_resnet", *given.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(rf"^spectralvision: error: {sentence}", err, re.MULTILINE), err
    assert not (tmp_path / "runs").exists()
