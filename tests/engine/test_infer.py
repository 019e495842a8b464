"""Outputs that are not numbers end the inference loop."""

from typing import NamedTuple

import pytest
import torch

from spectralvision.data.loaders import ImageBatch
from spectralvision.engine import threads
from spectralvision.engine.infer import InferenceConfig, check_finite, infer
from spectralvision.runs import UserError


class Output(NamedTuple):
    logits: torch.Tensor
    number: int


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: (x,), lambda x: {"boxes": [x]}, lambda x: Output(x, 1)]
)
def test_one_value_that_is_not_finite_is_an_error(wrap, value):
    outputs = torch.zeros(3, 2)
    check_finite(wrap(outputs))
    outputs[2, 1] = value
    with pytest.raises(UserError, match="outputs are not finite"):
        check_finite(wrap(outputs))


def test_labels_and_missing_parts_are_accepted():
    check_finite((torch.zeros(2, dtype=torch.int64), None, torch.zeros(0)))


@pytest.mark.parametrize(("num_images", "chosen"), [(8, 3), (4, None)])
def test_many_images_are_computed_with_a_thread_for_each_idle_core(num_images, chosen, monkeypatch):
    """A single batch is done before the idle cores are counted."""
    monkeypatch.setattr(threads, "choose_threads", lambda wanted, processes: 3)
    usual, used = torch.get_num_threads(), []
    module = torch.nn.Flatten()
    module.register_forward_hook(lambda *_: used.append(torch.get_num_threads()))
    images = torch.zeros(4, 3, 2, 2)
    batches = [ImageBatch(images, torch.zeros(4), [*range(4)], [])] * (num_images // 4)
    config = InferenceConfig(batch_size=4, device="cpu")
    assert len(list(infer(module, batches, config, "Test", num_images))) == num_images // 4
    assert used == [chosen or usual] * (num_images // 4)
    assert torch.get_num_threads() == usual
