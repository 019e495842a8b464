"""Chapters of an analysis on the mixers of a network."""

from collections.abc import Sequence

from spectralvision.analysis import filter_plots, wavelet_plots
from spectralvision.analysis.filter_spectra import filter_masks
from spectralvision.analysis.layers import find_layers, record_inputs, spread
from spectralvision.analysis.scattering_bands import band_energies, wavelet_bands, wavelets
from spectralvision.analysis.subject import Subject
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops import dtcwt2d
from spectralvision.report.analysis_page import Chapter, Picture

MAX_LAYERS = 3
"""Layers of a kind that get pictures of their own."""
MIN_SIDE = 32
"""Of images whose wavelets are taken over four levels."""
ONE_IMAGE = "At least two images are needed to measure how much the masks vary by image."
KINDS = (AdaptiveFrequencyFilter, ScatteringMixer)
"""Mixers with pictures."""


def analyze_filters(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return masks and kernels of the adaptive frequency filters."""
    mixers = find_layers(subject.network, AdaptiveFrequencyFilter)
    if not mixers:
        text = "This network has no adaptive frequency filter."
        return Chapter("filters", "Adaptive frequency filters", text)
    recorded = record_inputs(subject.run, mixers)
    if not recorded:
        text = "The adaptive frequency filters of this network did not run."
        return Chapter("filters", "Adaptive frequency filters", text)
    masks = {name: filter_masks(mixers[name], x) for name, x in recorded.items()}
    pictures = [subject.picture(index) for index in range(min(4, len(subject.images)))]
    several = len(subject.images) > 1
    caption = (
        "Left: the energy of the masks that is not in their mean over the images. 0 % would be "
        "a filter that is the same for every image. Right: the softshrink's share of zeros."
        if several
        else f"The softshrink's share of zeros. {ONE_IMAGE}"
    )
    picture = filter_plots.plot_adaptivity(masks)
    title = "How adaptive the filters are" if several else "What the softshrink sets to 0"
    found = [Picture("filters", title, picture, caption)]
    for name in [one for one in layers if one in masks] or spread(list(masks), MAX_LAYERS):
        label = name.replace(".", "-")
        found += [
            Picture(
                f"masks-{label}", f"{name}: mask and kernel for the first image",
                filter_plots.plot_masks(masks[name]),
                "The three channels whose masks have the most energy. Zero frequency and the "
                "origin of the kernel are in the middle. The kernel has a scale that is "
                "logarithmic on both sides of zero; the skip connection is not part of it.",
            ),
            Picture(
                f"groups-{label}", f"{name}: amplitude by group of channels",
                filter_plots.plot_groups(masks[name]),
                "The channels of a group share the matrices that compute the mask.",
            ),
        ]  # fmt: skip
        if several:
            found.append(
                Picture(
                    f"images-{label}", f"{name}: what changes from image to image",
                    filter_plots.plot_masks_of_images(masks[name], pictures),
                    "Mean amplitude over channels, compared with its mean over all images: red "
                    "frequencies are amplified more than usual for this image, blue ones less.",
                )
            )  # fmt: skip
    adaptivity = {name: one.mean_adaptivity() for name, one in masks.items()}
    zeroed = {name: float(one.zeroed.mean()) for name, one in masks.items()}
    return Chapter(
        "filters",
        "Adaptive frequency filters",
        "Each filter multiplies the spectrum of its input by a mask that it computes from this "
        "spectrum, which is a convolution with a kernel as large as the map.",
        found,
        numbers={"adaptivity": adaptivity if several else None, "zeroed": zeroed},
    )


def analyze_bands(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return the bands of the scattering mixers before and after blending, and the wavelets."""
    mixers = find_layers(subject.network, ScatteringMixer)
    if not mixers:
        return Chapter("bands", "Scattering", "This network has no scattering mixer.")
    recorded = record_inputs(subject.run, mixers)
    if not recorded:
        text = "The scattering mixers of this network did not run."
        return Chapter("bands", "Scattering", text)
    bands = {name: wavelet_bands(mixers[name], x) for name, x in recorded.items()}
    found = [
        Picture(
            "bands", "Energy by band", wavelet_plots.plot_band_energies(bands),
            "Mean over the images, in per cent of the energy of all bands of the layer. The "
            "colors of the lowpass may be off the scale.",
        )
    ]  # fmt: skip
    for name in [one for one in layers if one in bands] or spread(list(bands), MAX_LAYERS):
        label = name.replace(".", "-")
        found += [
            Picture(
                f"bands-{label}", f"{name}: bands of the first image",
                wavelet_plots.plot_bands(bands[name]),
                "Above before, below after blending; each row has its own scale.",
            ),
            Picture(
                f"gain-{label}", f"{name}: gain of the lowpass",
                wavelet_plots.plot_gain(mixers[name].gain),
                "The learned gain at each place of the lowpass.",
            ),
        ]  # fmt: skip
    if min(subject.images.shape[2:]) >= MIN_SIDE:
        energies = band_energies(dtcwt2d(subject.images, levels=4)).mean(dim=0).cpu()
        found.append(
            Picture(
                "orientations", "The images themselves: energy by orientation and level",
                wavelet_plots.plot_level_energies(energies),
                "Mean over the images. Level 1 has the finest detail. Edges at 15 and 165 degrees "
                "are nearly horizontal.",
            )
        )  # fmt: skip
    found.append(
        Picture(
            "wavelets", "The wavelets", wavelet_plots.plot_wavelets(wavelets(3, 128)),
            "What a coefficient of each band adds to the map, and its spectrum with zero "
            "frequency in the middle. The mixers use level 1.",
        )
    )  # fmt: skip
    energy = {
        name: {
            side: band_energies(getattr(one, side))[:, 0].mean(dim=0).tolist()
            for side in ("before", "after")
        }
        for name, one in bands.items()
    }
    return Chapter(
        "bands",
        "Scattering",
        "Each mixer splits its input by a dual-tree complex wavelet transform into a lowpass and "
        "six oriented bands, blends the channels of each, and transforms back.",
        found,
        numbers={"energy": energy},
    )
