"""ncnn networks for Android and small boards, converted by pnnx."""

import subprocess
from collections import Counter
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from spectralvision.export.base import Network, Target
from spectralvision.runs import UserError

WEIGHTS = "model.ncnn.bin"


class Ncnn(Target):
    """`model.ncnn.param` with `model.ncnn.bin` beside it, in float32; one image at a time."""

    name = "ncnn"
    title = "ncnn"
    file = "model.ncnn.param"
    packages = ("ncnn", "pnnx")
    run_packages = ("ncnn",)
    extra = "mobile"

    def check(self, output: str, batch: int | str) -> None:
        if batch != 1:
            raise UserError(
                f"--batch {batch} is not for --target ncnn, which takes one image at a time: leave "
                "it out."
            )

    def write(self, network: Network, folder: Path) -> None:
        import pnnx

        shape = ",".join(map(str, network.example.shape))
        with TemporaryDirectory() as name, torch.inference_mode():
            script = Path(name) / "model.pt"
            module = _with_affine(network.with_products("channels").module)
            torch.jit.trace(module, network.example).save(str(script))
            done = subprocess.run(
                [pnnx.EXEC_PATH, script, f"inputshape=[{shape}]", "fp16=0"],
                capture_output=True, text=True, check=False, cwd=name,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stderr or done.stdout)
            for file in (self.file, WEIGHTS):
                (folder / file).write_bytes((Path(name) / file).read_bytes())
        # pnnx keeps what it cannot convert under the name of PyTorch
        unknown = [one for one in self.operators(folder, network) if not one.isalnum()]
        if unknown:
            raise RuntimeError(f"ncnn has no layer for {', '.join(unknown)}")

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        lines = (folder / self.file).read_text().split("\n")[2:]
        return Counter(line.split()[0] for line in lines if line.strip())


def _with_affine(module: nn.Module) -> nn.Module:
    """Return a copy whose norms all have scale and shift, without which pnnx fails."""
    module = deepcopy(module)
    for norm in module.modules():
        if isinstance(norm, nn.GroupNorm) and not norm.affine:
            norm.affine = True
            norm.weight = nn.Parameter(torch.ones(norm.num_channels), requires_grad=False)
            norm.bias = nn.Parameter(torch.zeros(norm.num_channels), requires_grad=False)
        if isinstance(norm, nn.LayerNorm) and norm.weight is not None and norm.bias is None:
            norm.bias = nn.Parameter(torch.zeros_like(norm.weight), requires_grad=False)
    return module
