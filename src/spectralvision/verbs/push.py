"""`spectralvision push`."""

import dataclasses
import sys
from typing import Annotated, Any

import tyro

from spectralvision.runs import UserError
from spectralvision.verbs import Json, Verb, print_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Push(Verb):
    """Send a run to a Hugging Face repository, or into a folder: the weights, their configuration, and a card.

    A new repository is private unless --public is given. Anybody who may see it has the model as
    `--model hf_hub:OWNER/NAME`.
    """

    run_folder: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="RUN")]] = None
    """Run folder that train or convert has written."""
    target: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="TARGET")]] = None
    """OWNER/NAME of a repository, or a new folder, written ./FOLDER or /FOLDER."""
    public: bool = False
    """Make the repository public; default: only its owner sees it."""
    license: str | None = None
    """Licence of the weights as the Hub writes it, such as apache-2.0 or cc-by-4.0; default: the card states none."""
    replace_card: bool = False
    """Write a new card even where the repository has one; default: that one is kept, as it may have been edited."""
    dry_run: bool = False
    """Stop after saying what would be sent; nothing is written, and no network is used."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """Sends."""
        if self.run_folder is None or self.target is None:
            raise UserError("push needs a run folder and where to send it: OWNER/NAME, or ./FOLDER.")
        from spectralvision.tasks.sharing import push

        return push(self.run_folder, self.target, self.public, self.license, self.replace_card, self.dry_run)

    def show(self, result: dict[str, Any]) -> None:
        """What goes where, and how to use it from there."""
        if self.dry_run:
            print(result["card"])
        files = [[file["name"], _size(file["bytes"])] for file in result["files"]]
        print_table([["file", "size"], *files])
        seen = f", {result['visibility']}" if result["visibility"] else ""
        if self.dry_run:
            print(f"would go to {result['target']}{seen}; nothing was sent (--dry-run), the card stands above")
            return
        print(f"sent     {result['url'] or result['target']}{seen}")
        print(f"next     spectralvision predict PHOTO.jpg --model {result['target']}")

    def conclude(self, result: dict[str, Any]) -> int:
        """Says so where the card was left as it was."""
        if result["card_kept"]:
            print(f"the card of {result['target']} was left as it is; --replace-card writes a new one", file=sys.stderr)
        return 0


def _size(number: int) -> str:
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"
