"""Answer what needs neither torch nor timm: help, the version, and errors in the words."""

import os
import sys
from collections.abc import Sequence

from spectralvision_cli.help_screens import (
    DEFAULT_TASK,
    command_help,
    recipe_help,
    stored_description,
    stored_titles,
    verb_help,
)
from spectralvision_cli.options import VERBS
from spectralvision_cli.parser import (
    HELP_FLAGS,
    PROG,
    UsageError,
    asks_for_help,
    parse,
    suggest,
    value_of,
)

VERB_SYNONYMS = {
    "classify": "predict", "fit": "train", "finetune": "train finetune", "infer": "predict",
    "inference": "predict", "list": "models", "quickstart": "train --data digits",
    "resume": "train --resume", "test": "evaluate", "upload": "push", "validate": "evaluate",
}  # fmt: skip
"""Names that other programs give to verbs -> ours."""


def normalize(words: Sequence[str]) -> list[str]:
    """Return the words with `help VERB` written as `VERB --help`."""
    return [*words[1:], "--help"] if words and words[0] == "help" else list(words)


def answer(words: Sequence[str]) -> int | None:
    """Print help or the version, and check the words as far as that is quick.

    Returns:
        The exit code, or None where the verb has to run.

    Raises:
        UsageError: The verb or one of its options does not exist or has a wrong value.
    """
    if not words:
        print(command_help(), end="", file=sys.stderr)
        return 2
    verb, *rest = words
    if verb in HELP_FLAGS:
        print(command_help(), end="")
        return 0
    if verb in ("-V", "--version"):
        from importlib.metadata import version

        print(version(PROG))
        return 0
    if verb not in VERBS:
        near = VERB_SYNONYMS.get(verb.lower()) or suggest(verb.lower(), list(VERBS))
        cure = f"did you mean {near}?" if near else f"the verbs are {', '.join(VERBS)}."
        raise UsageError(f"{verb} is not a verb: {cure}")
    if asks_for_help(rest):
        screen = _stored_help(verb, rest)
        if screen is None:
            return None
        print(screen, end="")
        return 0
    if not VERBS[verb].task_verb:
        parse(verb, rest, VERBS[verb])  # an error in the words needs no torch to be reported
    return None


def close_output() -> int:
    """Discard what is left in standard output, whose reader has gone; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _stored_help(verb: str, words: Sequence[str]) -> str | None:
    """Return the help of a verb; None if it depends on a model, or on a recipe not stored."""
    if not VERBS[verb].task_verb:
        return verb_help(verb)
    is_train = verb == "train"
    if not is_train and value_of("--model", words) is not None:
        return None
    name = words[0] if is_train and not words[0].startswith("-") else DEFAULT_TASK
    added = stored_description(verb, name)
    if added is None:
        return None
    return recipe_help(name, added, stored_titles(verb)) if is_train else verb_help(verb, added)
