"""Make one script of files in `standalone/`, which needs nothing of this package."""

import ast
import sys
from pathlib import Path

STANDALONE = Path(__file__).with_name("standalone")
OWN = "spectralvision"


def assemble(names: tuple[str, ...], title: str) -> str:
    """Return a script with the functions of files in `standalone/`, the last of which has `main`.

    Args:
        names: The files; each may use those before it.
        title: Its docstring.
    """
    imports: set[str] = set()
    bodies: list[str] = []
    for name in names:
        source = (STANDALONE / f"{name}.py").read_text(encoding="utf-8")
        found, body = _split(source)
        imports |= found
        bodies.append(body)
    groups = [sorted(one, key=_import_order) for one in _group(imports)]
    head = "\n\n".join("\n".join(group) for group in groups)
    main = 'if __name__ == "__main__":\n    main(load)'
    return "\n\n\n".join([f'"""{title}"""\n\n{head}', *bodies, main]) + "\n"


def _split(source: str) -> tuple[set[str], str]:
    """Return the imports of other packages, and what follows all imports."""
    tree = ast.parse(source)
    kinds = (ast.Import, ast.ImportFrom)
    nodes = [node for node in tree.body if isinstance(node, kinds)]
    kept = {
        ast.unparse(node)
        for node in nodes
        if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OWN))
    }
    lines = source.splitlines()[nodes[-1].end_lineno :]
    return kept, "\n".join(lines).strip()


def _group(imports: set[str]) -> tuple[set[str], set[str]]:
    """Return the imports of the standard library, and the others."""
    own = {line for line in imports if line.split()[1].split(".")[0] in sys.stdlib_module_names}
    return own, imports - own


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line
