"""The drawn pictures of `spectralvision demo` as maps, for the plots beside this file."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spectralvision.demo.examples import write_examples

SHIP, FLOWER, ZONE_PLATE = range(3)


def drawn_map(number: int) -> Tensor:
    """Return a picture in gray, (1, 1, 256, 256), from 0 to 1."""
    with tempfile.TemporaryDirectory() as folder:
        gray = Image.open(write_examples(Path(folder))[number]).convert("L")
    return torch.from_numpy(np.asarray(gray) / 255)[None, None].float()
