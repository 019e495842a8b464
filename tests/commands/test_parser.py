"""From words to option dataclasses: what is read, and the one sentence for what is not."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from spectralvision_cli.fields import argument, read_fields
from spectralvision_cli.help_screens import describe
from spectralvision_cli.parser import UsageError, parse, value_of


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float | Literal["auto"] = "auto"
    """Learning
    rate, see `inner_steps`."""
    momentum: float = 0.9
    """Momentum."""


@dataclass(frozen=True, kw_only=True)
class Base:
    inner_steps: int = 3
    """Steps."""
    clip: float | None = 1.0
    """Norm."""


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Options of a verb that is no verb."""

    paths: tuple[str, ...] = argument((), "PATH")
    """Files."""
    data: str
    """Data."""
    data_dir: str | None = None
    fast: bool = True
    """Go fast."""
    json: bool = False
    size: tuple[int, ...] = ()
    form: tuple[Literal["eager", "fused"], ...] = ("eager",)
    device: Literal["auto", "cpu"] = "auto"
    clip: float | None = 2.0
    inner: Inner = field(default_factory=lambda: Inner(momentum=0.5))


@dataclass(frozen=True, kw_only=True)
class More:
    top_k: int = 1
    """Classes."""


@dataclass(frozen=True, kw_only=True)
class Positional:
    run: str = argument(..., "RUN")
    target: str = argument(..., "TARGET")
    model: str


READ = {
    "": {},
    "--inner-steps 5": {"inner_steps": 5},
    "--inner-steps=5": {"inner_steps": 5},
    "--inner_steps 5": {"inner_steps": 5},
    "--inner-steps -5": {"inner_steps": -5},
    "--inner-steps 5 --inner-steps 7": {"inner_steps": 7},
    "--clip none": {"clip": None},
    "--clip -.5": {"clip": -0.5},
    "--clip 1e-3": {"clip": 0.001},
    "--clip 1_0": {"clip": 10.0},
    "--inner-steps 1e3": {"inner_steps": 1000},
    "--data-dir none": {"data_dir": "none"},
    "--data_dir=a=b": {"data_dir": "a=b"},
    "--data-dir -": {"data_dir": "-"},
    "--fast": {"fast": True},
    "--no-fast": {"fast": False},
    "--json": {"json": True},
    "--json=false": {"json": False},
    "--size 1 2": {"size": (1, 2)},
    "--size 1 --size 2": {"size": (1, 2)},
    "--form fused eager": {"form": ("fused", "eager")},
    "--device cpu": {"device": "cpu"},
    "--rate -1": {"inner": Inner(rate=-1.0, momentum=0.5)},
    "--rate auto --momentum 0": {"inner": Inner(rate="auto", momentum=0.0)},
    "a b": {"paths": ("a", "b")},
    "a --json b": {"paths": ("a", "b"), "json": True},
    "-": {"paths": ("-",)},
    "a -- --json -x -": {"paths": ("a", "--json", "-x", "-")},
    "{a:1} @file [1]": {"paths": ("{a:1}", "@file", "[1]")},
}


@pytest.mark.parametrize("words", READ)
def test_words_are_read(words):
    (options,) = parse("verb", ["--data", "D", *words.split()], Options)
    defaults = {
        "inner_steps": 3, "clip": 2.0, "paths": (), "data": "D", "data_dir": None, "fast": True,
        "json": False, "size": (), "form": ("eager",), "device": "auto",
        "inner": Inner(rate="auto", momentum=0.5),
    }  # fmt: skip
    assert vars(options) == defaults | READ[words]


REJECTED = {
    "--inner-steps 2.7": "--inner-steps 2.7 should be a whole number.",
    "--inner-steps 0x10": "--inner-steps 0x10 should be a whole number.",
    "--inner-steps=": "--inner-steps '' should be a whole number.",
    "--inner-steps none": "--inner-steps none should be a whole number.",
    "--inner-steps": "--inner-steps needs a value: see `spectralvision verb --help`.",
    "--inner-steps --json": "--inner-steps needs a value: see `spectralvision verb --help`.",
    "--size": "--size needs a value: see `spectralvision verb --help`.",
    "--size 1 x": "--size x should be a whole number.",
    "--clip big": "--clip big should be a number or none.",
    "--clip -inf": "--clip -inf should be a number or none.",
    "--data-dir=": "--data-dir '' should be a name.",
    "--rate abc": "--rate abc should be a number or auto.",
    "--device tpu": "--device tpu should be auto or cpu.",
    "--form eager slow": "--form slow should be eager or fused.",
    "--json=maybe": "--json=maybe is wrong: write --json alone.",
    "--jsno": "verb has no option --jsno: did you mean --json?",
    "--no_fats": "verb has no option --no_fats: did you mean --no-fast?",
    "--no-json": "verb has no option --no-json: did you mean --json?",
    "--inner.rate 3": "verb has no option --inner.rate: did you mean --inner-steps?",
    "--empty-size": "verb has no option --empty-size: did you mean --size?",
    "--xyzzy=3": "verb has no option --xyzzy: see `spectralvision verb --help`.",
    "-x": "verb has no option -x: see `spectralvision verb --help`.",
}


@pytest.mark.parametrize("words", REJECTED)
def test_words_are_rejected_with_one_sentence(words):
    with pytest.raises(UsageError) as caught:
        parse("verb", ["--data", "D", *words.split()], Options)
    assert str(caught.value) == REJECTED[words]


def test_missing_and_superfluous_words():
    with pytest.raises(
        UsageError, match=r"^verb needs --data: see `spectralvision verb --help`\.$"
    ):
        parse("verb", [], Options)
    with pytest.raises(UsageError, match=r"^verb needs RUN and TARGET and --model: see `"):
        parse("verb", [], Positional)
    with pytest.raises(UsageError, match=r"^verb needs TARGET: see `"):
        parse("verb", ["a", "--model", "m"], Positional)
    with pytest.raises(UsageError, match=r"^verb does not take 'c': see `"):
        parse("verb", ["a", "--model", "m", "b", "c"], Positional)
    (options,) = parse("verb", ["a", "--model", "m", "b"], Positional)
    assert options == Positional(run="a", target="b", model="m")


def test_several_dataclasses_share_the_words():
    options, more = parse("verb", ["--top-k", "3", "--data", "D", "a"], Options, More)
    assert (options.data, options.paths, more) == ("D", ("a",), More(top_k=3))
    with pytest.raises(UsageError, match=r"^verb has no option --top-k: "):
        parse("verb", ["--top-k", "3", "--data", "D"], Options)


def test_the_value_of_an_option_is_found_without_the_others():
    assert value_of("--model", ["a", "--xy", "3", "--model", "run", "other"]) == "run"
    assert value_of("--model", ["--model=run=1"]) == "run=1"
    assert value_of("--data-dir", ["--data_dir", "x"]) == "x"
    assert value_of("--model", ["--model"]) is None
    assert value_of("--model", ["--models", "x", "--", "--model", "y"]) is None


def test_fields_have_their_help_and_their_place():
    fields = {one.name: one for one in read_fields(Options)}
    assert list(fields) == [
        "inner_steps", "clip", "paths", "data", "data_dir", "fast", "json", "size", "form",
        "device", "rate", "momentum",
    ]  # fmt: skip
    assert fields["inner_steps"].help == "Steps."
    assert fields["clip"].help == "Norm."
    assert fields["data_dir"].help == ""
    assert (fields["rate"].parent, fields["data"].parent) == ("inner", "")
    rows = {row.name: (row.label, row.help) for row in describe(Options).rows}
    assert rows["rate"] == (
        "--rate X|auto",
        "Learning rate, see --inner-steps. [default: auto]",
    )
    assert rows["momentum"] == ("--momentum X", "Momentum. [default: 0.5]")
    assert rows["clip"] == ("--clip X", "Norm. [default: 2]")
    assert rows["fast"] == ("--[no-]fast", "Go fast. [default: on]")
    assert rows["data"] == ("--data DATA", "Data. [required]")
    assert rows["paths"] == ("[PATH ...]", "Files.")
    assert rows["size"][0] == "--size N ..."
    assert rows["form"][0] == "--form eager|fused ..."
    assert rows["json"] == ("--json", "")


def test_fields_of_one_name_are_an_error_of_the_declaration():
    @dataclass(frozen=True, kw_only=True)
    class Twice:
        rate: float = 1.0
        inner: Inner = field(default_factory=Inner)

    with pytest.raises(TypeError, match="Twice has more than one field named rate"):
        read_fields(Twice)
