"""A page that runs the model in the browser, from any server of static files.

    index.html, style.css, *.js    of `page/`, the same for all models
    model.json                     the model's name, its file and its weights, for the page
    ort/                           onnxruntime-web

The page prepares images and reads outputs as the files of `standalone/` do.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from spectralvision.export.base import Runner
from spectralvision.export.deployment import title_of
from spectralvision.export.onnx import Onnx
from spectralvision.export.ort_web import VERSION, copy_files, fetch_files, read_version
from spectralvision.runs import UserError, write_json

PAGE = Path(__file__).with_name("page")
RUNTIME = "ort"
"""Folder of onnxruntime-web in the deployment folder."""
FACTS = "model.json"
PORT = 8000


class Web(Onnx):
    """An ONNX file and a page, compared with PyTorch on onnxruntime for Python.

    Args:
        ort_web: Folder with the files of onnxruntime-web; None: fetched by npm.
    """

    name = "web"
    title = "onnxruntime-web"
    has_dynamic_batch = False

    def __init__(self, ort_web: Path | None = None) -> None:
        self.ort_web = ort_web

    def check(self, output: str, batch: int | str) -> None:
        if output == "features":
            raise UserError(
                "--output features is not for --target web, whose page shows classes, masks or "
                "boxes: leave it out, or choose --target onnx."
            )
        if batch != 1:
            raise UserError(
                f"--batch {batch} is not for --target web, whose page runs one image at a time: "
                "leave it out."
            )

    def require(self, int8: bool = False) -> None:
        super().require(int8)
        if self.ort_web is not None:
            read_version(self.ort_web)
        elif shutil.which("npm") is None:
            raise UserError(
                f"--target web needs npm to fetch onnxruntime-web {VERSION}: install npm, or give "
                "a folder with its files by --ort-web."
            )

    def versions(self) -> dict[str, str]:
        own = VERSION if self.ort_web is None else read_version(self.ort_web)
        return {"onnxruntime-web": own, **super().versions()}

    def load(self, folder: Path, threads: int | None = None, **options: Any) -> Runner:
        return Onnx().load(folder, threads, **options)

    def write_program(self, folder: Path, script: str, facts: Mapping[str, Any]) -> None:
        # 1. The page
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        names = ("file", "bytes", "int8", "weights")
        about = {"name": title_of(facts["model"]), **{name: facts[name] for name in names}}
        write_json(folder / FACTS, about)

        # 2. The runtime
        if self.ort_web is None:
            fetch_files(folder / RUNTIME)
        else:
            copy_files(self.ort_web, folder / RUNTIME)

    def command(self, folder: str) -> str:
        return f"python -m http.server {PORT} --directory {quote(folder)}"

    def usage(self) -> str:
        return f"""`index.html` does both in a browser, without sending images anywhere.
Serve this folder with any server of static files, such as

    python -m http.server {PORT}

and open `localhost:{PORT}`. The page works offline. It runs on one thread of the CPU, or on the GPU
where the browser has WebGPU. Browsers give the camera to pages on https or localhost only. The
comparison above ran on onnxruntime for Python.

`{RUNTIME}/` is onnxruntime-web, under the MIT license. A browser loads one of its two .wasm files:
the smaller one for the CPU, the larger one for the GPU.
"""
