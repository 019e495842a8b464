"""Counted work instead of timed work, against lost speed: products, copies of a map, graphs."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import spectralvision as sv
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops import dtcwt_channels_last, dtcwt_depthwise

PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "baddbmm_", "convolution", "mkldnn_convolution"}
COPIES = {"cat", "clone", "copy_", "_to_copy", "stack", "index_select", "contiguous"}


class Work(TorchDispatchMode):
    """Count products, and copies that are as large as the map."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples, self.products, self.copies = samples, 0, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        self.products += name in PRODUCTS
        if name in COPIES and out.numel() * (1 + out.is_complex()) >= self.samples:
            self.copies[name] += 1
        return out


def work(function, x):
    with torch.no_grad():
        function(x)  # builds the tables
        with Work(x.numel()) as counted:
            function(x)
    return counted.products, sum(counted.copies.values())


FILTER, CHANNEL = AdaptiveFrequencyFilter(128), ScatteringMixer(64, (16, 16), "channel")
BOTH = ScatteringMixer(64, (16, 16))


@pytest.mark.parametrize(
    ("part", "shape", "products", "copies"),
    [
        # mask network; one copy to concatenate the parts
        (FILTER, (1, 128, 16, 16), 2, 1),
        # and both transforms as one product each
        (FILTER, (1, 128, 8, 8), 4, 4),
        # one copy to concatenate the parts; 9 products to split and 6 to join, see below
        (CHANNEL, (1, 64, 16, 16), 17, 7),
        # and the width, and a convolution
        (BOTH, (1, 64, 16, 16), 20, 7),
    ],
)
def test_mixers(part, shape, products, copies):
    done = work(part, torch.randn(shape))
    assert done[0] == products
    assert done[1] <= copies, done


SPLITS = {32: dtcwt_channels_last.split_matmul, 56: dtcwt_depthwise.split}
JOINS = {32: dtcwt_channels_last.join_matmul, 56: dtcwt_depthwise.join}


@pytest.mark.parametrize(("side", "products", "copies"), [(32, 9, 1), (56, 6, 2)])
def test_split(side, products, copies):
    done = work(lambda x: SPLITS[side](x, "near_sym_b", "analysis"), torch.randn(1, side, side, 32))
    assert done[0] == products
    assert done[1] <= copies, done


@pytest.mark.parametrize(("side", "products", "copies"), [(32, 6, 2), (56, 6, 1)])
def test_join(side, products, copies):
    re, im = torch.randn(2, 1, 6, side // 2, side // 2, 32)
    done = work(
        lambda low: JOINS[side](low, re, im, "near_sym_b", "synthesis"),
        torch.randn(1, side, side, 32),
    )
    assert done[0] == products
    assert done[1] <= copies, done


def graphs(function, *inputs):
    """Return the graphs that a compiler receives; a graph break raises."""
    found = []

    def backend(graph, example):
        found.append(graph)
        return graph

    torch.compiler.reset()
    torch.compile(function, fullgraph=True, backend=backend, dynamic=False)(*inputs)
    return found


@pytest.mark.parametrize("name", ["affnet_et", "svt_h_s", "svt_s"])
def test_compilers_receive_one_graph_of_real_numbers(name):
    small = {"depths": (1, 1, 1, 1, 1)} if name == "affnet_et" else {"depths": (1, 1, 1, 1)}
    model, x = sv.create_model(name, num_classes=3, **small).eval(), torch.randn(1, 3, 64, 64)
    (graph,) = graphs(model, x)
    values = [
        node.meta["example_value"] for node in graph.graph.nodes if "example_value" in node.meta
    ]
    flat = [
        one for value in values for one in (value if isinstance(value, list | tuple) else [value])
    ]
    tensors = [one for one in flat if isinstance(one, torch.Tensor)]
    assert len(tensors) > 50
    assert not any(one.is_complex() for one in tensors)
