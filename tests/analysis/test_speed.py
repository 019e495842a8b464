"""What the figures of speed mean: turns, medians, peak memory, forms; and the verb that shows them."""

import json
import time

import pytest
import torch

from spectralvision.analysis.speed import in_form, inference, interleaved, peak_memory, training_step
from spectralvision.cli import main


def test_contestants_take_turns_and_the_first_run_of_a_turn_is_not_timed():
    calls = []

    def run(name):
        calls.append(name)
        time.sleep(0.02 if calls.count(name) % 2 else 0.0)  # the untimed ones are slow

    timings = interleaved({"a": lambda: run("a"), "b": lambda: run("b")}, rounds=3, warmup=1)
    assert calls == ["a", "a", "b", "b"] * 4
    assert all(timing.low <= timing.median <= timing.high < 0.02 for timing in timings.values())


def test_peak_memory_is_the_largest_sum_of_live_bytes():
    def run():
        first = torch.ones(1000, 256)  # 1,024,000 bytes
        second = first + 1
        del first
        return second * 2

    kept = torch.ones(10_000)  # was there before
    assert 2 * 1_024_000 <= peak_memory(run) <= 2 * 1_024_000 + 10_000
    assert kept.sum() == 10_000


@pytest.mark.parametrize("name", ["affnet_et", "test_resnet"])
def test_forms_compute_the_same(name):
    import timm

    model, x = timm.create_model(name, num_classes=3).eval(), torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(in_form(model, "fused")(x), model(x), atol=1e-4, rtol=1e-4)
    assert inference(model, x, "bf16-mixed")().shape == (2, 3)
    training_step(model, x)()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_side_by_side(tmp_path, capsys):
    words = ["test_resnet", "test_vit", "--input-size", "64", "160", "--rounds", "2", "--batch-size", "2"]
    assert main(["benchmark", *words, "--form", "eager", "fused", "--plot", str(tmp_path / "a.png"), "--json"]) == 0
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
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_model_that_does_not_take_the_size_does_not_stop_the_others(capsys):
    words = ["test_vit", "test_resnet", "--input-size", "8", "--rounds", "1", "--batch-size", "2"]
    assert main(["benchmark", *words]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["test_vit", "eager", "8", "-"]
    assert float(lines[2].split()[3]) > 0


def test_training_is_shown_as_a_table(capsys):
    assert (
        main(["benchmark", "test_resnet", "--input-size", "64", "--rounds", "1", "--batch-size", "2", "--train"]) == 0
    )
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:3] == ["model", "form", "input"]
    assert "1.00x" in out
    assert "training steps, batch 2, 32, channels_last; cpu" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "benchmark needs models"),
        ("affnet_ett", "affnet_ett is neither a run folder nor the name of a model: did you mean affnet_et"),
        ("test_resnet --train --form fused", "--train goes with eager and compiled"),
        ("test_resnet --rounds 0", "--rounds 0 should be at least 1."),
        ("test_resnet --input-size -3", "--input-size -3 should be at least 1."),
        ("test_resnet --form fastest", "fastest"),
        ("test_resnet --input-size 64 --rounds 1 --plot no/such.png", "--plot no/such.png cannot be written"),
        ("test_resnet --input-size 64 --rounds 1 --plot speed.docx", "--plot speed.docx cannot be written"),
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
