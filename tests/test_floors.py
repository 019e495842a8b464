"""A folder imports only from folders below it, and inside the package imports are absolute."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/spectralvision"
# From the top.
FLOORS = ["cli", "verbs", "demo", "recipes", "analysis", "export", "tasks", "data", "models", "mixers", "ops", "runs"]
GROUND = {"ops", "runs"}
MODEL_SIDE = {"models", "mixers", "ops"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_floors(path: Path) -> set[str]:
    floors = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            modules = [node.module or ""]
            if node.module == "spectralvision":  # from spectralvision import x: x is a floor or the public surface
                modules = [f"spectralvision.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        parts = [module.split(".") for module in modules]
        floors |= {part[1] for part in parts if part[0] == "spectralvision" and len(part) > 1}
    return floors


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_floors_below(path: Path) -> None:
    here = floor_of(path)
    assert here in FLOORS, f"{here} is no floor of the house"
    for floor in imported_floors(path) & set(FLOORS) - {here}:
        assert here not in GROUND, f"{here} is ground, and imports {floor}"
        assert FLOORS.index(floor) > FLOORS.index(here), f"{here} imports {floor} from above"
    if here == "data":
        assert not imported_floors(path) & MODEL_SIDE


def test_every_folder_is_a_floor() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(FLOORS)


def test_ops_and_mixers_know_nothing_but_torch_and_numpy() -> None:
    """What computes the spectra needs no model zoo, so that it can be taken alone."""
    for path in [*(PACKAGE / "ops").glob("*.py"), *(PACKAGE / "mixers").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] in ("timm", "torchvision", "lightning")], path
