"""`predict` on addresses: a row for each image, and the others reported like bad files."""

import json

import pytest

from spectralvision.cli import main
from tests.helpers.pictures import encoded, picture
from tests.helpers.web_server import redirect, send, serve

PNG = encoded(picture("red", 0))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    answers = {"/a.png": send(PNG), "/b.png": redirect("/a.png"), "/c.png": redirect("file:///a")}
    with serve(answers) as address:
        yield address


def test_addresses_and_files_together(server, tmp_path, capsys):
    (tmp_path / "d.png").write_bytes(PNG)
    good = [f"{server}/a.png", str(tmp_path / "d.png"), f"{server}/b.png"]
    bad = [f"{server}/c.png", f"{server}/gone.png", "http://127.0.0.1:1/e.png"]
    assert main(["predict", good[0], bad[0], good[1], *bad[1:], good[2], "--json"]) == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert [row["image"] for row in result["predictions"]] == good
    first, *others = (row["classes"] for row in result["predictions"])
    assert others == [first, first]
    assert [one["image"] for one in result["unreadable"]] == bad
    assert "3 of 6 could not be read:" in err
    assert f"  {server}/gone.png cannot be fetched (404 Not Found)." in err
    assert "  http://127.0.0.1:1/e.png cannot be fetched (Connection refused)." in err


def test_only_an_address_that_fails(server, capsys):
    assert main(["predict", f"{server}/gone.png"]) == 2
    assert capsys.readouterr().err == (
        f"spectralvision: error: {server}/gone.png cannot be fetched (404 Not Found).\n"
    )


def test_with_workers_into_a_file(server, tmp_path, capsys):
    words = [f"{server}/a.png?{number}" for number in range(4)]
    with serve({f"/a.png?{number}": send(PNG) for number in range(4)}) as other:
        words = [word.replace(server, other) for word in words]
        options = ["--workers", "2", "--batch-size", "2", "--out", str(tmp_path / "a.csv")]
        assert main(["predict", *words, *options]) == 0
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["image", *words]


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_data_is_never_fetched(server, tmp_path, capsys, verb):
    model = {"train": [], "evaluate": ["--model", "affnet_et.cifar10"]}[verb]
    assert main([verb, "--data", f"{server}/a.png", *model]) == 2
    assert "a.png does not exist: --data takes a folder" in capsys.readouterr().err
