"""Record the pictures of the README: a training in a terminal, and its report.

Run `python docs/images/screens.py`. It trains on `digits` in a temporary folder and needs pyte and
a headless chromium.
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
COMMAND = ["spectralvision", "train", "--data", "digits", "--out", RUN]

COLUMNS, LINES = 86, 5  # of the terminal
CELL_HEIGHT_PIXELS = 30
FONT_SIZE_PIXELS = 22
MARGIN_PIXELS = 20
BACKGROUND = "#16181d"
FOREGROUND = "#d6d9df"
COLOURS = {
    "default": FOREGROUND,
    "brown": "#c9a227",
    "cyan": "#39b3c4",
    "magenta": "#c678dd",
    "green": "#59a869",
}

REPORT_WIDTH_PIXELS, REPORT_HEIGHT_PIXELS = 1200, 1560
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    f"--window-size={REPORT_WIDTH_PIXELS},{REPORT_HEIGHT_PIXELS}",
]


def record_training(moment: str) -> pyte.Screen:
    """Train to the end; return the screen as it was two seconds after `moment` appeared on it."""
    # 1. Start the command in a terminal
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    screen.draw("$ " + " ".join(COMMAND))
    screen.linefeed()
    screen.carriage_return()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        os.execvp(Path(sys.executable).parent / COMMAND[0], COMMAND)

    # 2. Read what it prints until it ends
    recorded = None
    while True:
        try:
            stream.feed(os.read(terminal, 65536))
        except OSError:  # the command has ended
            return recorded or screen
        if recorded is None and any(moment in line for line in screen.display):
            time.sleep(2)
            stream.feed(os.read(terminal, 65536))
            recorded = pyte.Screen(COLUMNS, LINES)
            recorded.buffer.update({row: dict(line) for row, line in screen.buffer.items()})


def draw_screen(screen: pyte.Screen) -> Image.Image:
    """Return an image of a terminal's screen."""
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), FONT_SIZE_PIXELS)
    cell_width = font.getlength("M")
    width = round(cell_width * COLUMNS) + 2 * MARGIN_PIXELS
    height = CELL_HEIGHT_PIXELS * LINES + 2 * MARGIN_PIXELS
    image = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for row, line in screen.buffer.items():
        for column, cell in line.items():
            rgb = f"#{cell.fg}" if len(cell.fg) == 6 else FOREGROUND
            place = (
                MARGIN_PIXELS + column * cell_width,
                MARGIN_PIXELS + row * CELL_HEIGHT_PIXELS,
            )
            pen.text(place, cell.data, COLOURS.get(cell.fg, rgb), font)
    return image


def capture_report(path: Path) -> None:
    """Save a screenshot of the run's report."""
    page = (Path(RUN) / "report.html").resolve().as_uri()
    subprocess.run([*CHROMIUM, f"--screenshot={path}", page], check=True)
    image = Image.open(path).convert("RGB").quantize(128)
    image.save(path, optimize=True)


def main() -> None:
    os.chdir(tempfile.mkdtemp())
    screen = record_training("Epoch 3/")
    draw_screen(screen).quantize(32).save(HERE / "training.png", optimize=True)
    capture_report(HERE / "report.png")


if __name__ == "__main__":
    main()
