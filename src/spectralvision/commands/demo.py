"""`spectralvision demo`."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from spectralvision.commands import Command, print_line, require_train_packages
from spectralvision.runs import UserError, check_ranges, require_extra
from spectralvision_cli.options.demo import BUNDLED_MODELS, DemoOptions

MAX_EXAMPLES = 8


class Demo(Command[DemoOptions]):
    """Serve the page until it is interrupted."""

    verb: ClassVar[str] = "demo"
    kind = DemoOptions

    def run(self) -> dict[str, Any]:
        """Serve the page; return at Ctrl-C."""
        options = self.options
        check_ranges({"port": options.port}, {"port": (1, 65535)})
        require_train_packages()
        require_extra("demo", "gradio")
        names = options.models or BUNDLED_MODELS
        from spectralvision.engine.model_io import find_model
        from spectralvision.engine.progress import show_status

        for name in names:
            find_model(name)
        with tempfile.TemporaryDirectory(prefix="spectralvision-") as folder:
            examples = self._examples(Path(folder))
            with show_status(f"Loading {names[0]}"):
                from spectralvision.demo.explorer import Explorer

                explorer = Explorer(names)
                from spectralvision.demo.page import build_page, serve

                page = build_page(explorer, examples)
            address = serve(page, options.port, not options.no_browser)
            print_line(f"page   {address} (Ctrl-C ends it)", file=sys.stderr)
            wait()
            page.close()
        return {"models": list(names), "address": address}

    def _examples(self, folder: Path) -> Sequence[Path]:
        """Return paths of images to offer."""
        if not self.options.examples_from:
            from spectralvision.demo.examples import write_examples

            return write_examples(folder)
        from spectralvision.data.image_paths import image_paths
        from spectralvision.data.images import spread_indices

        images = image_paths(self.options.examples_from)
        found = []
        for number, row in enumerate(spread_indices(len(images), MAX_EXAMPLES)):
            path = folder / f"example-{number + 1}.jpg"
            images.image(int(row)).save(path, quality=90)
            found.append(path)
        if not found:
            raise UserError("--examples-from has no images.")
        return found

    def show(self, result: dict[str, Any]) -> None:
        """Print nothing: the page is closed."""


def wait() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
