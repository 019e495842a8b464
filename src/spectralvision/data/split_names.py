"""The split that the name of a file or folder states: `train`, `val` or `test`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from spectralvision.runs import UserError

SPLITS = ("train", "val", "test", "all")
"""All splits in their order; `all`: data without splits."""
SPLIT_OF_WORD = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
}
"""As Hugging Face's data sets understand these words."""
LETTER = r"[^\W\d_]"
WORDS = re.compile(rf"(?<!{LETTER})({'|'.join(SPLIT_OF_WORD)})(?:set|data|images)?(?!{LETTER})")


def find_split_word(name: str) -> str | None:
    """Return the split word in a name, set off by anything but letters, or None.

    `trainset`, `traindata` and `trainimages` have the word train.

    Raises:
        UserError: The name has two different words.
    """
    words = sorted(set(WORDS.findall(name.lower())))
    if len(words) > 1:
        raise UserError(f"{name} names two splits ({', '.join(words)}): keep one of these words.")
    return words[0] if words else None


def group_by_split(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files of each split, in the order of `SPLITS`.

    The split of a file is in its name, or else in that of the nearest folder below `root`. If no
    file has one, all are of the split `all`.

    Raises:
        UserError: A file belongs to no split while others do, or its name is ambiguous.
    """
    words = {file: _find_in_path(file.relative_to(root)) for file in files}
    stray = next((file for file, word in words.items() if word is None), None)
    if set(words.values()) == {None}:
        return {"all": list(files)}
    if stray is not None:
        raise UserError(
            f"{stray} belongs to no split, but others do: put train, val or test into its name."
        )
    splits = {file: SPLIT_OF_WORD[word] for file, word in words.items() if word}
    require_distinct_splits(root, {word: word for word in words.values() if word})
    return {
        split: [file for file in files if splits[file] == split]
        for split in SPLITS
        if split in splits.values()
    }


def require_distinct_splits(root: str | Path, words: Mapping[str, str]) -> None:
    """Raise `UserError` if two names, given with their split words, stand for the same split."""
    for split in SPLITS:
        same = sorted(name for name, word in words.items() if SPLIT_OF_WORD[word] == split)
        if len(same) > 1:
            raise UserError(
                f"{root} has the same split twice ({', '.join(same)}): keep one of them."
            )


def _find_in_path(path: Path) -> str | None:
    names = (path.stem, *reversed(path.parent.parts))
    return next((word for name in names if (word := find_split_word(name))), None)
