"""`spectralvision convert`."""

import dataclasses
from typing import Annotated, Any

import tyro

from spectralvision.runs import UserError
from spectralvision.verbs import Json, Verb


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convert(Verb):
    """Turn a checkpoint of the authors' code into a run folder. The file is read, never executed.

    A file cannot tell the softshrink threshold it was trained with: see --threshold.
    """

    checkpoint: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="FILE")]] = None
    """The authors' file: PyTorch or safetensors."""
    model: str
    """Which model it is: affnet_et, affnet_t, affnet, svt_h_s ...; `spectralvision models` lists them."""
    out: str | None = None
    """Run folder; default runs/MODEL, with -2, -3 ... when taken."""
    token_label: bool = False
    """Keep the auxiliary head of an SVT that was trained with token labels; the logits then use it."""
    threshold: float | None = None
    """Softshrink threshold that an AFFNet was trained with; default 0.01, the released runs'."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """Converts."""
        if self.checkpoint is None:
            raise UserError("convert needs a file: a checkpoint that the authors' code has written.")
        from spectralvision.tasks.conversion import convert

        return convert(self.checkpoint, self.model, self.out, self.token_label, self.threshold)

    def show(self, result: dict[str, Any]) -> None:
        """Where the run is, and what to do with it."""
        run = result["run"]
        reported = f"; its authors report {result['reported_top1']} % top-1" if result["reported_top1"] else ""
        print(f"run      {run}")
        print(f"model    {result['model']}: {result['params'] / 1e6:.2f} M parameters, {result['num_classes']} classes")
        if result["num_classes"] == 1000:
            print(f"classes  ImageNet's{reported} (not measured here)" if reported else "classes  ImageNet's")
        print(f"next     spectralvision predict PHOTO.jpg --model {run} --top-k 5")
        print(f"         spectralvision evaluate --model {run} --data IMAGENET")
