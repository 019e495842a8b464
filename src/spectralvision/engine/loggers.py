"""Lightning's loggers by name."""

import inspect
from pathlib import Path
from typing import Any

from spectralvision.runs import UserError


def build_loggers(name: str, run: Path) -> list[Any]:
    """Return the logger of that name, writing into the run folder where it writes files.

    Raises:
        UserError: There is no such logger, or its package is missing.
    """
    if name == "none":
        return []
    from lightning.pytorch import loggers

    kind = getattr(loggers, "TensorBoardLogger" if name == "tensorboard" else name, None)
    if kind is None:
        known = ", ".join(loggers.__all__)
        raise UserError(f"--logger {name} is not a logger of Lightning: use one of {known}.")
    parameters = inspect.signature(kind).parameters
    options: dict[str, Any] = {"save_dir": str(run)} if "save_dir" in parameters else {}
    try:
        return [kind(**options)]
    except (ModuleNotFoundError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--logger {name} cannot be created ({reason}).") from None
