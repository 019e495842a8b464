"""What is compared: variants of one network that differ in one thing, mostly the mixer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from spectralvision.data.shard_columns import Columns
from spectralvision.runs import MAX_COUNT, MAX_SIDE, Auto, check_ranges

RANGES = {
    "seeds": (1, 100), "epochs": (1, MAX_COUNT), "budget": (0.01, 100_000),
    "num_images": (2, MAX_COUNT), "input_size": (1, MAX_SIDE), "batch_size": (2, MAX_COUNT),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Variants of one network.

    Attributes:
        name: For folders and messages.
        title: Heading of the page.
        host: Name of the model.
        host_args: Its arguments in all variants.
        variants: Name -> arguments that only this variant has.
        claim: What a paper claims about the variants, in words.
        reported: Top-1 accuracy in per cent that the paper reports, by variant.
    """

    name: str
    title: str
    host: str
    host_args: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    claim: str = ""
    reported: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """How the variants are trained and measured, the same for each.

    Attributes:
        comparison: What is compared.
        data: The data set.
        data_dir, columns: Of the data set.
        seeds: Number of trainings of each variant, with seeds 0, 1, ...
        epochs: Of each training; auto: as many as the slowest variant makes within the budget.
        budget: Minutes of a training.
        num_images: Training images that are used; None: all.
        val_fraction: Of them, held out to choose the best epoch.
        input_size: Side of the square input in pixels.
        batch_size, lr: Images per update, and peak learning rate.
        sizes: Input sizes at which the speed is measured.
        rounds: Number of times that each is timed.
        device: auto, cpu, cuda or mps.
    """

    comparison: Comparison
    data: str
    data_dir: str | None = None
    columns: Columns | None = None
    seeds: int = 2
    epochs: int | Auto = "auto"
    budget: float = 4.0
    num_images: int | None = None
    val_fraction: float = 0.1
    input_size: int = 64
    batch_size: int = 64
    lr: float = 2e-3
    sizes: tuple[int, ...] = (64, 128, 256)
    rounds: int = 5
    device: str = "auto"

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), RANGES)
        for size in self.sizes:
            check_ranges({"sizes": size}, {"sizes": (1, MAX_SIDE)})

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, ready for JSON; a resumed comparison has the same."""
        found = {
            key: value for key, value in vars(self).items() if key not in ("columns", "device")
        }
        comparison = asdict(self.comparison)
        return found | {
            "comparison": {key: comparison[key] for key in ("name", "host", "host_args")},
            "variants": comparison["variants"],
            "sizes": list(self.sizes),
        }
