"""What is analyzed: a network and some images as it gets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor, nn

from spectralvision.data.transforms import denormalize

BATCH_SIZE = 8


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, in evaluation mode, and N images.

    Attributes:
        name: Of the model.
        network: (B, 3, H, W) -> logits, or what a model of another task has in place of them.
        preprocessing: As `model_io.data_config` returns it.
        images: (N, 3, H, W), normalized, on the network's device.
        labels: (N,) if the model is a classifier and the images have labels, else None.
        source: Of the images, in words.
        is_classifier: Whether the outputs are logits of a whole image.
        has_random_weights: Whether the model is not trained.
    """

    name: str
    network: nn.Module
    preprocessing: Mapping[str, Any]
    images: Tensor
    labels: Tensor | None
    source: str
    is_classifier: bool
    has_random_weights: bool

    def picture(self, index: int) -> Image.Image:
        """Return an image as the network gets it."""
        return denormalize(self.images[index].cpu(), self.preprocessing)

    def run(self) -> None:
        """Run the network on all images once."""
        for batch in self.images.split(BATCH_SIZE):
            self.network(batch)
