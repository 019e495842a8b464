import pytest

from spectralvision.cli import main
from tests.helpers.run_folders import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "photos-test_resnet", "test_resnet")


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run `push` in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def words(*more):
        capsys.readouterr()
        return main(["push", *map(str, more)]), *capsys.readouterr()

    return words
