"""Options of `spectralvision push`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import argument
from spectralvision_cli.options.common import REST, VerbOptions


@dataclass(frozen=True, kw_only=True)
class PushOptions(VerbOptions):
    """Upload a run to a Hugging Face repository, or copy it to a folder.

    The weights, their configuration and a model card are uploaded. A new repository is private
    unless --public is given. Everyone who can read it can use the model as
    `--model hf_hub:OWNER/NAME`.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision push runs/photos-affnet_et OWNER/NAME --dry-run",
        "spectralvision push runs/photos-affnet_et ./shared-model",
    )

    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Arguments": ("run_folder", "target"),
        "Options": (REST, "json"),
    }

    run_folder: str = argument(..., "RUN")
    """Run folder written by train or convert."""
    target: str = argument(..., "TARGET")
    """OWNER/NAME of a repository, or a new folder, written as ./FOLDER or /FOLDER."""
    public: bool = False
    """Make the repository public; by default only its owner can read it."""
    license: str | None = None
    """License of the weights in the Hub's notation, such as apache-2.0 or cc-by-4.0; by default the
    card states none."""
    replace_card: bool = False
    """Replace the model card of an existing repository, which may have been edited."""
    dry_run: bool = False
    """Show the card and what would be uploaded; nothing is written and the network is not used."""
