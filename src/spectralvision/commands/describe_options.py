"""Write what tasks and recipes add to the help of verbs, for `spectralvision_cli`.

Command: `python -m spectralvision.commands.describe_options` (or `make help-screens`)
"""

import json
from typing import Any

from spectralvision.recipes import find_recipe, recipe_names
from spectralvision.tasks.registry import TASKS, find_task
from spectralvision_cli.help_screens import DEFAULT_TASK, STORED, describe, to_json


def describe_tasks() -> dict[str, dict[str, Any]]:
    """Return for `train` the recipes, and for `evaluate` and `predict` the tasks."""
    base = describe(find_recipe(DEFAULT_TASK))
    train = {DEFAULT_TASK: to_json(base, "", None)}
    for name in recipe_names():
        if name != DEFAULT_TASK:
            one = describe(find_recipe(name))
            # A recipe of the default task inherits its options; one of another task lacks some
            inherits = {row.name for row in base.rows} <= {row.name for row in one.rows}
            train[name] = to_json(one, DEFAULT_TASK, base) if inherits else to_json(one, "", None)
    tasks = {name: find_task(name) for name in TASKS}
    return {
        "train": train,
        "evaluate": {
            name: to_json(describe(task.evaluate_options), "", None) for name, task in tasks.items()
        },
        "predict": {
            name: to_json(describe(task.predict_options), "", None) for name, task in tasks.items()
        },
    }


def as_text() -> str:
    """Return the content of the file: an option per line."""
    verbs = []
    for verb, names in describe_tasks().items():
        entries = []
        for name, one in names.items():
            head = json.dumps({"about": one["about"], "like": one["like"]}, indent=0)[:-2]
            rows = ",\n".join(f"  {json.dumps(row)}" for row in one["rows"])
            entries.append(f'{json.dumps(name)}: {head},\n"rows": [\n{rows}\n]}}')
        verbs.append(f"{json.dumps(verb)}: {{\n" + ",\n".join(entries) + "\n}")
    return "{\n" + ",\n".join(verbs) + "\n}\n"


if __name__ == "__main__":
    STORED.write_text(as_text(), encoding="utf-8")
