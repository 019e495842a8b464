"""run.py where nothing but NumPy, Pillow and the runtime is installed."""

import importlib.util
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from spectralvision.cli import main
from tests.helpers.export import write_images
from tests.helpers.run_folders import make_run

UV = Path(__file__).parents[2] / ".venv/bin/uv"
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}
SHOW = (
    "from importlib.util import find_spec\n"
    "print([name for name in ('torch', 'timm', 'spectralvision') if find_spec(name)])"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the converters about themselves
]


def needs(target: str) -> list[pytest.MarkDecorator]:
    if target != "litert":
        return []
    missing = importlib.util.find_spec("ai_edge_litert") is None
    return [pytest.mark.mobile, pytest.mark.skipif(missing, reason="needs the extra mobile")]


@pytest.mark.parametrize("target", [pytest.param(one, marks=needs(one)) for one in RUNTIMES])
def test_run_py(target: str, tmp_path: Path, monkeypatch) -> None:
    # 1. An environment of its own, of the versions that are installed here
    uv = shutil.which("uv") or (str(UV) if UV.is_file() else None)
    if uv is None:
        pytest.skip("environments are made by uv, which `make setup` installs")
    python = tmp_path / "venv/bin/python"
    packages = [f"{name}=={version(name)}" for name in ("numpy", "pillow", RUNTIMES[target])]
    for words in (
        ["venv", "--quiet", "--python", sys.executable, tmp_path / "venv"],
        ["pip", "install", "--quiet", "--python", python, *packages],
    ):
        subprocess.run([uv, *words], check=True, timeout=300)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert subprocess.check_output([python, "-c", SHOW], text=True).strip() == "[]"

    # 2. The same output as here
    run = make_run(tmp_path / "run", "affnet_et")
    out = tmp_path / "deploy"
    assert main(["export", "--model", str(run), "--target", target, "--out", str(out)]) == 0
    images = write_images(tmp_path / "images")
    here, there = (
        subprocess.check_output([one, out / "run.py", *images], text=True, cwd=tmp_path)
        for one in (sys.executable, python)
    )
    assert here == there
    assert len(here.splitlines()) == 3 * len(images)
