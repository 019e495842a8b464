import shutil

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def cpp_compiler() -> None:
    """For tests that generate machine code by torch.compile."""
    if not any(map(shutil.which, ("g++", "c++", "clang++"))):
        pytest.skip("torch.compile needs a C++ compiler on the CPU")


def pytest_configure() -> None:
    torch.set_num_threads(1)  # the suite runs one process a core
