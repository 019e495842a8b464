"""Help: what it shows, that what is stored of it is current, and that it is quick."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, dataclass
from importlib import import_module
from pathlib import Path

import pytest

from spectralvision.cli import COMMANDS, main
from spectralvision.commands.describe_options import as_text
from spectralvision.recipes import recipe_names
from spectralvision.tasks import registry
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.task import ClassificationTask
from spectralvision_cli.fields import read_fields
from spectralvision_cli.help_screens import STORED, recipe_help, stored_titles, verb_help
from spectralvision_cli.help_screens import stored_description as stored
from spectralvision_cli.options import VERBS

ROOT = Path(__file__).parents[2]
MAX_CPU_SECONDS = 1.0
COMMON = [
    "--data", "--model", "--out", "--epochs", "--batch-size", "--input-size", "--lr", "--device",
    "--resume", "--dry-run",
]  # fmt: skip


def show(capsys, *words):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def blocks(screen):
    """Title -> the first words of its entries."""
    found, title = {}, ""
    for line in screen.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
            found[title] = []
        elif title and (match := re.match(r"  (\S+)", line)):
            found[title].append(match[1])
    return found


def options_of(verb):
    """The fields of a verb, with those of the task or the recipe that is shown by default."""
    kinds = {
        "train": [ClassificationTask.config],
        "evaluate": [ClassificationTask.evaluate_options],
        "predict": [ClassificationTask.predict_options],
    }
    kinds = [VERBS[verb], *kinds.get(verb, [])]
    return [one for kind in kinds for one in read_fields(kind)]


def test_the_command_lists_its_verbs(capsys):
    screen = show(capsys, "--help")
    assert blocks(screen)["Verbs"] == list(VERBS) == list(COMMANDS)
    assert blocks(screen)["Options"] == ["-h,", "-V,"]
    for words in (["-h"], ["help"], ["help", "--help"]):
        assert show(capsys, *words) == screen
    assert main([]) == 2
    assert capsys.readouterr() == ("", screen)


def test_the_version(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in ("--version", "-V"):
        assert show(capsys, word) == f"{project['version']}\n"


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_each_of_its_options_once(verb, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = show(capsys, verb, "--help")
    assert screen == show(capsys, "help", verb) == show(capsys, verb, "-h")
    assert screen.startswith(f"Usage: spectralvision {verb} ")
    lines = screen.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines == [line.rstrip() for line in lines]
    shown = [
        word
        for title, names in blocks(screen).items()
        if title != "Examples" and not title.startswith("Recipes")
        for word in names
    ]
    fields = options_of(verb)
    assert sorted(word.replace("[no-]", "") for word in shown if word.startswith("--")) == sorted(
        one.option for one in fields if not one.positional
    )
    assert len(shown) == len(fields)
    assert all(one.help.endswith((".", ")")) for one in fields)
    assert screen.count("[required]") == sum(one.default is MISSING for one in fields)
    assert not re.search(r"\{|\bNone\b|\bSTR\b|\w+Config\b|\w+Options\b|`\w+_\w+`", screen)
    examples = screen.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all(" spectralvision " in f" {line}" for line in examples)


def test_train_shows_the_common_options_first(capsys):
    groups = blocks(show(capsys, "train", "--help"))
    titles = [title for title in groups if not title.startswith(("Recipes", "Examples"))]
    assert titles == [
        "Common options", "Data", "Model and input", "Optimizer and schedule", "Augmentation",
        "Loss", "Distillation", "Hardware and processes", "Checkpoints and logging",
    ]  # fmt: skip
    assert groups["Common options"] == COMMON
    (recipes,) = (names for title, names in groups.items() if title.startswith("Recipes"))
    assert recipes == recipe_names()


def test_what_is_stored_is_current():
    assert STORED.read_text() == as_text(), "run `make help-screens`"


@pytest.mark.parametrize("name", recipe_names())
def test_a_stored_recipe_is_shown_as_the_recipe_itself(name, capsys):
    screen = show(capsys, "train", name, "--help")
    assert screen == COMMANDS["train"].help([name, "--help"])
    assert screen == recipe_help(name, stored("train", name), stored_titles("train"))


@dataclass(frozen=True, kw_only=True)
class ToyConfig(ClassificationConfig):
    """Train a toy."""

    wheels: int = 4
    """Number of wheels."""


@dataclass(frozen=True, kw_only=True)
class ToyOptions(ClassificationTask.evaluate_options):
    """Options of `evaluate` for toys."""

    speed_limit: float = 1.5
    """Speed limit in m/s."""


class ToyTask(ClassificationTask):
    name = "toy"
    config = ToyConfig
    evaluate_options = ToyOptions


def test_a_registered_task_shows_its_own_options(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.TASKS, "toy", ToyTask)
    (tmp_path / "run.json").write_text('{"task": "toy"}')
    screen = show(capsys, "train", "toy", "--help")
    assert screen.startswith(
        "Usage: spectralvision train toy --data DATA [OPTIONS]\n\nTrain a toy."
    )
    assert blocks(screen)["Options"] == ["--wheels"]
    assert "Number of wheels. [default: 4]" in screen
    screen = show(capsys, "evaluate", "--model", str(tmp_path), "--help")
    assert "Speed limit in m/s. [default: 1.5]" in screen
    assert "--speed-limit" not in show(capsys, "evaluate", "--help")
    assert main(["train", "toys", "--help"]) == 2
    assert "toys is not a recipe: did you mean toy?" in capsys.readouterr().err


def test_help_follows_the_options_only(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["predict", "--", "--help"]) == 2
    assert capsys.readouterr().err == "spectralvision: error: --help does not exist.\n"
    assert show(capsys, "predict", "--help", "--nonsense") == verb_help(
        "predict", stored("predict", "classification")
    )


QUICK = {
    "--help": 0,
    "--version": 0,
    "trian": 2,
    "models --al": 2,
    "convert": 2,
    **{f"{verb} --help": 0 for verb in VERBS},
    "train svt-imagenet --help": 0,
}


@pytest.mark.parametrize("words", QUICK)
def test_an_answer_is_quick(words):
    """In seconds of CPU time, of the user and of the system, best of three."""
    seconds = []
    for _ in range(3):
        command = [sys.executable, "-m", "spectralvision_cli", *words.split()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
            out, err = job.stdout.read(), job.stderr.read()
            _, status, usage = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
        assert job.returncode == QUICK[words], err
        assert bool(out) == (QUICK[words] == 0)
        assert err.count(b"\n") == (QUICK[words] == 2)
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) < MAX_CPU_SECONDS


def test_an_answer_imports_neither_the_package_nor_torch():
    code = """
import sys
from spectralvision_cli.main import main
code = main(sys.argv[1:])
heavy = {"spectralvision", "torch", "timm", "torchvision", "lightning", "numpy"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""
    for words, code_of in QUICK.items():
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()], capture_output=True, text=True
        )
        assert done.returncode == code_of, done.stderr


def test_the_console_script_is_in_the_wheel():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module, _, name = pyproject["project"]["scripts"]["spectralvision"].partition(":")
    assert callable(getattr(import_module(module), name))
    packages = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["src/spectralvision", "src/spectralvision_cli"]
    assert STORED.parent == ROOT / "src/spectralvision_cli"
