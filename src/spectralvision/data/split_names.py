"""The split that the name of a file or folder states: `train`, `val` or `test`."""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from spectralvision.data.find_images import subfolders
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


def split_of(name: str) -> str | None:
    """Return the split that a name states, or None if it states none or several."""
    with contextlib.suppress(UserError):
        word = find_split_word(name)
        return SPLIT_OF_WORD[word] if word else None
    return None


def find_split_folders(root: Path, without: Collection[Path] = ()) -> dict[str, Path]:
    """Return the folders in a folder that are named after a split, in the order of `SPLITS`.

    Args:
        root: The folder.
        without: Folders in it that do not count.

    Raises:
        UserError: Two have the same split, or the name of one is ambiguous.
    """
    folders = [folder for folder in subfolders(root) if folder not in without]
    words = {folder.name: find_split_word(folder.name) for folder in folders}
    named = {name: word for name, word in words.items() if word}
    require_distinct_splits(root, named)
    found = {SPLIT_OF_WORD[word]: root / name for name, word in named.items()}
    return {split: found[split] for split in SPLITS if split in found}


def group_by_split(
    root: Path, files: Sequence[Path], by_name: bool = True
) -> dict[str, list[Path]]:
    """Return the files of each split, in the order of `SPLITS`.

    Args:
        root: The folder of the data set.
        files: Its files. The split of one is in its name, or else in that of the nearest folder
            below `root`. If no file has one, all are of the split `all`.
        by_name: Whether the names of files count, rather than those of their folders alone.

    Raises:
        UserError: A file belongs to no split while others do, or its name is ambiguous.
    """
    words = {file: _find_in_path(file.relative_to(root), by_name) for file in files}
    stray = next((file for file, word in words.items() if word is None), None)
    if set(words.values()) == {None}:
        return {"all": list(files)}
    if stray is not None:
        what = "its name" if by_name else "the name of its folder"
        raise UserError(
            f"{stray} belongs to no split, but others do: put train, val or test into {what}."
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


def _find_in_path(path: Path, by_name: bool) -> str | None:
    names = (path.stem if by_name else "", *reversed(path.parent.parts))
    return next((word for name in names if (word := find_split_word(name))), None)
