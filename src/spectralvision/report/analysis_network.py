"""Chapters of an analysis on a whole network."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.analysis import network_plots
from spectralvision.analysis.class_activation import draw_activation_maps
from spectralvision.analysis.costs import cost_by_part, time_by_part
from spectralvision.analysis.frequencies import frequency_curves, spectrum_by_depth
from spectralvision.analysis.layers import find_blocks, maps_of
from spectralvision.analysis.loss_landscape import STEPS, loss_along_line
from spectralvision.analysis.receptive_field import effective_receptive_field
from spectralvision.analysis.speed import build_inference, measure_peak_memory
from spectralvision.analysis.subject import BATCH_SIZE, Subject
from spectralvision.engine.model_io import label_titles
from spectralvision.report.analysis_page import Chapter, Picture
from spectralvision.report.page import table
from spectralvision.report.text import escape

FIELD_IMAGES = 8
"""Whose gradients are averaged."""
ACTIVATIONS = 4


def analyze_costs(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return parameters, multiply-adds and time by part of the network."""
    image = subject.images[:1]
    model: Any = subject.network
    costs = cost_by_part(model, (3, image.shape[2], image.shape[3]))
    seconds = time_by_part(model, image)
    costs = [replace(cost, seconds=seconds[cost.name]) for cost in costs]
    total = {
        "parameters": sum(cost.parameters for cost in costs),
        "macs": sum(cost.macs for cost in costs),
        "module_macs": sum(cost.module_macs for cost in costs),
        "milliseconds": 1e3 * sum(seconds.values()),
        "peak_memory": measure_peak_memory(build_inference(model, image), image.device.type),
    }
    rows = [
        [escape(cost.name), escape(cost.kind), f"{cost.parameters:,}", f"{cost.macs / 1e6:.2f}",
         f"{cost.module_macs / 1e6:.2f}", f"{1e3 * float(cost.seconds or 0):.2f}"]
        for cost in costs
    ]  # fmt: skip
    rows.append(
        ["<b>all</b>", "", f"{total['parameters']:,}", f"{total['macs'] / 1e6:.2f}",
         f"{total['module_macs'] / 1e6:.2f}", f"{total['milliseconds']:.2f}"]
    )  # fmt: skip
    head = ["part", "class", "parameters", "M multiply-adds", "of them in modules", "ms"]
    size = f"{image.shape[2]} x {image.shape[3]}"
    return Chapter(
        "costs",
        "Costs",
        f"One image of {size} pixels on {image.device.type}, {torch.get_num_threads()} threads, "
        "without fusing or compiling. Multiply-adds in full include transforms and products that "
        "are no module, which counters with hooks, and so most published counts, leave out.",
        [
            Picture(
                "costs", "Costs by part", network_plots.plot_costs(costs),
                "Parts in the order of the network. Where the outline is shorter than the bar, "
                "published counts leave something out.",
            )
        ],
        f"<details><summary>All parts</summary>{table(head, rows, (2, 3, 4, 5))}</details>",
        {**total, "parts": [asdict(cost) for cost in costs]},
    )  # fmt: skip


def analyze_features(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return the spectra of the features by depth, and the effective receptive field."""
    blocks = find_blocks(subject.network)
    spectrum = spectrum_by_depth(subject.network, subject.run, blocks)
    found = []
    numbers: dict[str, Any] = {}
    if spectrum.names:
        found.append(
            Picture(
                "features", "Frequencies of the features by depth",
                network_plots.plot_spectrum_by_depth(spectrum),
                "A line per block with a map of at least 4 x 4. Attention tends to lower, "
                "convolutions tend to raise the high frequencies (Park & Kim, ICLR 2022).",
            )
        )  # fmt: skip
        numbers["blocks"] = spectrum.names
    images = subject.images[:FIELD_IMAGES]
    features = _last_map(subject, list(blocks)[-1])
    field = effective_receptive_field(features, images)
    found.append(
        Picture(
            "receptive-field", "Effective receptive field",
            network_plots.plot_receptive_field(field),
            f"Energy of the gradient of the middle of the last feature map at each pixel, mean "
            f"over {len(images)} images.",
        )
    )  # fmt: skip
    numbers["areas"] = {
        str(fraction): area / field.energy.numel() for fraction, area in field.areas.items()
    }
    text = "What the blocks do to the frequencies of the features, and how far the network sees."
    return Chapter("features", "Features", text, found, numbers=numbers)


def _last_map(subject: Subject, name: str) -> Callable[[Tensor], Tensor]:
    """Return a function from images to the output of a block as maps, with gradients."""
    block = subject.network.get_submodule(name)

    def features(images: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        handle = block.register_forward_hook(lambda _module, _inputs, out: outputs.append(out))
        try:
            subject.network(images)
        finally:
            handle.remove()
        maps = maps_of(subject.network, outputs[-1])
        if maps is None:
            raise ValueError(f"the output of {name} is no map")
        return maps

    return features


def analyze_frequencies(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return the accuracy when low or high frequencies of the images are removed or noised."""
    title = "Frequencies of the images"
    if not subject.is_classifier:
        return Chapter("frequencies", title, "This part is for classifiers.")
    labels = subject.labels
    batches = [
        (images, None if labels is None else labels[BATCH_SIZE * n : BATCH_SIZE * (n + 1)])
        for n, images in enumerate(subject.images.split(BATCH_SIZE))
    ]
    curves = frequency_curves(subject.network, batches)
    measured = "the network's answers to the unchanged images" if labels is None else "the labels"
    return Chapter(
        "frequencies",
        title,
        f"{len(subject.images)} images, compared with {measured}. The mean color of an image is "
        "always kept.",
        [
            Picture(
                "frequencies", "Accuracy without some frequencies, and with noise in some",
                network_plots.plot_frequency_curves(curves),
                "Frequency 1 is half a cycle per pixel. A network that looks at shapes still works "
                "with the low frequencies only, one that looks at texture with the high ones.",
            )
        ],
        numbers=curves._asdict(),
    )  # fmt: skip


def analyze_activation(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return class activation maps of the answers."""
    title = "Class activation"
    if not subject.is_classifier:
        return Chapter("activation", title, "This part is for classifiers.")
    chosen = [round(i) for i in np.linspace(0, len(subject.images) - 1, ACTIVATIONS)]
    indices = sorted(set(chosen))
    with torch.no_grad():
        probabilities = subject.network(subject.images[indices]).softmax(dim=1).cpu()
    best = probabilities.argmax(dim=1)
    classes = np.zeros(len(subject.images), int)
    classes[indices] = best.numpy()
    maps, reason = draw_activation_maps(
        subject.network, {index: subject.images[index] for index in indices}, classes
    )
    if not maps:
        return Chapter("activation", title, reason)
    titles = label_titles(subject.network)
    pairs = [
        (subject.picture(index), maps[index],
         f"{titles[int(one)].partition(',')[0]}, {float(probability[one]):.0%}")
        for index, one, probability in zip(indices, best, probabilities, strict=True)
        if index in maps
    ]  # fmt: skip
    return Chapter(
        "activation",
        title,
        "Which places of the last feature map speak for the answer.",
        [
            Picture(
                "activation", "Grad-CAM of the most probable class",
                network_plots.plot_pictures(pairs), "Red: the class is most active there.",
            )
        ],
    )  # fmt: skip


def analyze_loss(subject: Subject, layers: Sequence[str]) -> Chapter:
    """Return the loss along a line through the weights."""
    title = "Loss landscape"
    if not subject.is_classifier:
        return Chapter("loss", title, "This part is for classifiers.")
    labels = subject.labels
    if labels is None:
        with torch.no_grad():
            labels = subject.network(subject.images).argmax(dim=1)

    def loss(model: Any) -> float:
        return float(F.cross_entropy(model(subject.images).float(), labels))

    losses = loss_along_line(subject.network, loss)
    measured = "their labels" if subject.labels is not None else "the network's own answers"
    return Chapter(
        "loss",
        title,
        f"Cross-entropy of {len(subject.images)} images with {measured}.",
        [
            Picture(
                "loss", "Loss along a random direction", network_plots.plot_loss(STEPS, losses),
                "At 1 each filter has moved by its own length (Li et al., NeurIPS 2018). A narrow "
                "valley is a sharp minimum.",
            )
        ],
        numbers={"steps": list(STEPS), "loss": losses},
    )  # fmt: skip
