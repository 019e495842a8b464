"""Which columns of a shard hold images and labels, and the class names in its metadata."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from spectralvision.data.names import normalize_name
from spectralvision.runs import UserError

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels")


class Columns(NamedTuple):
    """The names of the columns of images and labels; None: found by name or type."""

    image: str | None = None
    label: str | None = None
    run: Mapping[str, str] = MappingProxyType({})
    """The columns `image` and `label` of a run, which are preferred where they exist."""

    def is_given(self) -> bool:
        """Return whether the user named a column."""
        return self.image is not None or self.label is not None

    def options(self) -> list[str]:
        """Return the words of the command line that name them."""
        image = ["--image-column", self.image] if self.image is not None else []
        return image + (["--label-column", self.label] if self.label is not None else [])


def find_image_column(schema: Any, wanted: Columns, file: Path) -> str:
    """Return the name of the image column.

    It is the one that is wanted; or that of the run; or `image` or `img`; or the only one whose
    type fits.

    Raises:
        UserError: The wanted column does not exist, it holds no images, or no or several fit.
    """
    name = _find(schema, "image", wanted, IMAGE_NAMES, _may_be_image, file)
    kind = schema.field(name).type
    if not holds_images(kind):
        raise UserError(
            f"the column {name!r} of {file} has the type {kind}, not the content of image files: "
            "name another with --image-column."
        )
    return name


def find_label_column(schema: Any, wanted: Columns, file: Path) -> str:
    """Return the name of the label column, in the same way; its type is checked when it is read."""
    return _find(schema, "label", wanted, LABEL_NAMES, _may_be_label, file)


def stored_class_names(schema: Any, column: str, file: Path) -> tuple[str, ...] | None:
    """Return the class names in a schema's metadata: `class_names`, or Hugging Face's ClassLabel.

    Raises:
        UserError: They cannot be read, or one occurs twice.
    """
    metadata = schema.metadata or {}
    try:
        if b"class_names" in metadata:
            names = json.loads(metadata[b"class_names"])
        else:
            names = _features(schema).get(column, {}).get("names")
        if not names:
            return None
        composed = tuple(map(normalize_name, _require_list(names)))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{file} has class names that cannot be read ({error}).") from None
    twice = [name for name, count in Counter(composed).items() if count > 1]
    if twice:
        raise UserError(f"{file} has the class name {twice[0]!r} twice: rename one of them.")
    return composed


def _find(
    schema: Any,
    kind: str,
    wanted: Columns,
    usual: Sequence[str],
    may_be: Callable[[Any], bool],
    file: Path,
) -> str:
    columns = ", ".join(schema.names)
    given: str | None = getattr(wanted, kind)
    if given is not None and given not in schema.names:
        raise UserError(
            f"{file} has no column {given!r} for --{kind}-column: its columns are {columns}."
        )
    preferred = [given] if given is not None else [wanted.run.get(kind), *usual]
    found = [name for name in preferred if name is not None and name in schema.names][:1]
    if not found:
        found = _declared(schema, kind) or [
            field.name
            for field in schema
            if not field.name.startswith("__") and may_be(field.type)  # __index_level_0__ of pandas
        ]
    if len(found) != 1:
        several = f", and several that fit ({', '.join(found)})" if found else ""
        raise UserError(
            f"{file} has no column {kind!r}{several}: name one of its columns ({columns}) with "
            f"--{kind}-column."
        )
    if schema.names.count(found[0]) > 1:
        raise UserError(f"{file} has the column {found[0]!r} twice: rename one of them.")
    return found[0]


def _declared(schema: Any, kind: str) -> list[str]:
    """Return the columns that Hugging Face's metadata declares as images, or as class labels."""
    try:
        features = _features(schema)
        wanted = {"image": "Image", "label": "ClassLabel"}[kind]
        return [name for name in schema.names if features.get(name, {}).get("_type") == wanted]
    except (ValueError, AttributeError, TypeError):
        return []


def _features(schema: Any) -> dict[str, Any]:
    """Return the features of Hugging Face's `datasets` in a schema's metadata.

    Raises:
        ValueError, AttributeError: They are malformed.
    """
    info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info") or {}
    features: dict[str, Any] = info.get("features") or {}
    return features


def _require_list(names: Any) -> list[Any]:
    if not isinstance(names, list):
        raise TypeError(f"a list is expected, not {type(names).__name__}")
    return names


def _may_be_image(kind: Any) -> bool:
    """Return whether a column may hold images, by its type alone: text may be anything."""
    return holds_images(kind) and not is_text(kind)


def holds_images(kind: Any) -> bool:
    """Return whether values are contents of files, file names, or both."""
    import pyarrow.types as types

    if types.is_struct(kind):
        tests = {"bytes": _is_content, "path": is_text}
        known = [one for one in kind if one.name in tests and not types.is_null(one.type)]
        return bool(known) and all(tests[one.name](one.type) for one in known)
    return _is_content(kind) or is_text(kind)


def _is_content(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def _may_be_label(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (types.is_integer, types.is_boolean, types.is_dictionary, is_text)
    return any(test(kind) for test in tests)


def is_text(kind: Any) -> bool:
    """Return whether a type of pyarrow is text."""
    import pyarrow.types as types

    tests = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in tests)
