"""A headless chromium with a folder served to it, and nothing else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="pages are tested with Debian's chromium and Playwright",
)


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Yield the address of a server of a folder, as `python -m http.server` is one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def open_browser() -> Iterator[Any]:
    """Yield a Playwright browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, address: str, path: str = "", width: int = 1280) -> Iterator[Any]:
    """Yield a page that reaches its own server only; fail if it tried another, or had an error.

    Args:
        browser: Of Playwright.
        address: Of the server, or of a file.
        path: Below it.
        width: Of the window, in pixels.
    """
    problems: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800})

    def block(route: Any) -> None:
        problems.append(route.request.url)
        route.abort()

    context.route(lambda url: not url.startswith((address, "blob:", "data:", "file:")), block)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}{path}")
    yield page
    context.close()
    assert problems == []
