"""AFFNet on ImageNet-1k (Huang et al., ICCV 2023, arXiv 2307.14008).

Claim (the paper): top-1 at 256 pixels of 73.0 % for AFFNet-ET, 77.0 % for AFFNet-T, 79.8 % for AFFNet.
Ours: not run.
Stand-in: the authors published no settings in text but 256 pixels, an average of the weights and 8 GPUs, in CVNets.
These are the settings of MobileViT (Mehta & Rastegari, ICLR 2022), its direct ancestor in CVNets: AdamW, batch 1024,
300 epochs, 3000 updates of warm-up from 2e-4 to 2e-3, cosine to 2e-4, weight decay 0.01, label smoothing 0.1, average
of the weights with momentum 5e-4, batches of 160 to 320 pixels with about equally many pixels each.
Hardware and hours: 8 GPUs of 40 GB or more; hours not measured, `--dry-run` projects them.
Command, one GPU (AFFNet-T: `--model affnet_t`, AFFNet: `--model affnet`):
    spectralvision train affnet-imagenet --data IMAGENET --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 -m spectralvision.cli train affnet-imagenet --data IMAGENET --out runs/affnet
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train affnet-imagenet --data IMAGENET --out runs/affnet
2 nodes under SLURM, one task a GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train affnet-imagenet --data IMAGENET --out runs/affnet --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field

from spectralvision.data.transforms import Augmentation
from spectralvision.recipes.classification import Classification
from spectralvision.tasks.engine import Auto
from spectralvision.tasks.optimisation import Optimisation


def _optimisation() -> Optimisation:
    return Optimisation(
        lr=2e-3,
        lr_base_size=1024,
        weight_decay=0.01,
        warmup_epochs=3,  # about 3000 updates
        warmup_start=0.1,
        min_lr=0.1,
        clip_grad=None,
        label_smoothing=0.1,
        class_weights=0.0,
        ema=0.9995,
    )


def _augmentation() -> Augmentation:
    return Augmentation(hflip=0.5, min_scale=0.08, auto_augment="none", color_jitter=0.0, min_size=160, max_size=320)


@dataclass(frozen=True, kw_only=True)
class AffnetImagenet(Classification):
    """AFFNet on ImageNet-1k by the settings of its ancestor MobileViT, as its own are not published. The claim: 73.0,
    77.0, 79.8 % top-1 for affnet_et, affnet_t, affnet, of which --model chooses. Ours: not run. One GPU may need
    --accumulate."""

    model: str = "affnet_et"
    """affnet_et, affnet_t or affnet; any other model is taken too."""
    epochs: int | Auto = 300
    """Passes over the training images."""
    batch_size: int | Auto = 1024
    """Images of `input_size` an update, over all processes and portions together."""
    input_size: int | Auto = 256
    """Side of the square input in pixels where images are judged."""
    optimisation: Optimisation = field(default_factory=_optimisation)
    augmentation: Augmentation = field(default_factory=_augmentation)
