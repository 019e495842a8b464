"""`spectralvision push`."""

import sys
from typing import Any, ClassVar

from spectralvision.commands import Command, print_line, print_table
from spectralvision.runs import UserError, format_bytes
from spectralvision_cli.options.push import PushOptions


class Push(Command[PushOptions]):
    """Upload a run to a Hugging Face repository, or copy it to a folder."""

    verb: ClassVar[str] = "push"
    kind = PushOptions

    def run(self) -> dict[str, Any]:
        """Upload."""
        options = self.options
        from spectralvision.sharing.push import push
        from spectralvision.tasks.registry import task_of

        task = task_of(options.run_folder)
        if task.card is None:
            raise UserError(f"{options.run_folder} is for the task {task.name}, which has no card.")
        return push(
            options.run_folder,
            options.target,
            options.public,
            options.license,
            options.replace_card,
            options.dry_run,
            task.card,
            task.load,
        )

    def show(self, result: dict[str, Any]) -> None:
        """Print the files, where they are now, and how to use them from there."""
        dry_run, target = self.options.dry_run, result["target"]
        if dry_run:
            print(result["card"])
        files = [[file["name"], format_bytes(file["bytes"])] for file in result["files"]]
        print_table([["file", "size"], *files])
        visibility = f" ({result['visibility']})" if result["visibility"] else ""
        if dry_run:
            print_line(f"target   {target}{visibility}")
            print("nothing was uploaded or written (--dry-run); the model card is above")
            return
        print_line(f"written  {result['url'] or target}{visibility}")
        print_line(f"next     spectralvision predict PHOTO.jpg --model {target}")

    def conclude(self, result: dict[str, Any]) -> int:
        """Report a model card that was kept."""
        if result["card_kept"]:
            print_line(
                f"the model card of {result['target']} was kept; --replace-card writes a new one",
                file=sys.stderr,
            )
        return 0
