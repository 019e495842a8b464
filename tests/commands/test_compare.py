"""`spectralvision compare`: the table, the page, resuming, and what it rejects."""

import json

import pytest

from spectralvision.cli import main
from spectralvision.mixers import MIXERS
from spectralvision.recipes.compare_mixers import PRESETS, compare_mixers
from spectralvision.tasks import comparing
from spectralvision.tasks.comparison import CompareConfig
from tests.helpers.pictures import image_folder

QUICK = ("--input-size", 32, "--sizes", 32, 64, "--rounds", 1, "--batch-size", 16, "--epochs", 2)
PAIR = ("--mixers", "aff(groups=4)", "identity")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "photos"
    image_folder(root / "train", 12)
    image_folder(root / "test", 4, first=50)
    return root


def call(capsys, *words):
    code = main(["compare", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def read(folder):
    return json.loads((folder / "compare.json").read_text())


def results(record):
    """What does not depend on the time."""
    return {
        key: {name: value for name, value in run.items() if name != "minutes"}
        for key, run in record["runs"].items()
    }


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A comparison that nothing interrupted."""
    out = tmp_path_factory.mktemp("compare") / "whole"
    words = ("compare", "--data", photos, *PAIR, *QUICK, "--out", out)
    assert main([str(word) for word in words]) == 0
    return out


def test_the_table_and_the_page(whole, photos, capsys):
    record = read(whole)
    code, text, _ = call(capsys, "--data", photos, *PAIR, *QUICK, "--out", whole)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "variant"
    assert {line.split("  ")[0] for line in lines[1:3]} == {"aff(groups=4)", "identity"}
    assert lines[3] == f"written  {whole}/compare.html"
    assert read(whole) == record  # nothing was done again

    assert len(record["runs"]) == 4
    assert all(0 <= run["test_top1"] <= 1 for run in record["runs"].values())
    rows = {row["variant"]: row for row in record["rows"]}
    for variant, row in rows.items():
        runs = [record["runs"][f"{variant} {seed}"]["test_top1"] for seed in range(2)]
        assert row["top1"] == pytest.approx(sum(runs) / 2)
        assert row["spread"] == pytest.approx(max(runs) - min(runs))
        assert set(row["sizes"]) == {"32", "64"}
        assert row["growth"] > 1
    assert rows["identity"]["parameters"] < rows["aff(groups=4)"]["parameters"]
    assert max(record["costs"]["round_trip"].values()) < 1e-5
    page = (whole / "compare.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "aff(groups=4)" in page
    assert all((whole / f"{name}.png").is_file() for name in ("accuracy", "costs", "growth"))


def test_killed_and_resumed_it_gives_the_same_table(whole, photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "resumed"
    words = ("--data", photos, *PAIR, *QUICK, "--out", out)
    train, calls = comparing.train, []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(comparing, "train", interrupted)
    code, _, error = call(capsys, *words)
    assert code == 130
    assert error.splitlines()[-1] == (
        "spectralvision: interrupted; 2 of 4 trainings are finished, the same command resumes"
    )
    assert len(read(out)["runs"]) == 2
    costs = read(out)["costs"]

    assert call(capsys, *words)[0] == 0
    assert len(calls) == 5  # two, the interrupted one again, and the last
    assert results(read(out)) == results(read(whole))
    assert read(out)["costs"] == costs
    tables = [[row["top1"] for row in read(folder)["rows"]] for folder in (out, whole)]
    assert tables[0] == tables[1]


def test_the_budget_decides_the_epochs(photos, tmp_path, monkeypatch):
    comparison = compare_mixers(["aff", "identity"])
    config = CompareConfig(comparison=comparison, data=str(photos), budget=2)
    seconds = iter([5.0, 7.0])
    monkeypatch.setattr(comparing, "train", lambda *_, **__: {"seconds": next(seconds)})
    assert comparing._choose_epochs(config, tmp_path, lambda line: None) == 17  # 120 s / 7 s


def test_other_settings_do_not_mix(whole, photos, capsys):
    words = ("--data", photos, *PAIR, *QUICK, "--out", whole)
    before = read(whole)
    code, _, error = call(capsys, *words, "--seeds", 3, "--lr", "1e-3")
    assert code == 2
    assert error == (
        f"spectralvision: error: {whole} has a comparison with other settings (seeds, lr): name "
        "another folder with --out, or repeat its settings to resume it.\n"
    )
    assert read(whole) == before


@pytest.mark.parametrize("name", ["mixers", *PRESETS])
def test_presets_can_be_built(name):
    import torch

    comparison = compare_mixers() if name == "mixers" else PRESETS[name]
    assert comparison.variants
    assert set(comparison.reported) <= set(comparison.variants)
    config = CompareConfig(comparison=comparison, data="photos")
    for variant in comparison.variants:
        model = comparing.build_variant(config, variant, 5, 64).eval()
        with torch.no_grad():
            assert model(torch.rand(1, 3, 64, 64)).isfinite().all()
    names = {comparing.file_name(variant) for variant in comparison.variants}
    assert len(names) == len(comparison.variants)
    if name == "mixers":
        assert len(comparison.variants) == len(MIXERS)


def test_dry_run_writes_nothing(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text, _ = call(capsys, "svt-depth", "--data", photos, "--dry-run")
    assert code == 0
    assert text.count("variant  ") == 5
    assert (
        "\ntrain    10 trainings (2 seeds of each variant), about 4 min each (--budget), 40 min in "
        "all, plus the measurements\n" in text
    )
    assert "{" not in text
    code, text, _ = call(capsys, "--data", photos, "--dry-run", "--epochs", 3, "--mixers", "aff")
    assert "\nvariant  aff\ntrain    2 trainings (2 seeds of each variant), 3 epochs each\n" in text
    assert not list(tmp_path.iterdir())


REJECTED = {
    "": "compare needs --data: see `spectralvision compare --help`.",
    "mixer --data PHOTOS": "mixer is not a preset of compare: did you mean mixers?",
    "mixers svt-depth --data PHOTOS": "compare takes one preset, not mixers and svt-depth.",
    "svt-depth --data PHOTOS --mixers aff": "--mixers is for the preset mixers, not for svt-depth: "
    "leave it out.",
    "--data PHOTOS --mixers affn": "--mixers affn: 'affn' is no mixer: the mixers are aff, ",
    "--data PHOTOS --mixers aff(groups": "--mixers aff(groups: 'aff(groups' is not the name of a "
    "mixer: write aff or aff(groups=1).",
    "--data PHOTOS --mixers aff aff": "--mixers has a name twice: name each once.",
    "--data none": "none does not exist: ",
    "--data PHOTOS --seeds 0": "--seeds 0 should be ",
    "--data PHOTOS --budget 0": "--budget 0.0 should be ",
    "--data PHOTOS --sizes 0": "--sizes 0 should be ",
    "--data PHOTOS --num-images 1": "--num-images 1 should be ",
    "--data PHOTOS --out PHOTOS": "PHOTOS exists and is not an empty folder: name another with "
    "--out.",
}


@pytest.mark.parametrize("words", REJECTED)
def test_bad_input(words, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = call(capsys, *words.replace("PHOTOS", str(photos)).split())
    expected = REJECTED[words].replace("PHOTOS", str(photos))
    assert (code, out) == (2, "")
    assert error.splitlines()[-1].startswith(f"spectralvision: error: {expected}")
    assert not list(tmp_path.iterdir())
