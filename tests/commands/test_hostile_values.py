"""Every numeric option with values that cannot work: one sentence that names the option."""

import re

import pytest

from spectralvision.cli import COMMANDS, main
from spectralvision.data.open_data import WHAT_IS_READ
from spectralvision.runs import UserError
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision_cli.fields import read_fields
from spectralvision_cli.options import VERBS
from spectralvision_cli.parser import UsageError, parse

ZERO_WORKS = {
    "weight_decay", "layer_decay", "warmup_epochs", "warmup_start", "min_lr", "drop_path", "ema",
    "seed", "workers", "val_fraction", "label_smoothing", "class_weights", "mixup", "cutmix",
    "hflip", "color_jitter", "re_prob", "distillation_weight", "checkpoint_minutes",
}  # fmt: skip
HUGE_WORKS = {"clip_grad", "checkpoint_minutes", "warmup_epochs"}
"""warmup_epochs is compared with the epochs once these are known."""
NEVER = ("nan", "inf", "-inf", "-1", "", " ", "2^64", "1e999", "9" * 5000)


def is_numeric(field):
    return bool({int, float} & set(field.types)) and str not in field.types


NUMERIC = {field.name: field for field in read_fields(ClassificationConfig) if is_numeric(field)}


def rejection(field, value):
    """What `train` says of a value of one option, from the words to the check of the settings."""
    try:
        (config,) = parse("train", ["--data", "x", f"{field.option}={value}"], ClassificationConfig)
        config.check()
    except (UsageError, UserError) as error:
        return str(error)
    return None


def test_there_are_numeric_options():
    assert len(NUMERIC) > 30
    assert set(NUMERIC) >= ZERO_WORKS | HUGE_WORKS


@pytest.mark.parametrize("name", NUMERIC)
def test_train(name):
    field = NUMERIC[name]
    values = list(NEVER)
    values += [] if name in ZERO_WORKS else ["0"]
    values += [] if name in HUGE_WORKS else [str(2**64), "1e308"]
    for value in values:
        sentence = rejection(field, value)
        assert sentence is not None, f"{field.option} {value} is accepted"
        assert sentence.startswith((f"{field.option} ", "--fold", "--min-size and --max-size")), (
            sentence
        )
        assert "\n" not in sentence
        assert sentence.endswith((".", "?"))
    if name in ZERO_WORKS:
        assert rejection(field, "0") is None


OTHERS = {
    f"{verb} {field.option}": (verb, field)
    for verb, options in VERBS.items()
    if verb != "train"
    for field in read_fields(options)
    if is_numeric(field)
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_verbs(name):
    """Where the words are read, no number is NaN, infinite or of thousands of digits."""
    verb, field = OTHERS[name]
    for value in ("nan", "inf", "-inf", "", "2^64", "9" * 5000):
        with pytest.raises(UsageError, match=rf"^{field.option} .* should be "):
            parse(verb, [f"{field.option}={value}"], VERBS[verb])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train --data x --lr 0", "--lr 0.0 should be greater than 0, at most 10."),
        ("train --data x --seed 18446744073709551616",
         "--seed 18446744073709551616 should be between 0 and 4294967295."),
        ("train --data x --input-size 1000000",
         "--input-size 1000000 should be between 1 and 8192."),
        ("train --data x --clip-grad -inf", "--clip-grad -inf should be a number or none."),
        ("train --data x --out=", "--out '' should be a name."),
        ("train --data x --image-size 64", "train has no option --image-size: did you mean "
         "--input-size?"),
        ("train --data x --learning_rate 1", "train has no option --learning_rate: did you mean "
         "--lr?"),
        ("train --data ~nosuchuser/x",
         f"~nosuchuser/x does not exist: --data takes {WHAT_IS_READ}."),
        ("train /photos", "train takes its data as an option: did you mean --data /photos?"),
        ("train finetune /photos", "train takes its data as an option: did you mean --data "
         "/photos?"),
        ("Train --data x", "Train is not a verb: did you mean train?"),
        ("test --data x", "test is not a verb: did you mean evaluate?"),
    ],
)  # fmt: skip
def test_sentences(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"spectralvision: error: {sentence}\n")
    assert not list(tmp_path.iterdir())


def test_a_model_in_other_letters_is_found(capsys):
    assert main(["benchmark", "AFFNet-T"]) == 2
    assert re.search(r"AFFNet-T is .*: did you mean affnet_t\?$", capsys.readouterr().err.strip())


def test_whole_numbers_in_scientific_notation():
    words = ["--data", "x", "--batch-size", "1e3", "--epochs", "2.5e1"]
    (config,) = parse("train", words, ClassificationConfig)
    assert (config.batch_size, config.epochs) == (1000, 25)
    assert type(config.batch_size) is int


def test_all_verbs_are_swept():
    assert set(VERBS) == set(COMMANDS)
