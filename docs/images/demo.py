"""Record docs/images/demo.png: the page of `spectralvision demo` with a drawn example.

Run `python docs/images/demo.py`. It needs the extra `demo`, Playwright and Debian's chromium.
"""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).with_suffix(".png")
PORT = 7979
ADDRESS = f"http://127.0.0.1:{PORT}/"
COMMAND = [sys.executable, "-m", "spectralvision.cli", "demo", "--no-browser", "--port", str(PORT)]
WIDTH, HEIGHT = 1200, 1000
WAIT = 90_000  # milliseconds


def main() -> None:
    server = subprocess.Popen(COMMAND)
    try:
        _wait_for_server()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(ADDRESS)
            page.get_by_label("Model").click()
            page.get_by_role("option", name=re.compile("cifar10")).click()
            page.locator("button.gallery-item, .gallery button").first.click()
            page.wait_for_function(
                "document.querySelector('#text')?.innerText.includes(' ms ')", timeout=WAIT
            )
            number = page.locator("#highest input[type=number]")
            number.fill("0.3")
            number.press("Enter")
            time.sleep(5)
            page.screenshot(path=OUT)
            browser.close()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _wait_for_server() -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(ADDRESS, timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the page does not answer")


if __name__ == "__main__":
    main()
