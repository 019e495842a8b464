"""The report of a run of any task: the sections it hands in, curves and caveats of its metrics."""

import csv

import pytest

from spectralvision.report import Card, Findings, Section, try_write_report, write_report
from spectralvision.report.run_sections import Curves, training_caveats
from spectralvision.runs import write_json
from tests.helpers.html_page import Page

RECORD = {
    "status": "finished",
    "config": {"data": "my cells", "optimizer": {"lr": 0.001}},
    "data": {"images": {"train": 300, "val": 30, "test": 20}, "classes": ["a"], "fingerprints": {}},
    "device": {"accelerator": "cpu"},
    "versions": {"torch": "2.11"},
    "results": {"best_epoch": 2, "seconds": 30.0},
}
EPOCHS = [
    {"epoch": epoch, "train_loss": 2 / epoch, "val_loss": 2.1 / epoch, "val_miou": miou,
     "seconds": 3 * epoch}
    for epoch, miou in enumerate([0.5, 0.71, 0.7, 0.7, 0.71, 0.7], 1)
]  # fmt: skip


def segmentation_run(folder, record=RECORD, epochs=EPOCHS):
    folder.mkdir()
    write_json(folder / "run.json", record)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(epochs[0]))
        writer.writeheader()
        writer.writerows(epochs)
    return folder


def curves(monitor="val_miou", mode="max", tie=None, **columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    epochs = [{"epoch": str(number), **row} for number, row in enumerate(rows, 1)]
    return Curves(epochs=epochs, monitor=monitor, mode=mode, tie=tie, titles={"miou": "Mean IoU"})


def test_a_task_hands_in_sections(tmp_path):
    run = segmentation_run(tmp_path / "run")
    findings = Findings(
        title="cells · unet",
        subtitle="1 class",
        cards=[Card("71.0%", "mean IoU", main=True)],
        caveats=["Few <images>."],
        sections=[Section("masks", "Masks", "<p>painted</p>")],
        metric_titles={"miou": "Mean IoU"},
        timings={"evaluation": "5 images/s"},
        facts={"parameters": "3.1 M"},
    )
    path = write_report(run, findings, monitor="val_miou", tie="val_loss")
    assert path == run / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert list(page.sections) == ["caveats", "curves", "masks", "facts"]
    assert page.cards == {"mean IoU": "71.0%", "best epoch": "2 of 6", "total run time": "30 s"}
    assert [item.text for item in page.sections["caveats"].all("li")] == ["Few <images>."]
    command = f"spectralvision evaluate --model {run} --data 'my cells'"
    assert page.sections["caveats"].one("code").text == command
    assert [title.text for title in page.sections["curves"].all("h3")] == ["Loss", "Mean IoU"]
    marks = [line.attrs["x1"] for line in page.sections["curves"].all("line", "mark")]
    # Epochs 2 and 5 are equal in IoU, and 5 has the smaller loss: four fifths of 46..410.
    assert marks == ["337.2", "337.2"]
    facts = dict(row for table in page.sections["facts"].all("table") for row in table.rows)
    assert facts == {
        "whole run": "30 s",
        "epoch, including validation": "3 s",
        "training, including validation": "100 images/s",
        "evaluation": "5 images/s",
        "parameters": "3.1 M",
        "images.train": "300",
        "images.val": "30",
        "images.test": "20",
        "data": "my cells",
        "optimizer.lr": "0.001",
        "accelerator": "cpu",
        "torch": "2.11",
    }


def test_a_run_without_epochs_and_findings(tmp_path):
    write_json(tmp_path / "run.json", {})
    path = write_report(tmp_path, Findings(title="empty"), monitor="val_miou")
    page = Page(path.read_text(encoding="utf-8"))
    assert list(page.sections) == ["caveats"]
    assert "No problem was found" in page.sections["caveats"].text
    assert page.sections["caveats"].one("code").text.endswith("--data FOLDER-OF-NEW-IMAGES")


@pytest.mark.parametrize(
    ("status", "columns", "sentence"),
    [
        ("interrupted", {"val_miou": [0.5, 0.5]}, "stopped before its last epoch"),
        ("finished", {"val_miou": [0.7]}, "Only one epoch"),
        (
            "finished",
            {"val_miou": [0.5, 0.6, 0.7]},
            "Mean IoU was still rising when training ended (by 10.0 points in the last epoch of 3)",
        ),
        (
            "finished",
            {"val_miou": [0.7] * 6, "train_miou": [0.95] * 6},
            "Mean IoU on the training images is 95.0%, 25 points higher",
        ),
    ],
)
def test_training_caveats(status, columns, sentence):
    (only,) = training_caveats(status, curves(**columns))
    assert sentence in only


def test_metrics_that_are_not_fractions_have_no_caveats():
    falling = curves("val_loss", mode="min", val_loss=[3.0, 2.0, 1.0], train_loss=[0.1, 0.1, 0.1])
    assert training_caveats("finished", falling) == []
    assert falling.best()["epoch"] == "3"
    assert training_caveats("finished", curves("val_psnr", val_psnr=[20.0, 25.0])) == []


def test_the_first_of_equal_epochs_is_the_best():
    assert curves(val_miou=[0.5, 0.7, 0.7]).best()["epoch"] == "2"
    tied = curves(tie="val_loss", val_miou=[0.5, 0.7, 0.7], val_loss=[3, 2, 1])
    assert tied.best()["epoch"] == "3"


def test_a_report_that_cannot_be_written_is_a_message(tmp_path):
    def write():
        raise RuntimeError("no ink")

    lines = []
    assert try_write_report(write, lines.append) is None
    assert lines == [
        "the report could not be written (RuntimeError: no ink); the run itself is complete"
    ]
    assert try_write_report(lambda: tmp_path, lines.append) == str(tmp_path)
    assert len(lines) == 1


def test_settings_show_what_auto_came_to(tmp_path):
    settings = {
        "workers": "auto", "device": "cpu", "sched": "auto", "trainer": {"strategy": "auto"},
        "precision": "auto", "label_maps": {"digest": "06c4" * 8},
    }  # fmt: skip
    resolved = {
        "workers": 2, "device": "cuda", "precision": "bf16-mixed", "trainer": {"strategy": "ddp"}
    }  # fmt: skip
    write_json(tmp_path / "run.json", {"config": settings, "resolved": resolved})
    path = write_report(tmp_path, Findings(title="empty"), monitor="val_miou")
    facts = Page(path.read_text(encoding="utf-8")).sections["facts"].one("table").rows
    assert facts == [
        ["workers", "2 (auto)"],
        ["device", "cpu"],
        ["sched", "auto"],
        ["trainer.strategy", "ddp (auto)"],
        ["precision", "bf16-mixed (auto)"],
    ]
