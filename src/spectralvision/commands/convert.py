"""`spectralvision convert`."""

from shlex import quote
from typing import Any, ClassVar

from spectralvision.commands import Command, print_line
from spectralvision_cli.options.convert import ConvertOptions


class Convert(Command[ConvertOptions]):
    """Convert a checkpoint of the authors' code to a run folder."""

    verb: ClassVar[str] = "convert"
    kind = ConvertOptions

    def run(self) -> dict[str, Any]:
        """Convert."""
        options = self.options
        from spectralvision.sharing.convert import convert

        return convert(
            options.checkpoint, options.model, options.out, options.token_label, options.threshold
        )

    def show(self, result: dict[str, Any]) -> None:
        """Print where the run is, and what to do with it."""
        run, top1 = result["run"], result["reported_top1"]
        reported = f"; its authors report {top1} % top-1 (not measured here)" if top1 else ""
        millions = result["params"] / 1e6
        print_line(f"run      {run}")
        print(
            f"model    {result['model']}: {millions:.2f} M parameters, "
            f"{result['num_classes']} classes"
        )
        if result["num_classes"] == 1000:
            print(f"classes  ImageNet's{reported}")
        print_line(f"next     spectralvision predict PHOTO.jpg --model {quote(run)} --top-k 5")
        print_line(f"         spectralvision evaluate --model {quote(run)} --data IMAGENET")
