"""The blocks of commands in the documents are run, in a small form, or say why not.

A block after a line `<!-- not run: REASON -->` is only parsed (`tests/test_docs.py`). Trainings are
of one epoch.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.golden import rule
from tests.helpers.pictures import image_folder, picture, shard
from tests.helpers.scenes import coco_folder, mask_folder
from tests.test_docs import DOCUMENTS, ROOT

BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(?:sh|bash)\n(.*?)^```", re.DOTALL | re.M)
ONE_EPOCH = """#!{python}
import sys

from spectralvision.cli import main

words = sys.argv[1:]
if words[0] == "train" and "--resume" not in words:
    if "--epochs" in words:
        place = words.index("--epochs")
        words[place : place + 2] = []
    words += ["--epochs", "1", "--workers", "0"]
sys.exit(main(words))
"""


def blocks():
    """Yield document, line, reason not to run it (None: it is run) and text of each block."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        for match in BLOCK.finditer(text):
            yield document, text[: match.start(2)].count("\n") + 1, match[1], match[2]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Return a folder for PATH with `spectralvision`, which trains for one epoch, and `python`."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "spectralvision"
    script.write_text(ONE_EPOCH.format(python=sys.executable))
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, command):
    """Return a folder with what the blocks name: data sets, runs, a checkpoint."""
    root = tmp_path_factory.mktemp("documents")
    image_folder(root / "photos", 8)
    image_folder(root / "photos-to-pack/photos", 2)
    shutil.make_archive(str(root / "photos"), "zip", root / "photos-to-pack")
    for number in range(3):
        path = root / f"new/{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture("red", number, 64).save(path)
    shutil.copy(root / "new/0.jpg", root / "photo.jpg")
    (root / "paths.txt").write_text("photo.jpg\nnew/1.jpg\n")
    shard(root / "shards/train.parquet", [0, 1, 2] * 4)
    shard(root / "shards/test.parquet", [0, 1, 2])
    coco_folder(root / "objects")
    mask_folder(root / "streets")
    torch.save({"state_dict": rule.state(rule.load("affnet_256")[1])}, root / "affnet.pt")
    train = "spectralvision train --data photos"
    run(f"{train} --model affnet_et --input-size 64 --batch-size 4", root, command)
    for name in ("a", "b"):
        shutil.copytree(root / "runs/photos-affnet_et", root / "runs" / name)
    shutil.copytree(root / "runs/photos-affnet_et", root / "runs/photos")
    return root


def run(text, folder, command):
    paths = f"{command}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PATH": paths}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "line", "text"),
    [
        pytest.param(document, line, text, id=f"{document}:{line}")
        for document, line, reason, text in blocks()
        if reason is None
    ],
)
def test_a_block_of_commands_runs(document, line, text, prepared, command, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    run(text, folder, command)


def test_most_blocks_are_run():
    """And every other one has a reason."""
    reasons = [reason for _, _, reason, _ in blocks()]
    fences = sum(
        len(re.findall(r"^```(?:sh|bash)$", (ROOT / document).read_text(), re.M))
        for document in DOCUMENTS
    )
    assert len(reasons) == fences
    assert reasons.count(None) >= 20
