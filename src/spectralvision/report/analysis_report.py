"""Analyze a network: what its mixers and its layers compute, and what they cost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.analysis.layers import find_layers
from spectralvision.analysis.subject import Subject
from spectralvision.engine.progress import track
from spectralvision.report import analysis_mixers, analysis_network
from spectralvision.report.analysis_page import Chapter, write_analysis
from spectralvision.report.page import Card
from spectralvision.runs import UserError, format_bytes, suggest

Build = Callable[[Subject, Sequence[str]], Chapter]
"""(what is analyzed, layers that get pictures) -> a chapter."""
CHAPTERS: dict[str, tuple[Build, str]] = {
    "costs": (analysis_network.analyze_costs, "Costs"),
    "filters": (analysis_mixers.analyze_filters, "Adaptive frequency filters"),
    "bands": (analysis_mixers.analyze_bands, "Scattering"),
    "features": (analysis_network.analyze_features, "Features"),
    "frequencies": (analysis_network.analyze_frequencies, "Frequencies of the images"),
    "activation": (analysis_network.analyze_activation, "Class activation"),
    "loss": (analysis_network.analyze_loss, "Loss landscape"),
}
"""Name -> function and title. One that a network is not made for says so and has no pictures."""


def analyze(
    subject: Subject, folder: Path, names: Sequence[str] = (), layers: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the page and the pictures into a folder.

    Args:
        subject: The network and the images.
        folder: An empty one.
        names: Chapters, all by default.
        layers: Mixers that get pictures of their own, by name; by default the first, the middle and
            the last of each kind.

    Returns:
        model, images (in words), out, files, chapters (their numbers) and failed (chapter ->
        reason).

    Raises:
        UserError: An unknown layer.
    """
    check_layers(subject, layers)
    chapters, failed = [], {}
    for name in track(list(names or CHAPTERS), "Analyzing", unit=""):
        build, title = CHAPTERS[name]
        try:
            chapters.append(build(subject, layers))
        except (UserError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # models fail in many ways on what they are not made for
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            failed[name] = reason
            chapters.append(Chapter(name, title, f"This could not be computed ({reason})."))
    cards = [card for chapter in chapters for card in _cards(chapter)]
    weights = ", random weights" if subject.has_random_weights else ""
    subtitle = f"{type(subject.network).__name__}{weights}; {subject.source}"
    files = write_analysis(folder, Path(subject.name).name, subtitle, cards, chapters)
    return {
        "model": subject.name,
        "images": subject.source,
        "out": str(folder),
        "files": files,
        "chapters": {chapter.id: chapter.numbers for chapter in chapters},
        "failed": failed,
    }


def check_layers(subject: Subject, layers: Sequence[str]) -> None:
    """Raise `UserError` for a name that is no mixer of the model."""
    known = [name for kind in analysis_mixers.KINDS for name in find_layers(subject.network, kind)]
    for name in layers:
        if name not in known:
            if not known:
                raise UserError(f"{subject.name} has no layers for --layers: leave it out.")
            raise UserError(f"--layers {name}: {suggest(name, known, 'the mixers are')}")


def format_fraction(value: float) -> str:
    """Return a fraction in per cent, to two digits where it is small."""
    return f"{value:.1%}" if value >= 0.01 else f"{100 * value:.2g}%"


def _cards(chapter: Chapter) -> list[Card]:
    """Return what a chapter puts at the top of the page."""
    numbers = chapter.numbers
    if chapter.id == "costs" and numbers:
        return [
            Card(f"{numbers['parameters'] / 1e6:.2f} M", "parameters", main=True),
            Card(f"{numbers['macs'] / 1e9:.3f} G", "multiply-adds of an image, in full"),
            Card(
                f"{numbers['module_macs'] / 1e9:.3f} G",
                "as published counts have them: convolutions and linear layers",
            ),
            Card(f"{numbers['milliseconds']:.1f} ms", "forward pass of one image"),
            Card(format_bytes(numbers["peak_memory"]), "peak memory of its activations"),
        ]
    if chapter.id == "features" and "areas" in numbers:
        return [
            Card(
                format_fraction(numbers["areas"]["0.5"]),
                "of the image hold half of the receptive field",
            )
        ]
    if chapter.id == "filters" and numbers.get("adaptivity"):
        values = [one for one in numbers["adaptivity"].values() if one is not None]
        if values:
            return [Card(f"{np.mean(values):.1%}", "of the masks' energy varies by image")]
    return []
