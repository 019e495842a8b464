"""What both families share: a convolution with its norm, the base class, and how a variant is built by timm."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from timm.models import build_model_with_cfg, checkpoint, reparameterize_model, resolve_pretrained_cfg
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.models.released import checkpoint_filter_fn
from spectralvision.ops.portions import in_portions, keep_freed_memory


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm, activation; `act_layer=None` leaves the activation out."""

    def __init__(
        self,
        in_chans: int,
        out_chans: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act_layer: Callable[..., nn.Module] | None = nn.SiLU,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(
            in_chans, out_chans, kernel_size, stride, padding, dilation, groups, bias=False, **factory
        )
        self.norm = nn.BatchNorm2d(out_chans, **factory)
        self.act = act_layer() if act_layer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def fuse(self) -> nn.Module:
        """The same function in evaluation mode, the norm folded into the convolution."""
        norm, conv = self.norm, self.conv
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = weight, bias
        return nn.Sequential(conv, self.act).train(self.training)


class SpectralBackbone(nn.Module):
    """The part of timm's contract that is the same for every backbone with spectral mixers.

    A subclass has `stem`, `stages` and `feature_info`, and says by `_finish` what follows the last stage.
    """

    stem: nn.Module
    stages: nn.Sequential
    feature_info: list[dict[str, Any]]
    grad_checkpointing: bool = False
    samples: int = 1 << 20  # of a stage's input that are worked on at a time, see `in_portions`

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> what `forward_head` takes, see `_finish`."""
        return self._finish(self._run_stages(self._run_stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooled features, or logits of them."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps of the stages in `indices` (timm's contract), always after their norm: `norm` has no effect."""
        if output_fmt != "NCHW":
            raise ValueError(f"{type(self).__name__} gives intermediates as NCHW, got output_fmt={output_fmt!r}")
        take, last = feature_take_indices(len(self.stages), indices)
        intermediates = []
        x = self._run_stem(x)
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = self._run(stage, x)
            if i in take:
                intermediates.append(self._feature_map(i, x))
        return intermediates if intermediates_only else (self._finish(x), intermediates)

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each stage in the backward pass instead of keeping its activations."""
        self.grad_checkpointing = enable

    def _run_stages(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = self._run(stage, x)
        return x

    def _run_stem(self, x: Tensor) -> Tensor:
        return self._some_at_a_time(self.stem, x)

    def _run(self, stage: nn.Module, x: Tensor) -> Tensor:
        if self.grad_checkpointing and self.training:
            return checkpoint(stage, x)
        return self._some_at_a_time(stage, x)

    def _some_at_a_time(self, part: nn.Module, x: Tensor) -> Tensor:
        return part(x) if self.training else in_portions(part, x, self.samples, part)  # batch norm learns from all

    def _finish(self, x: Tensor) -> Tensor:
        """From the last stage's map to features."""
        raise NotImplementedError

    def _feature_map(self, stage: int, x: Tensor) -> Tensor:
        """A stage's output as a feature map."""
        return x

    def fuse(self) -> nn.Module:
        """A copy for inference with batch norms folded; `timm.utils.reparameterize_model` gives the same network.

        The C library is told to keep freed memory, which small results of one size after the other need to be fast.
        """
        keep_freed_memory()
        return reparameterize_model(self)

    def compile(self, **options: Any) -> None:
        """Compile the stem and each stage in place, by `torch.compile` with these options.

        One by one, so that a batch still goes through them some images at a time, which the whole compiled at once does
        not; see `in_portions`.
        """
        if "isolate_recompiles" in signature(torch.compile).parameters:  # else torch counts all parts as one function
            options = {"isolate_recompiles": True, **options}
        for part in (self.stem, *self.stages):
            part.compile(**options)

    def init_non_persistent_buffers(self) -> None:
        """Nothing to do after construction on the meta device: constant tables are no buffers (`ops/tables.py`)."""

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names of the spectral weights (masks, gains, complex matrices and their biases)."""
        return {
            f"{module_name}.{name}"
            for module_name, module in self.named_modules()
            if isinstance(module, AdaptiveFrequencyFilter | ScatteringMixer)
            for name, _ in module.named_parameters(recurse=False)
        }


def shipped(name: str, side: int, label_names: tuple[str, ...]) -> dict[str, Any]:
    """What timm has to know of weights that lie in the package, with a card beside them."""
    return {
        "file": str(Path(__file__).parent / f"weights/{name}.safetensors"),
        "input_size": (3, side, side),
        "pool_size": (side // 32, side // 32),
        "num_classes": len(label_names),
        "label_names": label_names,
    }


def build(
    model_cls: type[nn.Module], variant: str, pretrained: bool, reported: str, feature_cfg: dict, **kwargs: Any
) -> nn.Module:
    """Build a registered variant by timm. `reported` says what the authors report, for whoever asks for weights.

    Raises:
        ValueError: weights are asked for and neither the variant nor the caller's `pretrained_cfg` names any.
    """
    if pretrained:
        cfg = resolve_pretrained_cfg(variant, kwargs.get("pretrained_cfg"), kwargs.get("pretrained_cfg_overlay"))
        if not (cfg.has_weights or cfg.state_dict or cfg.source):
            raise ValueError(
                f"no ImageNet weights of {variant} come with spectralvision; {reported}. "
                "docs/guides/released-weights.md says where the authors publish theirs; load such a file with "
                "spectralvision.load_released(model, FILE)"
            )
    return build_model_with_cfg(
        model_cls,
        variant,
        pretrained,
        feature_cfg=feature_cfg,
        pretrained_filter_fn=checkpoint_filter_fn,
        **kwargs,
    )
