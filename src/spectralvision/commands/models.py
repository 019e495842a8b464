"""`spectralvision models`."""

import difflib
from typing import Any, ClassVar

from spectralvision.commands import Command, print_table
from spectralvision.runs import UserError
from spectralvision_cli.options.models import ModelsOptions

HEAD = ["model", "params (M)", "GMACs", "input", "reported top-1"]


class Models(Command[ModelsOptions]):
    """List models."""

    verb: ClassVar[str] = "models"
    kind = ModelsOptions

    def run(self) -> dict[str, Any]:
        """Return this package's models with their cost, and timm's by name.

        Building the thousand models of timm would take minutes.
        """
        import timm

        from spectralvision.models import VARIANTS

        # 1. Find the models
        word = self.options.pattern
        pattern = word if any(mark in word for mark in "*?[") else f"*{word}*"
        matching = timm.list_models(pattern)
        own = list(VARIANTS)
        found = [name for name in own if name in matching]
        others = [name for name in matching if name not in own] if self.options.all else []

        # 2. Suggest another name where there is none
        if not found and not others:
            names = timm.list_models() if self.options.all else own
            near = difflib.get_close_matches(word, names, n=2)
            cure = f"did you mean {' or '.join(near)}?" if near else "--all also searches timm's."
            raise UserError(f"no model matches {word}: {cure}")
        return {"models": [_describe(name) for name in found], "timm": others}

    def show(self, result: dict[str, Any]) -> None:
        """Print this package's models as a table, then timm's names."""
        if result["models"]:
            print_table([HEAD, *map(_row, result["models"])])
        for name in result["timm"]:
            print(name)


def _describe(name: str) -> dict[str, Any]:
    """Return the size and cost of one of this package's models, built without memory."""
    import timm
    import torch

    from spectralvision.analysis import count_macs
    from spectralvision.models import REPORTED_TOP1

    with torch.device("meta"):
        model = timm.create_model(name)
    size: Any = dict(model.pretrained_cfg)["input_size"]  # type: ignore[arg-type]
    return {
        "name": name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "macs": count_macs(model, tuple(size)),
        "input_size": size[-1],
        "reported_top1": REPORTED_TOP1.get(name),
    }


def _row(model: dict[str, Any]) -> list[str]:
    top1 = model["reported_top1"]
    return [
        model["name"],
        f"{model['params'] / 1e6:.2f}",
        f"{model['macs'] / 1e9:.2f}",
        str(model["input_size"]),
        "-" if top1 is None else f"{top1:.1f}",
    ]
