"""Replace the generated part of a document."""

from pathlib import Path


def insert(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what is between two lines of a document.

    Raises:
        ValueError: The document has no such lines.
    """
    before, mark, rest = path.read_text().partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"{path} has no lines {begin!r} and {end!r} to write between")
    path.write_text(before + begin + text + end + after)
