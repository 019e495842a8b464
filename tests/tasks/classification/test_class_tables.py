"""`classes.csv` and `confusions.csv`: every class and every confused pair, in exact rows."""

import numpy as np

from spectralvision.tasks.classification.class_tables import write_class_tables
from spectralvision.tasks.classification.statistics import ClassificationResults


def made_results(labels: list[int], predicted: list[int], num_classes: int):
    size = len(labels)
    return ClassificationResults(
        num_classes=num_classes,
        labels=np.array(labels),
        predicted=np.array(predicted),
        confidences=np.full(size, 0.6),
        true_probabilities=np.full(size, 0.3),
        is_top5=np.ones(size, bool),
    )


def test_both_tables(tmp_path):
    results = made_results([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0], num_classes=4)
    write_class_tables(tmp_path, results, ["=a", "b, c", "none", "x\ny"], np.array([9, 8, 7, 6]))
    assert (tmp_path / "classes.csv").read_text().split("\n", 5)[:4] == [
        "class,images,correct,recall,recall_low,recall_high,predictions,precision,training_images",
        "'=a,4,2,0.5000,0.1500,0.8500,3,0.6667,9",
        '"b, c",2,1,0.5000,0.0945,0.9055,3,0.3333,8',
        "none,0,0,,,,0,,7",
    ]
    assert (tmp_path / "confusions.csv").read_text().splitlines() == [
        "true_class,predicted_class,images",
        '\'=a,"b, c",2',
        '"b, c",\'=a,1',
    ]


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path):
    write_class_tables(tmp_path, made_results([0, 1], [1, 1], 2), ["b\udcff", "c"])
    assert (tmp_path / "confusions.csv").read_bytes().endswith(b"\nb\xff,c,1\n")
    assert (tmp_path / "classes.csv").read_bytes().splitlines()[2] == (
        b"c,1,1,1.0000,0.2065,1.0000,2,0.5000,"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.csv", "confusions.csv"]
