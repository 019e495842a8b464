"""`spectralvision token-labels`."""

import sys
from shlex import join, quote
from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    columns_of,
    inference_config,
    print_line,
    report_left_out,
    require_train_packages,
)
from spectralvision.data.shard_columns import Columns
from spectralvision.runs import format_duration
from spectralvision_cli.options.token_labels import TokenLabelsOptions


class TokenLabels(Command[TokenLabelsOptions]):
    """Generate token labels with a teacher model."""

    verb: ClassVar[str] = "token-labels"
    kind = TokenLabelsOptions

    def run(self) -> dict[str, Any]:
        """Write the label maps."""
        require_train_packages()
        from spectralvision.data.open_data import open_data
        from spectralvision.engine.threads import idle_threads
        from spectralvision.tasks.classification.token_labels.generate import generate_label_maps

        options = self.options
        columns = columns_of(options, options.teacher)
        data = open_data(options.data, options.data_dir, columns=columns)
        report_left_out(data.facts.get("left_out", {}))
        config = inference_config(options)
        with idle_threads():
            return generate_label_maps(options.teacher, data, options.out, options.split, config)

    def show(self, result: dict[str, Any]) -> None:
        """Print where the maps are, what they contain, and how to train with them."""
        top, height, width = result["shape"]
        print_line(f"maps     {result['out']}")
        print_line(
            f"images   {result['images']} ({result['data']}, {result['split']}), "
            f"{result['labeled']} labeled now"
        )
        print(
            f"map      {height} x {width} positions, the best {top} of {result['classes']} classes "
            "at each"
        )
        if result["agreement"] is not None:
            print(
                f"teacher  predicts the annotated class of {result['agreement']:.1%} of the images "
                "labeled now"
            )
        print(f"time     {format_duration(result['seconds'])}")
        options = self.options
        words = [options.data, *(["--data-dir", options.data_dir] if options.data_dir else [])]
        data = join([*words, *Columns(options.image_column, options.label_column).options()])
        print_line(
            f"next     spectralvision train --data {data} --model svt_h_s "
            f"--label-maps {quote(result['out'])}"
        )

    def conclude(self, result: dict[str, Any]) -> int:
        """Report the images that could not be read; the exit code is 1 if there are any."""
        unreadable = result["unreadable"]
        if unreadable:
            print(
                f"{len(unreadable)} images could not be read and have no map:"
                if len(unreadable) > 1
                else "1 image could not be read and has no map:",
                file=sys.stderr,
            )
            for one in unreadable:
                print_line(f"  {one['reason']}", file=sys.stderr)
        return 1 if unreadable else 0
