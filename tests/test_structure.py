"""The structure of the package: who imports what, and which private names it uses."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "spectralvision"
ORDER = [
    "cli", "commands", "demo", "recipes", "tasks", "report", "export", "sharing", "analysis",
    "engine", "data", "models", "mixers", "ops", "runs",
]  # fmt: skip
"""Folders and files of the package from the top: each imports only from those after it."""
GROUND = {"ops", "runs"}
MODEL_SIDE = {"models", "mixers", "ops"}
CLI = "spectralvision_cli"
CLI_USERS = {"cli", "commands"}
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
ALL_FILES = sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in ALL_FILES}


def imports(path: Path) -> dict[str, list[tuple[int, bool]]]:
    """Module of ours -> (line, whether the import is inside a function) of each import of it."""
    tree = ast.parse(path.read_text())
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found: dict[str, list[tuple[int, bool]]] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else module for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] in ("spectralvision", CLI):
                found.setdefault(name, []).append((node.lineno, node in inner))
    return found


GRAPH = {module_of(path): imports(path) for path in ALL_FILES}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"spectralvision"}))
def test_a_file_imports_only_from_folders_below_its_own(module: str) -> None:
    if module.startswith(CLI):
        others = {name for name in GRAPH[module] if not name.startswith(CLI)}
        assert others <= {"spectralvision.cli"}, f"{module} imports {others}"
        return
    here = room_of(module)
    assert here in ORDER, f"{here} has no place in the order"
    for name in GRAPH[module]:
        if name.startswith(CLI):
            assert here in CLI_USERS, f"{module} imports {name}"
            continue
        there = room_of(name)
        if not there or there == here:
            continue  # the public names, or the same folder
        assert here not in GROUND, f"{module} is ground, but imports {name}"
        assert ORDER.index(there) > ORDER.index(here), f"{module} imports {name} from above"
    if here == "data":
        assert not {room_of(name) for name in GRAPH[module]} & MODEL_SIDE


def test_no_import_cycle_between_files() -> None:
    """Imports inside functions count too. A package stands for its `__init__.py`."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for name in GRAPH.get(module, {}):
            if name in MODULES and name != "spectralvision":  # the public surface
                visit(name, (*path, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())
    assert done == set(MODULES)


def test_tasks_do_not_import_each_other() -> None:
    tasks = {path.name for path in (PACKAGE / "tasks").iterdir() if path.is_dir()} - {"__pycache__"}
    assert "classification" in tasks
    for module, found in GRAPH.items():
        own = module.split(".")[2:3] if module.startswith("spectralvision.tasks.") else []
        if own and own[0] in tasks:
            for name in found:
                other = name.split(".")[2:3] if name.startswith("spectralvision.tasks.") else []
                assert not other or other[0] not in tasks - set(own), f"{module} imports {name}"


def test_no_folder_but_tasks_knows_a_task() -> None:
    """Above the tasks only recipes, which configure one, a verb that is for one, and `save_run`."""
    allowed = {"spectralvision.commands.token_labels"}
    for module, found in GRAPH.items():
        knows = [name for name in found if name.startswith("spectralvision.tasks.classification")]
        if knows and module not in allowed | {"spectralvision"}:
            assert room_of(module) in ("tasks", "recipes"), f"{module} imports {knows[0]}"


LAZY = {
    "spectralvision.cli",
    "spectralvision.commands",
}
"""Where imports of ours may be inside functions: a verb that only prints its help is quick, and so
is `import spectralvision` (`save_run`)."""


def test_imports_inside_functions_are_for_a_quick_start_only() -> None:
    for module, found in GRAPH.items():
        lazy = [name for name, places in found.items() if any(inside for _, inside in places)]
        if lazy:
            listed = any(f"{module}.".startswith(f"{one}.") for one in LAZY)
            is_listed = module.startswith(CLI) or module == "spectralvision" or listed
            assert is_listed, f"{module} imports {lazy} inside a function"


def test_every_folder_has_a_place() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders <= set(ORDER)


def test_ops_import_no_model_zoo() -> None:
    """What computes the spectra needs torch and NumPy only, so that it can be used alone."""
    paths = [*(PACKAGE / "ops").rglob("*.py")]
    assert len(paths) > 10
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"timm", "torchvision", "lightning"}, path


def test_files_are_short() -> None:
    """Over 350 lines a file gives its reason in the docstring, in a line that begins `Length:`."""
    for path in ALL_FILES:
        text = path.read_text()
        if len(text.splitlines()) > 350:
            assert re.search(r"^Length: ", ast.get_docstring(ast.parse(text)) or "", re.M), path


PRIVATE = {
    "timm.models._input.update_model_input_size": "timm's set_input_size; no public way",
    "_forward_hooks": "whether a module has hooks; torch has no public question",
    "_forward_pre_hooks": "the same",
    "_fft_r2c": "name of the operator behind torch.fft, for counting",
    "_fft_c2r": "the same",
    "_fft_c2c": "the same",
    "torch._inductor.aoti_compile_and_package": "documented as PyTorch's ahead-of-time compiler",
    "torch._inductor.aoti_load_package": "the same",
    "executorch.exir._serialize._program.deserialize_pte_binary": "ExecuTorch's only reader of a "
    "program's operators",
    "_exit": "os._exit, which is documented, for the thread of a queue",
}
"""Private names of torch, timm and Lightning that are used, each with its reason."""
NAMED_TUPLE = {"_asdict", "_replace", "_fields"}
"""Public methods of named tuples."""


def private_names(path: Path) -> set[str]:
    """Private names that a file imports, or reads from anything but `self` and `cls`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(
            "spectralvision"
        ):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if any(part.startswith("_") and part != "__future__" for part in name.split(".")):
                    found.add(name)
        elif isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls") and node.attr not in NAMED_TUPLE:
                found.add(node.attr)
    return found


def test_private_names_of_libraries_are_listed() -> None:
    found = {name for path in ALL_FILES for name in private_names(path)}
    assert found == set(PRIVATE)
