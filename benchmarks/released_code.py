"""Import the authors' released code from local checkouts, for side-by-side runs only.

`DIR` contains the repositories microsoft/TokenMixers (MIT), badripatro/svt (no licence: run it, but
do not read it while writing code here), raoyongming/GFNet (MIT) and okojoalg/dfformer (MIT), as far
as they are compared, each in a folder of its own name. Nothing is copied.
Modules that they import and that no longer exist are put into `sys.modules` first. The environment
needs in addition: "setuptools<80" pytorch_wavelets==1.3.0 requests ujson psutil
opencv-python-headless pycocotools.
"""

import sys
import types
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm.layers
from torch import Tensor, nn

from spectralvision.models.gfnet import VARIANTS

AFFNET_MODES = {"affnet_et": "xx_small", "affnet_t": "x_small", "affnet": "small"}
AFFNET_OPTIONS = {
    "model.classification.name": "affnet",
    "model.classification.affnet.attn_norm_layer": "layer_norm_2d",
    "model.classification.affnet.conv_kernel_size": 3,
    "model.classification.affnet.head_dim": None,
    "model.classification.affnet.number_heads": 4,
    "model.classification.n_classes": 1000,
    "model.classification.classifier_dropout": 0.1,
    "model.activation.name": "swish",
    "model.activation.inplace": False,
    "model.activation.neg_slope": 0.1,
    "model.normalization.name": "batch_norm",
    "model.normalization.momentum": 0.1,
    "model.layer.global_pool": "mean",
    "model.layer.conv_init": "kaiming_normal",
    "model.layer.linear_init": "trunc_normal",
    "model.layer.linear_init_std_dev": 0.02,
}


class ReleasedCode:
    """Constructors of the released networks and mixers, with random weights."""

    def __init__(self, folder: Path) -> None:
        self.affnet_root = folder / "TokenMixers" / "Adaptive Frequency Filters"
        self.svt_root = folder / "svt"
        self.gfnet_root, self.dfformer_root = folder / "GFNet", folder / "dfformer"
        layers = {n: getattr(timm.layers, n) for n in ("DropPath", "to_2tuple", "trunc_normal_")}
        _stand_in("timm.models.layers", **layers)
        _stand_in("timm.models.layers.helpers", to_2tuple=timm.layers.to_2tuple)
        _stand_in("timm.models.registry", register_model=lambda function: function)
        _stand_in("numpy.lib.arraypad", pad=np.pad)

    def _find(self, root: Path) -> None:
        """Put a repository on the path of modules."""
        if not root.is_dir():
            raise SystemExit(f"{root} is missing: see {__file__}.")
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))

    def network(self, name: str, token_label: bool = False) -> nn.Module:
        """A network of any of the families that have code."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name.startswith("gfnet"):
                return self._gfnet(name)
            if "dfformer" in name or "gfformer" in name:
                self._find(self.dfformer_root / "models")
                import dfformer  # type: ignore[import-not-found]

                return getattr(dfformer, name)()
            if name in AFFNET_MODES:
                self._find(self.affnet_root)
                from affnet.models.classification.affnet import AffNet  # type: ignore[import-not-found]

                return AffNet(_options(mode=AFFNET_MODES[name]))
            self._find(self.svt_root)
            import svt  # type: ignore[import-not-found]

            return getattr(svt, name)(token_label=token_label)

    def _gfnet(self, name: str) -> nn.Module:
        self._find(self.gfnet_root)
        import gfnet  # type: ignore[import-not-found]

        norm = partial(nn.LayerNorm, eps=1e-6)
        options = VARIANTS[name]
        if len(options["dims"]) == 1:
            return gfnet.GFNet(
                embed_dim=options["dims"][0], depth=options["depths"][0], norm_layer=norm
            )
        return gfnet.GFNetPyramid(
            patch_size=4,
            embed_dim=list(options["dims"]),
            depth=list(options["depths"]),
            mlp_ratio=[4, 4, 4, 4],
            norm_layer=norm,
            init_values=options["layer_scale"],
        )

    def adaptive_frequency_filter(self, dim: int) -> nn.Module:
        """(B, C, H, W) -> the same."""
        self._find(self.affnet_root)
        from affnet.modules.aff_block import AFNO2D_channelfirst  # type: ignore[import-not-found]

        return AFNO2D_channelfirst(_options(mode="small"), dim, 8)

    def scattering_mixer(self, dim: int) -> nn.Module:
        """(B, C, H, W) -> the same; its tokens are views of a channels-last map."""
        self._find(self.svt_root)
        import svt

        return _OnMaps(svt.SVT_channel_mixing(dim))


class _OnMaps(nn.Module):
    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return self.mixer(x.flatten(2).mT, height, width).mT.unflatten(-1, (height, width))


def _options(mode: str) -> Any:
    options = types.SimpleNamespace()
    for name, value in AFFNET_OPTIONS.items() | {("model.classification.affnet.mode", mode)}:
        setattr(options, name, value)
    return options


def _stand_in(name: str, **content: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
