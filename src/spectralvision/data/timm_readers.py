"""timm's readers: `torch/` and `hfds/` by index; `hfids/`, `wds/` and `tfds/` as streams."""

from importlib.util import find_spec
from typing import Any

from torch.utils.data import IterableDataset

from spectralvision.data.image_files import describe_error
from spectralvision.data.images import Images, ReaderImages, Stream
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

# Our split names -> torchvision's. The small data sets have no validation split.
_TRAIN_TEST = {"train": "train", "test": "test"}
_TRAIN_VAL = {"train": "train", "val": "val"}
TORCH_SPLITS = {
    "cifar10": _TRAIN_TEST,
    "cifar100": _TRAIN_TEST,
    "mnist": _TRAIN_TEST,
    "kmnist": _TRAIN_TEST,
    "fashion_mnist": _TRAIN_TEST,
    "qmnist": _TRAIN_TEST,
    "imagenet": _TRAIN_VAL,
    "places365": _TRAIN_VAL,
    "inaturalist": _TRAIN_VAL,
    "inat": _TRAIN_VAL,
}
OTHER_SPLITS = {"train": ["train"], "val": ["validation", "val"], "test": ["test"]}
"""Our split names -> the names that other readers may use."""
NO_FLIP_DATASETS = ("mnist", "kmnist", "qmnist")
"""Characters, which mean something else when flipped."""
PACKAGES = {
    "torch": "torchvision",
    "hfds": "datasets",
    "hfids": "datasets",
    "wds": "webdataset",
    "tfds": "tensorflow_datasets",
}


def open_reader(kind: str, name: str, root: str | None, num_classes: int | None) -> Data:
    """Open the data set that timm calls `kind/name`, with its files in `root`.

    Raises:
        UserError: timm cannot open it (the message has timm's reason), or its classes are unknown.
    """
    # 1. Find the splits that may exist
    title = f"{kind}/{name}"
    candidates = OTHER_SPLITS
    if kind == "torch":
        if name.lower() not in TORCH_SPLITS:
            raise UserError(
                f"{title} is not a data set that timm reads: the names after torch/ are "
                f"{', '.join(TORCH_SPLITS)}."
            )
        candidates = {split: [word] for split, word in TORCH_SPLITS[name.lower()].items()}
    package = PACKAGES[kind]
    if find_spec(package) is None:
        raise UserError(f"{title} needs {package}: run `pip install {package.replace('_', '-')}`.")

    # 2. Open those that exist
    datasets: dict[str, Any] = {}
    failures: list[str] = []
    for split, words in candidates.items():
        for word in words:
            dataset = _create_dataset(title, root, word, split == "train", failures)
            if dataset is not None:
                datasets[split] = dataset
                break
    if not datasets:
        raise UserError(
            f"{title} cannot be opened in {root or 'its default folder'} ({failures[0]}): "
            "see --data-dir."
        )

    # 3. Read the classes
    classes = _class_names(next(iter(datasets.values())), num_classes)
    if classes is None:
        raise UserError(f"{title} does not state its number of classes: give --num-classes N.")
    splits = {split: _wrap_dataset(dataset, title) for split, dataset in datasets.items()}
    hflip = 0.0 if name.lower() in NO_FLIP_DATASETS else 0.5
    return Data(title, classes, splits, hflip=hflip, photographs="mnist" not in name.lower())


def _create_dataset(
    title: str, root: str | None, split: str, training: bool, failures: list[str]
) -> Any:
    """Return timm's data set, or None after appending to `failures` why it cannot be opened."""
    from timm.data import create_dataset

    try:
        return create_dataset(
            title, root=root, split=split, is_training=training, input_img_mode="RGB"
        )
    except Exception as error:  # each reader raises its own error for a split that does not exist
        failures.append(describe_error(error))
        return None


def _wrap_dataset(dataset: Any, title: str) -> Images | Stream:
    if isinstance(dataset, IterableDataset):
        return Stream(dataset)
    reader = getattr(dataset, "reader", dataset)
    return ReaderImages(reader, [int(label) for label in _labels(dataset, reader)], title)


def _labels(dataset: Any, reader: Any) -> list[Any]:
    if hasattr(reader, "iter_targets"):
        return list(reader.iter_targets())
    # torchvision: INaturalist has `index`, a list of (label, file)
    if not hasattr(dataset, "targets"):
        return [label for label, _ in dataset.index]
    # QMNIST's targets are rows that start with the label
    return [label[0] if getattr(label, "ndim", 0) else label for label in dataset.targets]


def _class_names(dataset: Any, num_classes: int | None) -> tuple[str, ...] | None:
    if num_classes is not None:
        return tuple(str(label) for label in range(num_classes))
    names = getattr(dataset, "classes", None) or getattr(dataset, "all_categories", None)
    if names:
        return tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
    labels = getattr(getattr(dataset, "reader", None), "class_to_idx", None)
    return tuple(sorted(labels, key=lambda name: labels[name])) if labels else None
