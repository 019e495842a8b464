"""Draws the screens of the README: a training in a terminal of 80 columns, and its report in a browser.

python docs/images/screens.py      trains digits in a temporary folder; needs pyte and a headless chromium
"""

import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
import pyte
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent.resolve()
RUN = "runs/digits"
COLUMNS, LINES = 80, 5
WIDTH, HEIGHT = 1200, 1560  # of the report's screen, CSS pixels
PAPER, INK = "#16181d", "#d6d9df"
NAMED = {"default": INK, "brown": "#c9a227", "cyan": "#39b3c4", "magenta": "#c678dd", "green": "#59a869"}


def train(stop: str) -> pyte.Screen:
    """What the terminal shows once `stop` is on it; the training then goes on to its end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    words = ["spectralvision", "train", "--data", "digits", "--out", RUN]
    screen.draw("$ " + " ".join(words))
    screen.linefeed()
    screen.carriage_return()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        os.execvp(Path(sys.executable).parent / words[0], words)
    shown = None
    while True:
        try:
            stream.feed(os.read(terminal, 65536))
        except OSError:  # it has ended
            return shown or screen
        if shown is None and any(stop in line for line in screen.display):
            time.sleep(2)
            stream.feed(os.read(terminal, 65536))
            shown = pyte.Screen(COLUMNS, LINES)
            shown.buffer.update({row: dict(line) for row, line in screen.buffer.items()})


def drawn(screen: pyte.Screen) -> Image.Image:
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf"), 22)
    across, down = font.getlength("M"), 30
    image = Image.new("RGB", (round(across * COLUMNS) + 40, down * LINES + 40), PAPER)
    pen = ImageDraw.Draw(image)
    for row, line in screen.buffer.items():
        for column, cell in line.items():
            colour = NAMED.get(cell.fg) or (f"#{cell.fg}" if len(cell.fg) == 6 else INK)
            pen.text((20 + column * across, 20 + row * down), cell.data, colour, font)
    return image


def main() -> None:
    os.chdir(tempfile.mkdtemp())
    drawn(train("Epoch 3/")).quantize(32).save(HERE / "training.png", optimize=True)
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    page = (Path(RUN) / "report.html").resolve().as_uri()
    subprocess.run(
        ["chromium", *words, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={HERE / 'report.png'}", page], check=True
    )
    Image.open(HERE / "report.png").convert("RGB").quantize(128).save(HERE / "report.png", optimize=True)


if __name__ == "__main__":
    main()
