"""`spectralvision predict`."""

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    columns_of,
    inference_config,
    print_csv,
    print_line,
    print_table,
    report_left_out,
    require_train_packages,
)
from spectralvision.runs import UserError, expand_user, format_count, format_rate
from spectralvision.tasks.registry import task_of
from spectralvision_cli.help_screens import describe, verb_help
from spectralvision_cli.options.predict import BUNDLED_MODEL, PredictOptions
from spectralvision_cli.parser import parse, value_of

NUM_IMAGES = 8
"""Images of a data set that are shown by default."""
DATA_SETTINGS = ("data_dir", "split", "num_images", "image_column", "label_column")
"""Options that have no meaning for image files."""


class Predict(Command[PredictOptions]):
    """Run a model on images, by its task."""

    verb: ClassVar[str] = "predict"
    kind = PredictOptions

    def __init__(self, words: Sequence[str]) -> None:
        require_train_packages()
        self.task = task_of(value_of("--model", words) or BUNDLED_MODEL)
        self.options, self.task_options = parse(
            self.verb, words, self.kind, self.task.predict_options
        )

    @classmethod
    def help(cls, words: Sequence[str]) -> str:
        """Return the help, with the options of the task of --model."""
        require_train_packages()
        task = task_of(value_of("--model", words) or BUNDLED_MODEL)
        return verb_help(cls.verb, describe(task.predict_options))

    def run(self) -> dict[str, Any]:
        """Return the predictions, the files that could not be read, and the speed."""
        # 1. Check the options
        options = self.options
        if bool(options.paths) == bool(options.data):
            raise UserError("predict takes either image files and folders, or --data.")
        given = [name for name in DATA_SETTINGS if getattr(options, name) is not None]
        if options.paths and given:
            raise UserError(f"--{given[0].replace('_', '-')} is for --data, not for image files.")
        shard = self._shard()
        out = expand_user(options.out) if options.out else None
        if out is not None and shard == (1, 1):
            from spectralvision.engine.output_shards import check_out

            check_out(out)  # before a long list of images is read

        # 2. Find the images
        from spectralvision.engine.progress import show_status

        with show_status("Finding the images"):
            images, label = self._find_images()

        # 3. Predict
        from spectralvision.engine.predict_to_file import predict_to_file
        from spectralvision.engine.threads import idle_threads
        from spectralvision.tasks.prediction import Predictor, predict

        config = inference_config(options, self.task.inference_batch)
        predictor = Predictor(options.model, self.task_options, config)
        is_long = len(images) > config.batch_size
        with idle_threads() if is_long else nullcontext():
            if out is None:
                result = predict(predictor, images, label)
            else:
                result = predict_to_file(predictor, images, out, label, shard)
        return {"model": options.model, **result, "left_out": dict(images.left_out)}

    def _find_images(self) -> tuple[Any, Callable[[int], str | None] | None]:
        """Return the images, and the annotation by index for those of a data set."""
        options = self.options
        if not options.data:
            from spectralvision.data.image_paths import image_paths

            return image_paths(options.paths), None
        from spectralvision.tasks.prediction import select_images

        number = options.num_images
        if number is None and not options.out:
            number = NUM_IMAGES
        columns = columns_of(options, options.model)
        data, images = select_images(
            options.model, options.data, options.data_dir, options.split, number, columns
        )
        return images, lambda index: self.task.label(data, images, index)

    def _shard(self) -> tuple[int, int]:
        """Return (k, n) of --shard.

        Raises:
            UserError: It is not K/N, or options cannot be combined.
        """
        options = self.options
        if options.csv and options.json:
            raise UserError("predict prints either --csv or --json.")
        if options.csv and options.out:
            raise UserError(
                "--csv cannot be combined with --out: give --out a file that ends in .csv."
            )
        if not options.out and options.shard != "1/1":
            raise UserError("--shard needs --out: the processes write that file together.")
        match = re.fullmatch(r"(\d+)/(\d+)", options.shard)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(
                f"--shard {options.shard} should be K/N, such as 2/8: the second of eight shards."
            )
        return int(match[1]), int(match[2])

    def show(self, result: dict[str, Any]) -> None:
        """Print an image per line; with --out, what was written."""
        if self.options.out:
            self._show_file(result)
            return
        head, rows = result["columns"], result["cells"]
        if self.options.csv:
            print_csv([head, *rows])
            return
        shown = len(head) - len(self.task.file_columns)
        head, rows = head[:shown], [cells[:shown] for cells in rows]
        short = (re.sub(r"probability.*", "prob.", name) for name in head)
        short = (re.sub(r"prediction_", "#", name) for name in short)
        text = [list(map(_format_cell, head, row)) for row in rows]
        print_table([list(short), *text])

    def _show_file(self, result: dict[str, Any]) -> None:
        """Print what this process has written with --out."""
        shard, out, number = self.options.shard, result["out"], result["images"]
        if shard != "1/1" and not number + result["num_unreadable"]:
            print(f"shard    {shard}: empty, as there are fewer images than shards")
        elif result["finished"]:
            print_line(f"written  {out}: {number} images")
        elif result["shards_missing"]:
            print(f"shard    {shard}: {number} images; {result['shards_missing']} output shards of")
            print_line(f"         other processes are missing: the last to finish writes {out}")
        else:
            print_line(f"shard    {shard}: {number} images; another process is writing {out}")

    def conclude(self, result: dict[str, Any]) -> int:
        """Report the speed and the files that could not be read; return 1 if there are any."""
        note = self.task.prediction_note(self.options.model)
        if note:
            print_line(note, file=sys.stderr)
        unreadable = result["unreadable"]
        has_file = bool(self.options.out)
        number = result["images"] if has_file else len(result["predictions"])
        bad = result["num_unreadable"] if has_file else len(unreadable)
        if number > 1 and result["images_per_second"]:
            rate = format_rate(result["images_per_second"])
            print(f"{format_count(number)} images, {rate}", file=sys.stderr)
        if unreadable:
            print(f"{bad} of {number + bad} could not be read:", file=sys.stderr)
            for one in unreadable:
                print_line(f"  {one['reason']}", file=sys.stderr)
        if bad > len(unreadable):
            where = result["unreadable_out"] or f"the files beside {result['out']}"
            print_line(f"  and {bad - len(unreadable)} more, listed in {where}", file=sys.stderr)
        report_left_out(result["left_out"])
        return 1 if unreadable or result["left_out"] else 0


def _format_cell(name: str, cell: Any) -> str:
    """Return a cell of a column as text: probabilities in per cent, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.1%}" if name.startswith("probability") else f"{cell:.4g}"
    return str(cell)
