"""Outputs that are not numbers end the inference loop."""

from typing import NamedTuple

import pytest
import torch

from spectralvision.engine.infer import check_finite
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
