"""Types of label columns: which are read, and which are rejected in one sentence."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from spectralvision.data.open_data import open_data
from spectralvision.runs import UserError
from tests.helpers.pictures import class_label, table_file

WORDS = ["dog", "cat", "eel", "cat"]
NAMES = ("cat", "dog", "eel")
NUMBERS = ("0", "1", "2")


def read(folder, labels, **options):
    file = table_file(folder / "train.parquet", image=..., label=labels, **options)
    data = open_data(str(file))
    return data.classes, data.split("train").labels.tolist()


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (pa.array(WORDS), NAMES, [1, 0, 2, 0]),
        (pa.array(WORDS, pa.large_string()), NAMES, [1, 0, 2, 0]),
        (pa.array(WORDS, pa.string_view()), NAMES, [1, 0, 2, 0]),
        (pa.array(WORDS).dictionary_encode(), NAMES, [1, 0, 2, 0]),
        (pa.array([2, 0, 1, 0], pa.int8()), NUMBERS, [2, 0, 1, 0]),
        (pa.array([2, 0, 1, 0], pa.uint64()), NUMBERS, [2, 0, 1, 0]),
        (pa.array([2, 0, 1, 0]).dictionary_encode(), NUMBERS, [2, 0, 1, 0]),
        (pa.array([2.0, 0.0, 1.0, 0.0], pa.float32()), NUMBERS, [2, 0, 1, 0]),
        (pa.array(np.array([2, 0, 1, 0], np.float16)), NUMBERS, [2, 0, 1, 0]),
        (pa.array([2, 0, 1, 0]).cast(pa.float64()).dictionary_encode(), NUMBERS, [2, 0, 1, 0]),
        (pa.array([Decimal("2.00"), Decimal("0.00"), Decimal("1.00")]), NUMBERS, [2, 0, 1]),
        (pa.array([True, False, True]), ("0", "1"), [1, 0, 1]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_that_stand_for_classes(tmp_path, labels, classes, numbers):
    assert read(tmp_path, labels) == (classes, numbers)


LISTS = (
    "has lists, but several labels per image (multi-label) and one-hot vectors are not supported: "
    "store one class per image."
)
WHOLE = "has the label {}, but labels are whole numbers from 0, or text."
KIND = "has the type {}: store classes as text or whole numbers."


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (pa.array([[0, 1], [2]]), LISTS),
        (pa.array([[0.0, 1.0], [1.0, 0.0]]), LISTS),
        (pa.array([[0, 1], [1, 0]], pa.list_(pa.int64(), 2)), LISTS),
        (pa.array([[0, 1], [1, 0]], pa.large_list(pa.int64())), LISTS),
        (pa.array([1, 0.5, 2]), WHOLE.format(0.5)),
        (pa.array([1, float("inf")]), WHOLE.format("inf")),
        (pa.array([1.0, 1e30]), WHOLE.format("1e+30")),
        (pa.array([2**63], pa.uint64()), WHOLE.format(2**63)),
        (pa.array([Decimal("1.25"), Decimal("1.00")]), WHOLE.format("1.25")),
        (pa.array([1, 2], pa.timestamp("ms")), KIND.format("timestamp[ms]")),
        (pa.array([1, 2], pa.date32()), KIND.format("date32[day]")),
        (pa.array([b"cat", b"dog"]), KIND.format("binary")),
        (pa.array([{"a": 1}, {"a": 2}]), KIND.format("struct<a: int64>")),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_that_are_rejected_in_one_sentence(tmp_path, labels, sentence):
    with pytest.raises(UserError) as caught:
        read(tmp_path, labels)
    assert str(caught.value) == f"the column 'label' of {tmp_path}/train.parquet {sentence}"


def test_names_of_metadata_number_text_too(tmp_path):
    names = ["eel", "dog", "cat"]
    assert read(tmp_path, WORDS, metadata=class_label("label", names)) == (
        ("eel", "dog", "cat"),
        [1, 2, 0, 2],
    )
    with pytest.raises(UserError, match=r"has the label .eel., outside of its 2 classes"):
        read(tmp_path, WORDS, metadata=class_label("label", names[1:]))


def test_text_is_matched_in_the_composed_form_of_unicode(tmp_path):
    words = ["cafe\u0301", "caf\u00e9", "bar"]
    assert read(tmp_path, words) == (("bar", "caf\u00e9"), [1, 1, 0])
    metadata = class_label("label", ["cafe\u0301", "bar"])
    assert read(tmp_path, words, metadata=metadata) == (("caf\u00e9", "bar"), [0, 0, 1])


def test_text_that_is_not_utf8(tmp_path):
    broken = pa.array([b"caf\xe9", b"bar"]).view(pa.string())
    with pytest.raises(UserError, match=r"train\.parquet has labels that cannot be read \(.*UTF-8"):
        read(tmp_path, broken)


def test_labels_that_are_not_numbered_from_0(tmp_path):
    with pytest.raises(UserError, match=r"has the label -2, outside of its 2 classes"):
        read(tmp_path, [1, -2])
    with pytest.raises(UserError) as caught:
        read(tmp_path, [1, 10**15])
    assert str(caught.value) == (
        "train has the label 1000000000000000: number its classes from 0, or name them in text."
    )


def test_text_beside_numbers(tmp_path):
    table_file(tmp_path / "train.parquet", image=..., label=["a", "b"])
    table_file(tmp_path / "test.parquet", image=..., label=[0, 1])
    with pytest.raises(UserError, match="has labels that are text beside numbers"):
        open_data(str(tmp_path))
