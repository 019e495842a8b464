"""timm's readers under one roof: `torch/`, `hfds/` by index, `hfids/`, `wds/`, `tfds/` as streams."""

from importlib.util import find_spec
from typing import Any

from torch.utils.data import IterableDataset

from spectralvision.data.datasets import Data, Images, ReaderImages, Stream
from spectralvision.runs import UserError

# torchvision's own split words; the small ones have no validation set.
TORCH_SPLITS = {
    name: {"train": "train", "test": "test"}
    for name in ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
} | {name: {"train": "train", "val": "val"} for name in ("imagenet", "places365", "inaturalist", "inat")}
MIRRORED_IS_ANOTHER = ("mnist", "kmnist", "qmnist")  # a mirrored character is not that character
PACKAGES = {
    "torch": "torchvision",
    "hfds": "datasets",
    "hfids": "datasets",
    "wds": "webdataset",
    "tfds": "tensorflow_datasets",
}


def open_reader(kind: str, name: str, root: str | None, num_classes: int | None) -> Data:
    """A data set by timm's name `kind/name`, with its files under `root`.

    Raises:
        UserError: timm cannot open it; the sentence carries timm's reason.
    """
    title = f"{kind}/{name}"
    if kind == "torch":
        if name.lower() not in TORCH_SPLITS:
            raise UserError(f"{title} is not a data set that timm reads: torch/ takes {', '.join(TORCH_SPLITS)}.")
        words = {split: [word] for split, word in TORCH_SPLITS[name.lower()].items()}
    else:
        words = {"train": ["train"], "val": ["validation", "val"], "test": ["test"]}
    if find_spec(PACKAGES[kind]) is None:
        raise UserError(f"{title} needs {PACKAGES[kind]}: run `pip install {PACKAGES[kind].replace('_', '-')}`.")
    splits: dict[str, Any] = {}
    failures: list[str] = []
    for split, candidates in words.items():
        for word in candidates:
            dataset = _create(title, root, word, split == "train", failures)
            if dataset is not None:
                splits[split] = dataset
                break
    if not splits:
        raise UserError(f"{title} cannot be opened in {root or 'its default place'} ({failures[0]}): see --data-dir.")
    first = next(iter(splits.values()))
    classes = _class_names(first, num_classes)
    if classes is None:
        raise UserError(f"{title} does not say how many classes it has: give --num-classes N.")
    wrapped: dict[str, Images | Stream] = {split: _wrap(dataset, title) for split, dataset in splits.items()}
    hflip = 0.0 if name.lower() in MIRRORED_IS_ANOTHER else 0.5
    return Data(title, classes, wrapped, hflip=hflip, photographs="mnist" not in name.lower())


def _create(title: str, root: str | None, word: str, training: bool, failures: list[str]) -> Any:
    from timm.data import create_dataset

    try:
        return create_dataset(title, root=root, split=word, is_training=training, input_img_mode="RGB")
    except Exception as error:  # each reader says in its own way that it lacks a split
        failures.append(" ".join(str(error).split()) or type(error).__name__)
        return None


def _wrap(dataset: Any, title: str) -> Images | Stream:
    if isinstance(dataset, IterableDataset):
        return Stream(dataset)
    reader = getattr(dataset, "reader", dataset)
    if hasattr(reader, "iter_targets"):
        labels = list(reader.iter_targets())
    else:  # torchvision: INaturalist lists (label, file), QMNIST's targets are rows that start with the label
        labels = dataset.targets if hasattr(dataset, "targets") else [label for label, _ in dataset.index]
        labels = [label[0] if getattr(label, "ndim", 0) else label for label in labels]
    return ReaderImages(reader, [int(label) for label in labels], title)


def _class_names(dataset: Any, num_classes: int | None) -> tuple[str, ...] | None:
    if num_classes is not None:
        return tuple(str(label) for label in range(num_classes))
    names = getattr(dataset, "classes", None) or getattr(dataset, "all_categories", None)
    if names:
        return tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
    numbers = getattr(getattr(dataset, "reader", None), "class_to_idx", None)
    return tuple(sorted(numbers, key=lambda name: numbers[name])) if numbers else None
