"""Write a run folder for a classifier that another training loop has trained."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from torch import nn

from spectralvision.engine.model_io import architecture, check_forward, describe, save_model
from spectralvision.runs import UserError, expand_user, require_empty_dir, write_json


def save_run(model: nn.Module, classes: Sequence[str], size: int, folder: str | Path) -> Path:
    """Write a run folder that `evaluate`, `predict`, `push` and timm's `local-dir:` take.

    Args:
        model: A model made by `create_model`, of ours or of timm; it is left as it is.
        classes: Class names in the order of its logits.
        size: Side of the square input that it was trained for, in pixels.
        folder: New or empty.

    Returns:
        The folder.

    Raises:
        ValueError: The number of classes is not that of the logits, class names repeat, the model
            does not take the size, or the folder is not empty.
    """
    number = getattr(model, "num_classes", None)
    if number != len(classes):
        raise UserError(
            f"the model has {number} classes, but {len(classes)} class names are given."
        )
    if len(set(classes)) < len(classes):
        repeated = next(name for name in classes if list(classes).count(name) > 1)
        raise UserError(f"the class name {repeated!r} is given twice: class names must differ.")
    copy = deepcopy(model).cpu()
    if problem := check_forward(copy, size):
        raise UserError(f"the model does not take {size} x {size} pixels ({problem}).")
    require_empty_dir(folder, "choose another")
    folder = expand_user(folder)
    folder.mkdir(parents=True, exist_ok=True)
    describe(copy, classes, size)
    try:
        save_model(copy, folder)
    except (TypeError, ValueError) as error:  # arguments, such as mixer_layer, that are no JSON
        folder.rmdir()
        raise UserError(
            f"the model cannot be saved as a run folder ({error}): save its weights alone with "
            "torch.save(model.state_dict(), FILE)."
        ) from None
    results = {"model": architecture(copy), "num_classes": len(classes)}
    record = {"status": "saved", "task": "classification", "results": results}
    write_json(folder / "run.json", record)
    return folder
