"""Every recipe at a small size: a narrow model, few images, two epochs; its settings, its texts."""

import dataclasses
import inspect
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import torch

from spectralvision.cli import main, parse_command
from spectralvision.data.open_data import open_data
from spectralvision.engine.auto_settings import resolve_optimizer
from spectralvision.engine.progress import discard_line
from spectralvision.recipes import RECIPES, find_recipe, recipe_names
from spectralvision.recipes.finetune import Finetune
from spectralvision.recipes.svt import SvtImagenet
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.classification.task import ClassificationTask
from spectralvision.tasks.classification.token_labels.module import TokenLabelClassifier
from spectralvision.tasks.start_training import start_training
from spectralvision.tasks.training_run import read_config
from tests.helpers.label_maps import NARROW_SVT, save_untrained, write_label_maps
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.run_folders import make_run
from tests.helpers.scenes import coco_folder, mask_folder
from tests.helpers.training import interrupted_at, read_results

NARROW_AFFNET = {
    "dims": (8, 8, 16, 16, 16), "depths": (1, 1, 1, 1, 1), "mlp_ratios": (2, 2, 2, 2, 2)
}  # fmt: skip
SEGMENTATION = ("affnet-ade20k", "affnet-voc")
GUIDE = Path(__file__).parents[2] / "docs/guides/recipes.md"
COMMAND = re.compile(r"^ *(.*?)(?:-m spectralvision\.cli|spectralvision) train ([a-z].*)$", re.M)
"""A line of a document: (launcher, words)."""
LAUNCHERS = {
    "",
    "torchrun --nproc-per-node 8 ",
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 ",
    "srun --nodes 2 --ntasks-per-node 8 ",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    images = open_data(str(image_folder(root / "photos", 10))).split("all")
    coco_folder(root / "scenes")
    save_untrained(root / "svt", name="svt_h_s", token_label=True, **NARROW_SVT)
    save_untrained(root / "affnet", name="affnet_et", **NARROW_AFFNET)
    mask_folder(root / "masks", 8, 4)
    write_label_maps(root / "label-maps", images, COLOURS, shape=(3, 2, 2), shard=8)
    return root


def words(root, name, *more):
    """Return the command that trains by a recipe on 24 images, with what such few images need."""
    model = root / ("affnet" if name.startswith("affnet") else "svt")
    small = ["--data", root / "photos", "--model", model, "--epochs", "2", "--batch-size", "8"]
    small += ["--input-size", "64", "--warmup-epochs", "0.5", "--workers", "0"]
    if name in SEGMENTATION:
        small += ["--data", root / "masks"]
    elif "coco" in name:
        small += ["--data", root / "scenes", "--batch-size", "4"]
    elif name.startswith("affnet"):
        small += ["--min-size", "32", "--max-size", "96", "--batch-size", "4"]
    if name.endswith("token-labels"):
        small += ["--label-maps", root / "label-maps"]
    return [str(word) for word in ("train", name, *small, *more)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_small_run_records_its_recipe(name, root, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(words(root, name, "--out", run, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    record = json.loads((run / "run.json").read_text())
    assert record["recipe"] == name
    again = read_config(run, find_recipe)
    assert type(again) is find_recipe(name)
    assert json.loads(json.dumps(dataclasses.asdict(again))) == record["config"]


@pytest.mark.parametrize(
    "name", ["affnet-imagenet", "svt-imagenet", "svt-imagenet-token-labels", "finetune"]
)
def test_a_resumed_recipe_equals_one_that_was_not_interrupted(name, root, tmp_path):
    """With batches of several image sizes, repeats, mixing, averages and label maps."""
    kind = TokenLabelClassifier if name.endswith("labels") else Classifier
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(words(root, name, "--out", whole)) == 0
    with interrupted_at(kind, update=5):  # in the second epoch, after its first batch
        assert main(words(root, name, "--out", parts, "--checkpoint-minutes", "0")) == 130
    assert main(["train", "--resume", str(parts)]) == 0
    weights, _, rows = read_results(whole)
    weights2, _, rows2 = read_results(parts)
    assert weights
    assert all(torch.equal(weights[key], weights2[key]) for key in weights)
    assert len(rows) == 2
    assert rows == rows2
    assert json.loads((parts / "run.json").read_text())["recipe"] == name


def test_a_run_of_another_version_cannot_be_resumed(tmp_path, capsys):
    """Its settings were recorded under `recipe`."""
    record = {"recipe_name": "finetune", "recipe": {"data": "photos"}, "status": "interrupted"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "run.json has no settings of this version ('task')." in capsys.readouterr().err


def test_resumed_folds_keep_the_recipe(root, tmp_path):
    """The class of the settings decides what `--epochs auto` stands for."""
    run = tmp_path / "run"
    command = words(root, "finetune", "--folds", "2", "--out", run, "--epochs", "1")
    with interrupted_at(Classifier, update=1):  # in the first fold, after its first update
        assert main(command) == 130
    assert main(["train", "--resume", str(run)]) == 0
    for path in (run, run / "fold-1", run / "fold-2"):
        record = json.loads((path / "run.json").read_text())
        assert (record["status"], record["recipe"]) == ("finished", "finetune")


def test_the_learning_rate_is_scaled_to_the_batch_once():
    config = SvtImagenet(data="IMAGENET")
    resolved = resolve_optimizer(config.optimizer, 512, int(config.epochs), is_gentle=False)
    assert resolved.lr == pytest.approx(5e-4)
    assert resolved.lr * resolved.warmup_start == pytest.approx(5e-7)
    again = resolve_optimizer(resolved, 512, int(config.epochs), is_gentle=False)
    assert again == resolved


def percentages(text):
    """Return the numbers with decimals, as in `84.2, 85.2, 85.7 %`."""
    return re.findall(r"\b\d\d\.\d+\b", text)


def document_lines(text):
    return text.replace("\\\n", " ")


@pytest.mark.parametrize("name", RECIPES)
def test_claims_agree_with_the_module_and_the_guide(name):
    kind = find_recipe(name)
    about = " ".join(str(kind.__doc__).split())
    module = str(inspect.getmodule(kind).__doc__)
    cells = [line.strip("| ").split(" | ") for line in GUIDE.read_text().splitlines()]
    (row,) = [one for one in cells if one[0] == f"`{name}`"]
    claims = percentages(about)
    assert percentages(row[2]) == claims
    assert row[3] == "not run"
    if name == "finetune":
        assert claims == []
        assert about.endswith("The settings are ours; nothing is claimed for them.")
        assert row[2] == "none"
    else:
        assert claims
        assert "Ours: not run." in about
    (claim,) = re.findall(r"^Claim \(.*?\): (.*?)\n(?=Ours: not run\.$)", module, re.M | re.S)
    assert set(claims) <= set(percentages(claim))
    assert re.search(r"^Hardware: .*Hours: not measured; ", module, re.M)


def test_a_recipe_records_the_name_that_it_is_found_by():
    assert len(recipe_names()) == len(set(recipe_names()))
    assert recipe_names()[0] == "classification"
    assert {find_recipe(name).recipe for name in recipe_names()} == set(recipe_names())
    assert all(find_recipe(name).recipe == name for name in recipe_names())


@pytest.mark.parametrize("module", sorted({entry.split(":")[0] for entry in RECIPES.values()}))
def test_a_module_has_a_command_for_each_launcher(module):
    text = document_lines(Path(str(import_module(module).__file__)).read_text())
    commands = COMMAND.findall(text)
    assert {re.sub(" +", " ", launcher) for launcher, _ in commands} == LAUNCHERS


def documented_commands():
    """Return the words after `train` of each command in the guide and in the recipes."""
    files = {Path(inspect.getfile(find_recipe(name))) for name in RECIPES}
    texts = [document_lines(path.read_text()) for path in (GUIDE, *files)]
    found = {words for text in texts for _, words in COMMAND.findall(text)}
    return sorted({shlex.join(shlex.split(words, comments=True)) for words in found})


@pytest.mark.parametrize("line", documented_commands())
def test_a_documented_command_can_be_parsed(line, capsys):
    name, *rest = shlex.split(line)
    if rest == ["--help"]:
        assert main(["train", name, *rest]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: spectralvision train {name} ")
        return
    command = parse_command(["train", name, *rest])
    assert type(command.config) is find_recipe(name)


def test_every_recipe_has_a_documented_command():
    assert {line.split()[0] for line in documented_commands()} == set(RECIPES)


def test_help_lists_the_recipes(capsys):
    assert main(["train", "--help"]) == 0
    _, _, rest = capsys.readouterr().out.partition("Recipes (see ")
    table = rest.partition("\n\n")[0].splitlines()[1:]
    listed = [line.split()[0] for line in table if re.match(r"  \S", line)]
    assert listed == recipe_names()


def test_an_unknown_recipe_has_a_suggestion(capsys):
    assert main(["train", "svt-imagenett", "--data", "digits"]) == 2
    assert "did you mean svt-imagenet" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-imagenet")])
def test_a_dry_run_of_a_published_run_needs_no_images(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = ["--data", "synthetic/1281167", "--num-classes", "1000"]
    model = ["--model", "test_resnet", "--input-size", "64", "--batch-size", "8"]
    if name == "affnet-imagenet":
        model += ["--min-size", "32", "--max-size", "96"]
    assert main(["train", name, *data, *model, "--dry-run", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert "1,281,167 train, 51,246 val images" in err
    assert re.search(r"^trial  .* (min|h|days|years) in total$", err, re.M)
    assert result["seconds"] > 0
    assert result["images_per_second"] > 0
    assert result["memory"] > 2**20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--repeats 0", r"--repeats 0 should be between 1 and 1000\."),
        ("--min-size 64", r"--min-size and --max-size go together"),
        (
            "--min-size 70 --max-size 90",
            r"there is no multiple of 32 between --min-size 70 and --max-size 90\.",
        ),
        ("--min-size 8 --max-size 90", r"--min-size 8 should be between 32 and 8192\."),
        ("--warmup-start 2", r"--warmup-start 2\.0 should be between 0 and 1\."),
        ("--lr-base-size 0", r"--lr-base-size 0 should be between 1 and 1000000\."),
        ("--crop-pct 3", r"--crop-pct 3\.0 should be between 0\.1 and 1\."),
        ("--distillation-weight 2", r"--distillation-weight 2\.0 should be between 0 and 1\."),
        ("--temperature 0", r"--temperature 0\.0 should be between 0\.01 and 1000\."),
        ("--distillation warm", r"--distillation warm should be soft or hard\."),
        (
            "--data synthetic/many",
            r"--data synthetic/many should be synthetic/COUNT with at least 20 images",
        ),
        ("--teacher no_such", r"no_such is neither a run folder nor the name of a model"),
    ],
)
def test_values_that_cannot_work(given, sentence, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = ["--data", str(root / "photos"), "--model", "test_resnet"]
    assert main(["train", *data, *given.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(rf"^spectralvision: error: {sentence}", err, re.MULTILINE), err
    assert not (tmp_path / "runs").exists()


def test_fine_tuning_is_gentle_with_large_networks_only(tmp_path, monkeypatch):
    """From the weights of a run: those of a small network are trained like new ones."""
    run = make_run(tmp_path / "run", "test_resnet")
    photos = image_folder(tmp_path / "photos", 8)
    config = Finetune(data=str(photos), model=str(run), batch_size=16, workers=0)

    def settings():
        optimizer = start_training(config, discard_line, dry_run=True)["config"]["optimizer"]
        return optimizer["lr"], optimizer["layer_decay"]

    assert settings() == (1e-3, None)
    monkeypatch.setattr(ClassificationTask, "small_network", 0)
    assert settings() == (2.5e-4, 0.75)
