"""Settings of training that every task has. Imports neither torch nor timm."""

from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.runs import MAX_COUNT, MAX_SIDE, Auto, UserError, check_ranges

T = TypeVar("T", bound="TrainConfig")
D = TypeVar("D")

RANGES = {
    "num_classes": (2, MAX_COUNT), "num_images": (2, MAX_COUNT), "epochs": (1, MAX_COUNT),
    "batch_size": (2, MAX_COUNT), "input_size": (1, MAX_SIDE), "val_fraction": (0, 1),
    "seed": (0, 2**32 - 1), "workers": (0, 1024), "early_stop": (1, MAX_COUNT),
    "folds": (2, MAX_COUNT), "fold": (1, MAX_COUNT),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. `auto` is decided by the data, the model and the machine."""

    task: ClassVar[str]
    """Name of the task in the registry."""
    recipe: ClassVar[str]
    """Name of the recipe."""

    data: str
    """Data set: digits, a folder of images with one subfolder per class, a .zip or .tar archive of
    one, a .csv of files and labels, parquet shards, a timm reader such as torch/cifar10, or
    synthetic/COUNT for dry runs."""
    data_dir: str | None = None
    """Folder where a timm reader finds its files."""
    image_column: str | None = None
    """Column of parquet shards with the images. Default: found by its name or type."""
    label_column: str | None = None
    """Column of parquet shards with the labels. Default: found by its name or type."""
    num_classes: int | None = None
    """Number of classes, for streamed readers and synthetic images."""
    num_images: int | None = None
    """Use so many of the training images, of each class in proportion, before some are held out.
    Default: all."""
    val_fraction: float = 0.2
    """Fraction of the images held out for validation, if the data has no val split."""
    folds: int | None = None
    """K-fold cross-validation: train K models, each validated on a different fold."""
    fold: int | None = None
    """Run only this fold, from 1 to --folds."""
    model: str = "affnet_et"
    """Model of ours or of timm, or a run folder or hf_hub:OWNER/NAME to start from."""
    pretrained: str = "auto"
    """Weights to start from: published, those that timm has for the model; the name of weights,
    such as cifar10; none; auto: the weights in the package, if it has some for the model and the
    images are colored photographs of at least 64 pixels."""
    out: str | None = None
    """Run folder. Default: runs/DATA-MODEL, with -2, -3 ... appended if it exists."""
    epochs: int | Auto = "auto"
    """Number of epochs; auto: 15 for digits and from pretrained weights, else 50, up to 200 for
    few images; fewer, but at least 10, where a CPU would take over an hour."""
    batch_size: int | Auto = "auto"
    """Images per update, over all processes and accumulation steps; auto: about 30 updates per
    epoch, 16 to 128 images."""
    input_size: int | Auto = "auto"
    """Side of the square input in pixels; auto: twice the side of the images, up to the model's
    own input size; less, but at least 64 (128 from pretrained weights), where a CPU would take over
    an hour."""
    early_stop: int | None = None
    """Stop after this many epochs without a better validation metric. Default: train all
    epochs."""
    seed: int = 0
    """Random seed; the same seed gives the same result."""
    workers: int | Auto = "auto"
    """Data-loading workers per device (auto: one per core in total; none for tiny images, and none
    on a CPU where images are read faster than trained on); the result does not depend on
    them."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on."""
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    """Number format; auto: bf16-mixed where it is fast, else 32."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), RANGES)
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            raise UserError(f"--fold {self.fold} should be between 1 and the number of --folds.")
        for one in fields(self):
            group = getattr(self, one.name)
            if hasattr(group, "check"):
                group.check()

    def fold_of(self) -> tuple[int, int] | None:
        """Return (k, n) where the k-th of n folds is held out; None without folds."""
        if self.fold is None or self.folds is None:
            return None
        return self.fold, self.folds

    @classmethod
    def from_record(cls: type[T], record: dict[str, Any]) -> T:
        """Return the settings that a run recorded, with every `auto` filled in.

        Raises:
            TypeError, KeyError: They are not of this version, or one has another type.
            UserError: A value cannot work.
        """
        config = _read(cls, record)
        config.check()
        return config


def _read(cls: type[D], record: dict[str, Any]) -> D:
    """Return an instance of a dataclass, whose fields may be dataclasses, from JSON."""
    hints = get_type_hints(cls)
    values = dict(record)
    for name in record.keys() & hints.keys():
        if is_dataclass(hints[name]):
            values[name] = _read(hints[name], record[name])
        elif not _has_type(record[name], hints[name]):
            raise TypeError(f"{name} is {record[name]!r}")
        elif get_origin(hints[name]) is tuple:  # a list in JSON
            values[name] = tuple(record[name])
    missing = [name for name, hint in hints.items() if is_dataclass(hint) and name not in record]
    if missing:
        raise KeyError(missing[0])
    return cls(**values)


def _has_type(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_has_type(value, one) for one in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin in (tuple, list):  # lists in JSON
        return isinstance(value, tuple | list)
    if hint in (int, float):
        is_number = isinstance(value, int if hint is int else int | float)
        return is_number and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)
