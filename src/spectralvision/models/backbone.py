"""The base class of the backbones: the part of timm's contract that all of them share."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch
from timm.layers import to_2tuple
from timm.models import register_notrace_module, reparameterize_model

# Private: the only way to record a resize in what timm saves with a model.
from timm.models._input import update_model_input_size
from torch import Tensor, nn

from spectralvision.mixers import (
    AdaptiveFourierOperator,
    AdaptiveFrequencyFilter,
    DynamicFilter,
    FastFourierConvolution,
    FourierMixing,
    FourierOperator,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
    SelfAttention,
    WaveletConvolution,
    WaveletMixing,
    named_mixer,
)
from spectralvision.models.recompute import recompute_in_backward
from spectralvision.ops.chunking import chunked_inference
from spectralvision.ops.torchscript import reject_torchscript

Size = tuple[int, int]
MixerLayer = Callable[[int, Size], nn.Module] | str
"""(dim, resolution) -> mixer on (B, dim, H, W), or a name of `mixers/named_mixers.py`."""
MIXER_LAYER_CALL = (
    "mixer_layer is called as mixer_layer(dim, (H, W)) and returns a module: wrap a mixer that "
    "takes other arguments, as in lambda dim, resolution: AdaptiveFrequencyFilter(dim)"
)

for mixer in (
    AdaptiveFourierOperator,
    AdaptiveFrequencyFilter,
    DynamicFilter,
    FastFourierConvolution,
    FourierMixing,
    FourierOperator,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
    SelfAttention,
    WaveletConvolution,
    WaveletMixing,
):
    register_notrace_module(mixer)


class SpectralBackbone(nn.Module):
    """A network of a stem, stages and a head; (B, in_chans, H, W) -> (B, num_classes).

    A subclass defines `stem`, `stages` and `feature_info`, `forward_final` (what follows the last
    stage) and `forward_head`. Stem and stages run in cache-sized chunks of images where that
    changes nothing but the speed, see `ops/chunking.py`.
    """

    stem: nn.Module
    stages: nn.Sequential
    feature_info: list[dict[str, Any]]
    num_prefix_tokens: int = 0
    grad_checkpointing: bool = False
    chunk_elements: int = 1 << 20  # of the input of the stem or a stage
    __prepare_scriptable__ = reject_torchscript

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits (B, num_classes) of images (B, in_chans, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the input of `forward_head` from images."""
        x, _ = self.forward_stages(self.run(self.stem, x))
        return self.forward_final(x)

    def forward_stages(
        self, x: Tensor, indices: Sequence[int] = (), stop_early: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the stages on the stem's output: the last stage's map, and those in `indices`.

        `stop_early` leaves out the stages after the last index.
        """
        maps = []
        for i, stage in enumerate(self.stages[: max(indices) + 1] if stop_early else self.stages):
            if self.grad_checkpointing and self.training:
                x = recompute_in_backward(stage, x)
            else:
                x = self.run(stage, x)
            if i in indices:
                maps.append(self.normalize_map(i, x))
        return x, maps

    @chunked_inference
    def run(self, part: nn.Module, x: Tensor) -> Tensor:
        """Run the stem or a stage."""
        return part(x)

    def forward_final(self, x: Tensor) -> Tensor:
        """Compute features from the last stage's map."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits from features, or pooled features with `pre_logits`."""
        raise NotImplementedError

    def normalize_map(self, stage: int, x: Tensor) -> Tensor:
        """Return a stage's output as a feature map."""
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        return_prefix_tokens: bool = False,
        output_dict: bool = False,
    ) -> Any:
        """Return the feature maps (B, C, H, W) of the stages in `indices`, as in timm.

        Args:
            x: Images (B, in_chans, H, W).
            indices: Stages; the last n for a number, all for None. Maps are in the network's order.
            norm: No effect, since maps are always normalized.
            stop_early: Skip the stages after the last index.
            output_fmt: Only "NCHW".
            intermediates_only: Return the list of maps instead of (features, maps).
            return_prefix_tokens: Pair each map with its prefix tokens (B, n, C), if there are any.
            output_dict: Return a dictionary of `image_intermediates`, and, where they are
                requested, `image_intermediates_prefix` and `image_features`.

        Raises:
            ValueError: an index is out of range, or another output format.
        """
        if output_fmt != "NCHW":
            raise ValueError(
                f"{type(self).__name__} returns NCHW intermediates, got output_fmt={output_fmt!r}"
            )
        take = absolute_indices(len(self.stages), indices)
        x, maps = self.forward_stages(self.run(self.stem, x), take, stop_early)
        with_prefix = return_prefix_tokens and self.num_prefix_tokens > 0
        prefixes = self.prefix_tokens(x, take, maps) if with_prefix else []
        if output_dict:
            result: dict[str, Any] = {"image_intermediates": maps}
            if with_prefix:
                result["image_intermediates_prefix"] = prefixes
            if not intermediates_only:
                result["image_features"] = self.forward_final(x)
            return result
        outputs = list(zip(maps, prefixes, strict=True)) if with_prefix else maps
        return outputs if intermediates_only else (self.forward_final(x), outputs)

    def prefix_tokens(self, x: Tensor, indices: list[int], maps: list[Tensor]) -> list[Tensor]:
        """Return the prefix tokens for the maps of the stages in `indices`; x: the last stage's."""
        raise NotImplementedError

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each stage in the backward pass instead of keeping its activations."""
        self.grad_checkpointing = enable

    def fuse(self) -> nn.Module:
        """Return a copy for inference with batch norms folded into the convolutions.

        `timm.utils.reparameterize_model` returns the same network. On a CPU, call
        `spectralvision.tune_cpu()` once in addition.
        """
        return reparameterize_model(self)

    def compile(self, **options: Any) -> None:
        """Compile the stem and each stage in place with `torch.compile` and these options.

        They are compiled one by one, so that a batch still runs through them in chunks; a model
        compiled as a whole does not divide the batch.
        """
        if "isolate_recompiles" in signature(torch.compile).parameters:
            # Without it torch counts the recompilations of all parts together.
            options = {"isolate_recompiles": True, **options}
        for part in (self.stem, *self.stages):
            part.compile(**options)

    def map_sizes(self, img_size: int | Size) -> list[Size]:
        """Return (H, W) of each stage's map for an input size: sides are rounded up."""
        height, width = to_2tuple(img_size)
        steps = [info["reduction"] for info in self.feature_info]
        return [(-(-height // step), -(-width // step)) for step in steps]

    def set_input_size(self, img_size: int | Size) -> None:
        """Resize the weights that belong to a map size, permanently, to another input size."""
        sizes = self.map_sizes(img_size)
        for part, resolution in zip((self.stem, *self.stages), (sizes[0], *sizes), strict=False):
            for module in part.modules():
                if hasattr(module, "set_input_size"):
                    module.set_input_size(resolution)  # type: ignore[operator]
        update_model_input_size(self, img_size)

    def init_non_persistent_buffers(self) -> None:
        """Do nothing after construction on the meta device: constant tables are no buffers."""

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the mixers exclude from weight decay."""
        return {
            f"{prefix}.{name}"
            for prefix, module in self.named_modules()
            if module is not self and hasattr(module, "no_weight_decay")
            for name in module.no_weight_decay()  # type: ignore[operator]
        }


def absolute_indices(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Return stage numbers from 0: all for None, the last n for a number, else each one's own.

    Raises:
        ValueError: an index or number is out of range.
    """
    if indices is None:
        return list(range(count))
    if isinstance(indices, int):
        if not 0 < indices <= count:
            raise ValueError(f"the number of feature maps must be 1 to {count}, got {indices}")
        return list(range(count - indices, count))
    if not indices or not all(-count <= i < count for i in indices):
        raise ValueError(f"feature indices must be {-count} to {count - 1}, got {indices}")
    return [i % count for i in indices]


def build_mixer(
    mixer_layer: MixerLayer,
    dim: int,
    resolution: Size,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Build a user's mixer on a device and convert it to a dtype; None keeps the defaults.

    Raises:
        ValueError: `mixer_layer` cannot be called as mixer_layer(dim, resolution), does not return
            a module, or is no name of a mixer.
    """
    if isinstance(mixer_layer, str):
        mixer_layer = named_mixer(mixer_layer)
    try:
        with nullcontext() if device is None else torch.device(device):
            mixer = mixer_layer(dim, resolution)
    except TypeError as error:
        raise ValueError(f"{MIXER_LAYER_CALL} ({error})") from error
    if not isinstance(mixer, nn.Module):
        raise ValueError(f"{MIXER_LAYER_CALL} (it returned {type(mixer).__name__})")
    return mixer.to(device=device, dtype=dtype)


def init_weights(
    model: nn.Module, init: Callable[[nn.Module], None], keep: Sequence[nn.Module]
) -> None:
    """Apply `init` to every module except those in `keep`, which have their own initialisation."""
    kept = {id(module) for root in keep for module in root.modules()}
    for module in model.modules():
        if id(module) not in kept:
            init(module)
