"""Write an exported file into a new folder, whole or not at all."""

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spectralvision.export.base import Network, Target
from spectralvision.export.errors import conversion_error
from spectralvision.runs import UserError


def write(
    target: Target, network: Network, folder: Path, calibration: np.ndarray | None = None
) -> None:
    """Write a network for a runtime.

    Args:
        target: The runtime.
        network: Prepared.
        folder: Exists.
        calibration: (N, 3, H, W) images, for INT8; None: float32.

    Raises:
        UserError: The converter fails.
    """
    try:
        with _silence():
            if calibration is None:
                target.write(network, folder)
            else:
                target.write_int8(network, folder, calibration)
    except Exception as error:
        if isinstance(error, UserError | MemoryError | OSError):
            raise
        raise conversion_error(error, target, network) from error


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` if the block succeeds, and is removed otherwise.

    Raises:
        UserError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".writing."))
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error}): choose another --out.") from None
    try:
        yield temporary
        # Temporary folders are private; give it the usual permissions
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what converters print and log off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
