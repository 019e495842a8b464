"""What the measured numbers mean: order of runs, medians, peak memory, forms; and the command."""

import json
import time

import pytest
import torch
from torch import nn

from spectralvision.analysis.benchmark import BenchmarkConfig, benchmark_models
from spectralvision.analysis.speed import (
    Timing,
    apply_form,
    build_inference,
    build_training_step,
    measure_peak_memory,
    time_interleaved,
)
from spectralvision.cli import main


def test_workloads_are_interleaved_and_each_second_run_is_timed():
    calls = []
    now = 0.0

    def run(name, seconds):
        nonlocal now
        calls.append(name)
        now += seconds[calls.count(name) - 1]

    # Untimed runs take 100 s or more, and so do the warm-up round and what is called after a run.
    seconds = {"a": [100, 100, 100, 1, 100, 2, 100, 6], "b": [500, 500, 500, 4, 500, 4, 500, 4]}

    def after():
        nonlocal now
        now += 1000

    workloads = {name: lambda name=name: run(name, seconds[name]) for name in seconds}
    timings = time_interleaved(workloads, rounds=3, warmup=1, after=after, clock=lambda: now)
    assert calls == ["a", "a", "b", "b"] * 4
    assert timings == {"a": Timing(2, 1, 6), "b": Timing(4, 4, 4)}


def test_the_time_of_one_round_is_its_own_quartiles():
    times = iter([0.0, 3.0])
    timings = time_interleaved({"a": lambda: None}, rounds=1, warmup=0, clock=lambda: next(times))
    assert timings == {"a": Timing(3, 3, 3)}


def test_the_clock_measures_seconds():
    timing = time_interleaved({"a": lambda: time.sleep(0.01)}, rounds=1, warmup=0)["a"]
    assert timing.median >= 0.01


def test_peak_memory_is_the_largest_sum_of_live_bytes():
    def run():
        first = torch.ones(1000, 256)  # 1,024,000 bytes
        second = first + 1
        del first
        return second * 2

    kept = torch.ones(10_000)  # was there before
    assert 2 * 1_024_000 <= measure_peak_memory(run) <= 2 * 1_024_000 + 10_000
    assert kept.sum() == 10_000


@pytest.mark.parametrize("name", ["affnet_et", "test_resnet"])
def test_forms_compute_the_same(name):
    import timm

    model, x = timm.create_model(name, num_classes=3).eval(), torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(apply_form(model, "fused")(x), model(x), atol=1e-4, rtol=1e-4)
    assert build_inference(model, x, "bf16-mixed")().shape == (2, 3)
    build_training_step(model, x)()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_side_by_side(tmp_path, capsys):
    words = "test_resnet test_vit --input-size 64 160 --rounds 2 --batch-size 2 --form eager fused"
    plot = tmp_path / "a.png"
    assert main(["benchmark", *words.split(), "--plot", str(plot), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {(row["model"], row["form"], row["input_size"]): row for row in result["rows"]}
    assert len(rows) == 8
    first = rows["test_resnet", "eager", 64]
    assert first["against_first"] == 1
    assert first["images_per_second"] == pytest.approx(2e3 / first["milliseconds"])
    other = rows["test_resnet", "fused", 160]
    base = rows["test_resnet", "eager", 160]
    assert other["against_first"] == pytest.approx(base["milliseconds"] / other["milliseconds"])
    assert base["gmacs"] == pytest.approx(first["gmacs"] * 6.25, rel=0.05)
    assert base["peak_memory"] > 3 * first["peak_memory"]
    assert plot.stat().st_size > 5000


def test_a_model_is_built_for_each_size_and_errors_are_rows():
    sizes = []

    def build(size):
        sizes.append(size)
        if size == 16:
            raise ValueError("too\nsmall")
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 4))

    config = BenchmarkConfig(batch_size=2, rounds=1, train=True)
    # The same model twice shows the noise of the measurement.
    result = benchmark_models([("a", build), ("a", build)], ["eager"], [8, 16], config)
    assert sizes == [8, 8, 16, 16]
    rows = result["rows"]
    assert [row.get("error") for row in rows] == [None, None, "too small", "too small"]
    assert rows[0]["against_first"] == 1
    assert rows[1]["against_first"] == pytest.approx(
        rows[0]["milliseconds"] / rows[1]["milliseconds"]
    )
    assert rows[0]["gmacs"] == pytest.approx(3 * 64 * 4 / 1e9)
    assert rows[0]["peak_memory"] > 0
    assert result["machine"]["train"] is True


def test_a_model_that_does_not_take_the_size_does_not_stop_the_others(capsys):
    words = ["test_vit", "test_resnet", "--input-size", "8", "--rounds", "1", "--batch-size", "2"]
    assert main(["benchmark", *words]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["test_vit", "eager", "8", "-"]
    assert float(lines[2].split()[3].replace(",", "")) > 0


def test_training_is_shown_as_a_table(capsys):
    words = "test_resnet --input-size 64 --rounds 1 --batch-size 2 --train"
    assert main(["benchmark", *words.split()]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:3] == ["model", "form", "input"]
    assert out.splitlines()[1].split()[-1] == "1.00x"
    assert "training steps, batch size 2, 32, channels_last; cpu" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "benchmark needs MODEL: see `spectralvision benchmark --help`."),
        (
            "affnet_ett",
            "affnet_ett is neither a run folder nor the name of a model: did you mean affnet_et",
        ),
        ("test_resnet --train --form fused", "--train works with --form eager and compiled"),
        ("test_resnet --rounds 0", "--rounds 0 should be between 1 and 1000000."),
        ("test_resnet --input-size -3", "--input-size -3 should be between 1 and 8192."),
        ("test_resnet --form fastest", "fastest"),
        (
            "test_resnet --input-size 64 --rounds 1 --plot no/such.png",
            "--plot no/such.png cannot be written",
        ),
        (
            "test_resnet --input-size 64 --rounds 1 --plot speed.docx",
            "--plot speed.docx cannot be written",
        ),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spectralvision: error: ")
    assert sentence in err
    assert not list(tmp_path.iterdir())
