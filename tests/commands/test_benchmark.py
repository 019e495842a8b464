"""The text of `spectralvision benchmark`."""

import pytest

from spectralvision.commands.benchmark import Benchmark


@pytest.mark.parametrize(("number", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_the_conditions_are_in_one_line(capsys, number, words):
    machine = {"device": "cpu", "threads": number, "torch": "2.11", "batch_size": 8}
    Benchmark(["affnet_et"]).show({"machine": machine, "rows": []})
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"inference, batch size 8, 32, channels_last; cpu, {words}, torch 2.11; "
        "median of 10 interleaved rounds"
    )
