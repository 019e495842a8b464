"""Options of `spectralvision demo`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import argument, option
from spectralvision_cli.options.common import VerbOptions

BUNDLED_MODELS = ("affnet_et.tiny_imagenet", "affnet_et.cifar10")


@dataclass(frozen=True, kw_only=True)
class DemoOptions(VerbOptions):
    """Open a local web page to try models.

    Drop an image on it, take one with the camera or pick an example: it shows the classes, where
    they are active, the masks and kernels or the bands of a layer, and what changes when low or
    high frequencies are removed. The page is served to this machine only, needs no other address,
    and sends nothing anywhere. It ends with Ctrl-C.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision demo",
        "spectralvision demo runs/photos-affnet_et --examples-from photos",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Models and images": ("models", "examples_from"),
        "Options": ("port", "no_browser", "json"),
    }

    models: tuple[str, ...] = argument((), "MODEL")
    """Run folders, hf_hub:OWNER/NAME, or names of models with published weights; by default the
    bundled ones."""
    examples_from: tuple[str, ...] = option((), "PATH")
    """Images to offer as examples, at most 8: files, folders or patterns; by default drawn ones."""
    port: int | None = option(None, "N")
    """Port to serve on; by default the first free one from 7860."""
    no_browser: bool = False
    """Print the address without opening it in the browser."""
