"""Packages of code compiled ahead of time by AOTInductor, which run without this package."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

# Private by name only: PyTorch documents both as the way to compile ahead of time.
from torch._inductor import aoti_compile_and_package, aoti_load_package

from spectralvision.export.base import Network, Runner, Target

PROGRAM = "program.pt2"
