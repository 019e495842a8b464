"""The page of the target web: its files, and where those of onnxruntime-web come from."""

import io
import os
import re
import tarfile

import pytest

from spectralvision.export import ort_web
from spectralvision.export.ort_web import FILES, SHA512, VERSION, fetch_files
from spectralvision.export.registry import find_target
from spectralvision.export.web import PAGE, Web
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.exporting import ExportConfig, export

HEADER = b"/*! ONNX Runtime Web v1.2.3 */"
FACTS = {
    "model": "affnet_et",
    "file": "model.onnx",
    "bytes": 5,
    "int8": False,
    "weights": "random, not trained",
}
PAGE_FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
FAKE_NPM = """#!/bin/sh
echo "$@" > {said}
{action}
"""


@pytest.fixture
def ort(tmp_path):
    """A folder with files that have the names of onnxruntime-web's package."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for original in FILES.values():
        (folder / original).write_bytes(HEADER + original.encode())
    return folder


def npm(tmp_path, monkeypatch, action):
    """Put a program in the place of npm; return the file with its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = tmp_path / "said"
    (folder / "npm").write_text(FAKE_NPM.format(said=said, action=action))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return said


def package(tmp_path, names):
    """Write an archive like that of npm."""
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            content = f"content of {name}".encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_page_has_no_addresses_of_other_servers():
    names = {path.name for path in PAGE_FILES}
    assert {"index.html", "style.css", "app.js", "resize.js", "worker.js"} <= names
    for path in PAGE_FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""\w+://|["'(]//|url\(|@import""", text), path
        assert all(len(line) <= 100 for line in text.splitlines()), path


def test_every_file_that_the_page_names_is_there():
    names = {path.relative_to(PAGE).as_posix() for path in PAGE_FILES}
    named = set()
    for path in PAGE_FILES:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"""(?:from |src=|href=|new Worker\()["'](?:\./)?([\w.]+)""", text))
        named |= set(re.findall(r'"\./(ort/[\w.-]+)"', text))
    assert len(named) > 8
    assert named - {"data"} <= names | {f"ort/{name}" for name in FILES}


def test_a_folder_has_the_page_the_model_and_the_runtime(tmp_path, ort):
    folder = tmp_path / "out"
    folder.mkdir()
    Web(ort).write_program(folder, "classify", FACTS)
    assert not (folder / "run.py").exists()
    for path in PAGE_FILES:
        assert (folder / path.relative_to(PAGE)).read_bytes() == path.read_bytes()
    about = read_json(folder / "model.json")
    assert about == {"name": "affnet_et", **{k: FACTS[k] for k in FACTS if k != "model"}}
    for name, original in FILES.items():
        assert (folder / "ort" / name).read_bytes() == HEADER + original.encode()

    # The folder of an export is one that another export takes
    again = tmp_path / "again"
    again.mkdir()
    Web(folder / "ort").write_program(again, "classify", FACTS)
    for name in FILES:
        assert (again / "ort" / name).read_bytes() == (folder / "ort" / name).read_bytes()


def test_the_page_does_not_show_where_a_run_was(tmp_path, ort):
    run, folder = tmp_path / "runs" / "photos", tmp_path / "out"
    run.mkdir(parents=True)
    folder.mkdir()
    Web(ort).write_program(folder, "classify", FACTS | {"model": f"{run}/"})
    assert read_json(folder / "model.json")["name"] == "photos"


def test_versions_are_those_of_the_files(ort):
    assert Web(ort).versions()["onnxruntime-web"] == "1.2.3"
    assert Web().versions()["onnxruntime-web"] == VERSION
    Web(ort).require()


def test_an_incomplete_folder_is_rejected(ort):
    (ort / "ort-wasm-simd-threaded.wasm").unlink()
    with pytest.raises(UserError, match=r"has no ort-wasm-simd-threaded\.wasm: give the folder"):
        Web(ort).require()


def test_a_folder_of_something_else_is_rejected(ort):
    (ort / "ort.wasm.bundle.min.mjs").write_text("export {};")
    with pytest.raises(UserError, match=r"ort\.wasm\.bundle\.min\.mjs is not of onnxruntime-web"):
        Web(ort).require()


def test_npm_is_needed_without_a_folder(tmp_path, monkeypatch, ort):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"needs npm to fetch onnxruntime-web .* by --ort-web"):
        Web().require()
    with pytest.raises(UserError, match="npm was not found"):
        fetch_files(tmp_path / "ort")
    Web(ort).require()


def test_a_failure_of_npm_is_one_sentence(tmp_path, monkeypatch):
    action = 'echo "npm error code ENOTFOUND" >&2; echo "npm error no such host." >&2; exit 1'
    said = npm(tmp_path, monkeypatch, action)
    with pytest.raises(UserError, match=r"could not fetch .* \(no such host\): check the network"):
        fetch_files(tmp_path / "ort")
    assert said.read_text() == f"pack onnxruntime-web@{VERSION} --ignore-scripts\n"


def test_a_package_with_another_checksum_is_not_unpacked(tmp_path, monkeypatch):
    path = package(tmp_path, [f"package/dist/{one}" for one in FILES.values()])
    npm(tmp_path, monkeypatch, f'cp {path} "$PWD/"')
    with pytest.raises(UserError, match=rf"instead of {re.escape(SHA512[:16])}"):
        fetch_files(tmp_path / "ort")
    assert not (tmp_path / "ort").exists()


def test_only_the_named_files_are_unpacked(tmp_path, monkeypatch):
    wanted = [f"package/dist/{one}" for one in FILES.values()]
    path = package(tmp_path, [*wanted, "package/dist/ort.mjs", "../outside", "/absolute"])
    npm(tmp_path, monkeypatch, f'cp {path} "$PWD/"')
    fetch_files(tmp_path / "ort", ort_web.digest(path))
    assert sorted(one.name for one in (tmp_path / "ort").iterdir()) == sorted(FILES)
    for name, original in FILES.items():
        content = (tmp_path / "ort" / name).read_text()
        assert content == f"content of package/dist/{original}"


def test_a_package_without_a_file_is_rejected(tmp_path, monkeypatch):
    path = package(tmp_path, [f"package/dist/{one}" for one in list(FILES.values())[1:]])
    npm(tmp_path, monkeypatch, f'cp {path} "$PWD/"')
    with pytest.raises(UserError, match=r"has no package/dist/ort\.wasm\.bundle\.min\.mjs"):
        fetch_files(tmp_path / "ort", ort_web.digest(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "features"}, "--output features is not for --target web"),
        ({"batch": 2}, "--batch 2 is not for --target web"),
        ({"batch": "dynamic"}, "--batch dynamic is not for --target web"),
        ({"target": "onnx"}, "--ort-web is for --target web, not for onnx"),
    ],
)
def test_options_that_do_not_fit_are_rejected(tmp_path, ort, options, message):
    settings = {"model": "affnet_et.cifar10", "target": "web", "ort_web": ort} | options
    with pytest.raises(UserError, match=message):
        export(ExportConfig(out=tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()


def test_the_target_is_registered():
    target = find_target("web")
    assert isinstance(target, Web)
    assert target.has_int8
    assert "http.server" in target.usage()
    assert target.command("a b") == "python -m http.server 8000 --directory 'a b'"
