"""`spectralvision models`."""

import dataclasses
import difflib
from typing import Any

import tyro

from spectralvision.runs import UserError
from spectralvision.verbs import Json, Verb, print_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Models(Verb):
    """List models: parameters, multiply-adds counted in full, input size, top-1 that the authors report."""

    pattern: tyro.conf.Positional[str] = "*"
    """Names to list, with * and ?."""
    all: bool = False
    """Also list timm's models, by name."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """Ours with their figures; timm's by name only, as building a thousand models takes long."""
        import timm

        import spectralvision

        pattern = self.pattern if any(mark in self.pattern for mark in "*?[") else f"*{self.pattern}*"
        ours = spectralvision.list_models()
        rows = [_figures(name) for name in ours if name in timm.list_models(pattern)]
        others = [name for name in timm.list_models(pattern) if name not in ours] if self.all else []
        if not rows and not others:
            near = difflib.get_close_matches(self.pattern, ours if not self.all else timm.list_models(), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "--all also searches timm's."
            raise UserError(f"no model matches {self.pattern}: {hint}")
        return {"models": rows, "timm": others}

    def show(self, result: dict[str, Any]) -> None:
        """Ours as a table, then timm's names."""
        if rows := result["models"]:
            head = ["model", "params (M)", "GMACs", "input", "reported top-1"]
            cells = [
                [row["name"], f"{row['params'] / 1e6:.2f}", f"{row['macs'] / 1e9:.2f}", str(row["input_size"]),
                 "-" if row["reported_top1"] is None else f"{row['reported_top1']:.1f}"]
                for row in rows
            ]  # fmt: skip
            print_table([head, *cells])
        for name in result["timm"]:
            print(name)


def _figures(name: str) -> dict[str, Any]:
    """Size and cost of one of our models, from a twin without memory."""
    import torch

    import spectralvision
    from spectralvision.analysis import count_macs

    with torch.device("meta"):
        model = spectralvision.create_model(name)
    size: Any = dict(model.pretrained_cfg)["input_size"]  # type: ignore[arg-type]
    return {
        "name": name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "macs": count_macs(model, tuple(size)),
        "input_size": size[-1],
        "reported_top1": spectralvision.models.REPORTED_TOP1.get(name),
    }
