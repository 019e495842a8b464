"""Tests of the chapters of an analysis on mixers."""

import pytest
import torch
from torch import Tensor, nn

from spectralvision.analysis.subject import Subject
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.report.analysis_mixers import analyze_bands, analyze_filters


class OneOfTwo(nn.Module):
    """A network that runs one of its two mixers or, with `running` False, none."""

    def __init__(self, mixer: nn.Module, running: bool) -> None:
        super().__init__()
        self.used, self.unused, self.running = mixer, type(mixer)(16), running
        self.stem = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return (self.used(x) if self.running else x).mean(dim=(2, 3))


def subject(network: nn.Module) -> Subject:
    return Subject(
        name="one of two",
        network=network.eval(),
        preprocessing={"mean": (0.5,) * 3, "std": (0.5,) * 3},
        images=torch.randn(2, 3, 32, 32),
        labels=None,
        source="random numbers",
        is_classifier=False,
        has_random_weights=True,
    )


@pytest.mark.parametrize(
    ("analyze", "mixer", "sentence"),
    [
        (
            analyze_filters,
            AdaptiveFrequencyFilter,
            "The adaptive frequency filters of this network did not run.",
        ),
        (analyze_bands, ScatteringMixer, "The scattering mixers of this network did not run."),
    ],
)
def test_mixers_that_do_not_run_are_left_out(analyze, mixer, sentence):
    torch.manual_seed(0)
    chapter = analyze(subject(OneOfTwo(mixer(16), running=False)), [])
    assert chapter.text == sentence
    assert not chapter.pictures

    chapter = analyze(subject(OneOfTwo(mixer(16), running=True)), [])
    titles = [picture.title for picture in chapter.pictures]
    assert any(title.startswith("used:") for title in titles)
    assert not any(title.startswith("unused:") for title in titles)
