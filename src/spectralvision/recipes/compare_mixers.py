"""Comparisons of mixers: one network, the same data, schedule and seeds, only the mixer exchanged.

Claims are those of the papers, on ImageNet; ours are in docs/guides/comparing.md, on small images
and narrow networks, where differences of less than the spread over seeds mean nothing.
Command: `spectralvision compare PRESET --data DATA`.
"""

from collections.abc import Sequence

from spectralvision.mixers import MIXERS
from spectralvision.tasks.comparison import Comparison

METAFORMER = {"dims": (32, 64, 128, 160), "depths": (1, 1, 2, 1)}
"""A narrow DFFormer: stem, four stages of blocks with norm, mixer, norm and MLP, and MLP head."""
NARROW_SVT = {"stem_dim": 16, "dims": (32, 64, 128, 160), "depths": (1, 2, 2, 1)}
SETTINGS = {"fno": "fno(modes=4, groups=8)"}
"""Of mixers that would have far more parameters than the others."""


def compare_mixers(names: Sequence[str] = ()) -> Comparison:
    """Return the comparison of mixers in one network; all mixers by default."""
    chosen = names or [SETTINGS.get(name, name) for name in MIXERS]
    return Comparison(
        name="mixers",
        title="Token mixers in one network",
        host="dfformer_s18",
        host_args=METAFORMER,
        variants={name: {"mixer_layer": name} for name in chosen},
    )


SVT_LAYER = Comparison(
    name="svt-layer",
    title="Spectral layers in the first two stages of SVT",
    host="svt_h_s",
    host_args=NARROW_SVT,
    variants={
        "FFC": {"mixer_layer": "ffc"},
        "Fourier": {"mixer_layer": "fnet"},
        "FNO": {"mixer_layer": "fno(modes=4, groups=8)"},
        "wavelet": {"mixer_layer": "wave_mix"},
        "DTCWT": {"mixer_layer": "scattering"},
    },
    claim="The DTCWT is best, then FNO and Fourier, then the wavelet; FFC is last.",
    reported={"FFC": 83.1, "Fourier": 84.02, "FNO": 84.09, "wavelet": 83.70, "DTCWT": 84.20},
)

AFF_ABLATION = Comparison(
    name="aff-ablation",
    title="Parts of the adaptive frequency filter, in AFFNet-ET",
    host="affnet_et",
    host_args={},
    variants={
        "released": {"mixer_layer": "aff"},
        "threshold 0": {"mixer_layer": "aff(threshold=0.0)"},
        "ReLU": {"mixer_layer": "aff(act_layer='relu')"},
        "1 group": {"mixer_layer": "aff(groups=1)"},
        "a group per channel": {"mixer_layer": "aff(groups='dim')"},
        "no inner skip": {"mixer_layer": "aff(inner_skip=False)"},
        "static mask": {"mixer_layer": "global_filter(inner_skip=True)"},
        "layer norm": {"mixer_layer": "aff", "norm_layer": "layernorm2d"},
        "batch norm": {"mixer_layer": "aff", "norm_layer": "batchnorm2d"},
    },
    claim="A mask computed from the image is better than a learned one.",
)

SVT_BLENDING = Comparison(
    name="svt-blending",
    title="Blending of the bands in the scattering mixers of SVT",
    host="svt_h_s",
    host_args=NARROW_SVT,
    variants={
        letters: {"mixer_layer": f"scattering(blending='{letters}')"}
        for letters in ("TTTT", "EETT", "EEEE", "TTEE", "TTEX", "TTXE")
    },
    claim="A gain on the lowpass and Einstein blending of the bands (TTEE) is best.",
    reported={
        "TTTT": 83.97, "EETT": 83.87, "EEEE": 83.70, "TTEE": 84.20, "TTEX": 84.06, "TTXE": 84.12,
    },
)  # fmt: skip

SVT_DEPTH = Comparison(
    name="svt-depth",
    title="Scattering in the first 0 to 4 stages of SVT, attention in the others",
    host="svt_h_s",
    host_args=NARROW_SVT,
    variants={str(number): {"scattering_stages": number} for number in range(5)},
    claim="Two stages of scattering, then attention.",
)

PRESETS = {one.name: one for one in (SVT_LAYER, AFF_ABLATION, SVT_BLENDING, SVT_DEPTH)}
"""Besides `mixers`, by name."""
