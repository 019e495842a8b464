"""The tasks by name."""

from importlib import import_module
from typing import TYPE_CHECKING

from spectralvision.engine.weights_io import read_config
from spectralvision.runs import UserError, expand_user, read_json, suggest

if TYPE_CHECKING:
    from spectralvision.tasks.base import Task

TASKS: dict[str, "str | type[Task]"] = {
    "classification": "spectralvision.tasks.classification.task:ClassificationTask",
    "detection": "spectralvision.tasks.detection.task:DetectionTask",
    "segmentation": "spectralvision.tasks.segmentation.task:SegmentationTask",
}
"""Name -> "module:Class", or the class of a task that was registered."""
DEFAULT = "classification"


def register_task(name: str, cls: "type[Task]") -> None:
    """Make a task known by a name, which is also the name of its recipe.

    Raises:
        ValueError: Another task has the name.
    """
    if TASKS.get(name, cls) is not cls:
        raise ValueError(f"the task {name} is registered already: choose another name")
    TASKS[name] = cls


def find_task(name: str) -> "Task":
    """Return the task of a name.

    Raises:
        UserError: There is no such task.
    """
    if name not in TASKS:
        raise UserError(f"{name} is not a task: {suggest(name, TASKS, 'the tasks are')}")
    entry = TASKS[name]
    if isinstance(entry, str):
        module, _, attribute = entry.partition(":")
        entry = getattr(import_module(module), attribute)
    return entry()  # type: ignore[operator]


def task_of(model: str) -> "Task":
    """Return the task of a run folder or a repository; classification where none is named.

    Raises:
        UserError: The run is of a task that is not registered here.
    """
    path = expand_user(model.removeprefix("local-dir:")) / "run.json"
    known = read_json(path) if path.is_file() else read_config(model)
    name = known.get("task", DEFAULT)
    if not isinstance(name, str):
        raise UserError(f"{model} names no task ({name!r}).")
    return find_task(name)
