"""The documentation as a site: a reference like the source, and no other address is needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.browser import needs_browser, open_browser, open_page, serve_folder

ROOT = Path(__file__).parents[1]
REMOTE = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built from a copy of the documents."""
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "zensical.toml", root)
    command = [Path(sys.executable).parent / "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "site"


def test_the_reference_is_that_of_the_source():
    from docs.write_reference import OUT, pages

    written = {path.name: path.read_text() for path in OUT.glob("*.md")}
    assert written == pages(), "run `make docs`"
    assert len(written) == 4
    for name in ("AdaptiveFrequencyFilter", "ScatteringMixer"):
        assert f"### {name}.forward" in written["mixers.md"]
    assert "## dtcwt2d" in written["ops.md"]
    assert "**Raises**" in written["spectralvision.md"]


@pytest.mark.slow
def test_every_document_is_a_page_of_its_own(site):
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    documents = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert documents <= pages
    menu = (ROOT / "zensical.toml").read_text()
    for document in documents:
        assert f'"{document}"' in menu, f"{document} is not in the menu"
    for page in site.rglob("*.html"):
        assert not REMOTE.search(page.read_text()), page


@pytest.mark.slow
@needs_browser
def test_pages_reach_no_other_address(site):
    with serve_folder(site) as address, open_browser() as browser:
        for path, width in (("index.html", 1280), ("guides/accuracy.html", 390),
                            ("reference/mixers.html", 1280)):  # fmt: skip
            with open_page(browser, address, path, width) as page:
                page.wait_for_selector("h1")
                for picture in page.query_selector_all("article img"):
                    assert picture.evaluate("one => one.naturalWidth") > 0
