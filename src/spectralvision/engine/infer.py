"""The inference loop: evaluation, prediction, label maps and the report all consume it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from spectralvision.data.images import Images, Stream
from spectralvision.data.loaders import ImageBatch
from spectralvision.data.workers import choose_num_workers
from spectralvision.engine.devices import build_fabric, choose_device
from spectralvision.engine.progress import track
from spectralvision.runs import UserError


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How to run a model on images."""

    batch_size: int = 64
    """Images per batch."""
    workers: int | str = "auto"
    """Data-loading workers per device; auto: one per core in total, none for tiny images."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: str = "auto"
    """auto, 32, bf16-mixed or 16-mixed."""
    devices: int = 1
    """Processes on this machine, one per device."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "InferenceConfig":
        """Return batch size, workers and device of a run, from its run.json."""
        settings, device = record.get("config", {}), record.get("device", {})
        return cls(
            batch_size=settings.get("batch_size", cls.batch_size),
            workers=settings.get("workers", cls.workers),
            device=device.get("accelerator", cls.device),
            precision=device.get("precision", cls.precision),
        )

    def choose_workers(self, images: Images | Stream) -> int:
        """Return the workers for some images: none for one batch, as starting one takes longer."""
        is_one_batch = isinstance(images, Images) and len(images) <= self.batch_size
        if self.workers == "auto" and is_one_batch:
            return 0
        return choose_num_workers(images, self.workers, self.devices)


def infer(
    module: nn.Module,
    batches: Iterable[ImageBatch],
    config: InferenceConfig,
    title: str,
    num_images: int,
) -> Iterator[tuple[ImageBatch, Any]]:
    """Yield each batch, on the device, with the module's outputs for its images.

    Args:
        module: Called with (B, 3, H, W) images, in evaluation mode, without gradients.
        batches: Where no image of a batch can be read, the outputs are None.
        config: Where and how to compute.
        title: Of the progress bar.
        num_images: Of all batches together, for the progress bar.

    Raises:
        UserError: This machine does not have the device, or an output is not finite.
    """
    fabric = build_fabric(choose_device(config.device, config.precision), config.devices)
    fabric.to_device(module.eval())
    if fabric.is_global_zero:
        batches = track(batches, title, num_images, count=lambda batch: batch.num_images)
    for batch in batches:
        yield _infer_batch(fabric, module, batch)


def _infer_batch(fabric: Fabric, module: nn.Module, batch: ImageBatch) -> tuple[ImageBatch, Any]:
    if not len(batch.images):
        return batch, None
    images, targets = fabric.to_device((batch.images, batch.targets))
    with torch.inference_mode(), fabric.autocast():
        outputs = module(images)
    check_finite(outputs)
    return batch._replace(images=images, targets=targets), outputs


def check_finite(outputs: Any) -> None:
    """Raise UserError if a tensor among the outputs of a model is NaN or infinite somewhere."""
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point() and not outputs.isfinite().all():
            raise UserError(
                "the model's outputs are not finite (NaN or infinite): try --precision 32 "
                "or other weights."
            )
    elif isinstance(outputs, dict):
        check_finite(list(outputs.values()))
    elif isinstance(outputs, tuple | list):
        for one in outputs:
            check_finite(one)
