"""Write the pages of docs/reference from the docstrings of the public names.

Run `python docs/write_reference.py`, or `make docs`. Griffe reads the source, so that nothing of it
is executed; a test compares the pages with the source.
"""

from pathlib import Path
from typing import Any

import griffe

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src"
OUT = HERE / "reference"
PAGES = {
    "spectralvision": ("spectralvision.md", "Models and runs"),
    "spectralvision.mixers": ("mixers.md", "Mixers"),
    "spectralvision.ops": ("ops.md", "Ops"),
    "spectralvision.analysis": ("analysis.md", "Analysis"),
}
"""Module -> file and title."""
METHODS = ("forward", "mask", "kernel", "bands", "mixture_weights", "decay_for", "adaptivity",
           "mean_adaptivity", "by_group", "complex", "fuse", "set_input_size", "compile",
           "forward_intermediates", "forward_token_label")  # fmt: skip
"""Of classes, in this order."""


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for name, text in pages().items():
        (OUT / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    package = griffe.load(
        "spectralvision", search_paths=[SOURCE], docstring_parser="google", resolve_aliases=True
    )
    found = {}
    for path, (file, title) in PAGES.items():
        module: Any = package if path == "spectralvision" else package[path.partition(".")[2]]
        names = [name for name in module.exports or [] if _is_documented(module, str(name))]
        parts = [_describe(module[str(name)], str(name), path) for name in names]
        intro = module.docstring.value if module.docstring else ""
        found[file] = f"# {title}\n\n`{path}`. {intro}\n\n" + "\n".join(parts)
    return found


def _is_documented(module: Any, name: str) -> bool:
    """Return whether a name has a docstring here: not timm's, and no constant."""
    try:
        return module[name].docstring is not None
    except griffe.AliasResolutionError:
        return False


def _describe(item: Any, name: str, path: str) -> str:
    """Return a function, a class or a constant as Markdown."""
    if item.is_attribute:
        return f"## {name}\n\n{item.docstring.value}\n"
    text = f"## {name}\n\n```text\n{_signature(item, f'{path}.{name}')}\n```\n\n"
    text += _docstring(item)
    if item.is_class:
        for method in METHODS:
            member = item.members.get(method)
            if member is not None and member.docstring is not None:
                text += f"### {name}.{method}\n\n```text\n{_signature(member, method)}\n```\n\n"
                text += _docstring(member)
    return text


def _signature(item: Any, name: str) -> str:
    """Return the call of a function or a class, an argument a line if it is long."""
    function = item.members.get("__init__") if item.is_class else item
    if function is None or not hasattr(function, "parameters"):
        return name
    arguments = []
    for one in function.parameters:
        if one.name == "self":
            continue
        kind = one.kind.value if one.kind else ""
        star = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        text = f"{star}{one.name}"
        text += f": {one.annotation}" if one.annotation is not None else ""
        if one.default is not None and not star:
            text += f" = {one.default}" if one.annotation is not None else f"={one.default}"
        arguments.append(text)
    result = ""
    if not item.is_class and function.returns is not None:
        result = f" -> {function.returns}"
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= 88:
        return line
    body = "".join(f"    {argument},\n" for argument in arguments)
    return f"{name}(\n{body}){result}"


def _docstring(item: Any) -> str:
    """Return the sections of a docstring as Markdown."""
    options = {"returns_named_value": False, "returns_multiple_items": False,
               "warn_unknown_params": False, "warn_missing_types": False}  # fmt: skip
    text = ""
    for section in item.docstring.parse("google", **options):
        kind = section.kind.value
        if kind == "text":
            text += f"{section.value}\n\n"
        elif kind in ("parameters", "attributes"):
            title = "Arguments" if kind == "parameters" else "Attributes"
            items = "".join(f"- `{one.name}`: {_line(one)}\n" for one in section.value)
            text += f"**{title}**\n\n{items}\n"
        elif kind in ("returns", "raises"):
            lines = [
                f"`{one.annotation}`: {_line(one)}" if kind == "raises" else _line(one)
                for one in section.value
            ]
            text += f"**{kind.capitalize()}**\n\n" + "\n\n".join(lines) + "\n\n"
        elif kind == "admonition":
            text += f"{section.value.description}\n\n"
    return text


def _line(one: Any) -> str:
    return " ".join(str(one.description).split())


if __name__ == "__main__":
    main()
