"""Learning rate, layer decay and warm-up that stand for `auto`."""

import pytest

from spectralvision.engine.auto_settings import resolve_optimizer
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import UserError

AUTO = OptimizerConfig(layer_decay="auto")


@pytest.mark.parametrize(
    ("is_gentle", "batch", "lr", "decay"),
    [(False, 64, 2e-3, None), (True, 64, 5e-4, 0.75), (True, 256, 1e-3, 0.75),
     (False, 16, 1e-3, None)],
)  # fmt: skip
def test_auto(is_gentle, batch, lr, decay):
    found = resolve_optimizer(AUTO, batch, 20, is_gentle)
    assert (found.lr, found.layer_decay, found.warmup_epochs) == (lr, decay, 2.0)
    assert resolve_optimizer(found, batch, 20, not is_gentle) == found


def test_what_is_given_stays():
    given = OptimizerConfig(lr=1e-4, layer_decay=0.9, warmup_epochs=1.0)
    assert resolve_optimizer(given, 64, 20, True) == given
    assert resolve_optimizer(OptimizerConfig(), 64, 20, True).layer_decay is None
    with pytest.raises(UserError, match="--warmup-epochs 3 should be less than --epochs"):
        resolve_optimizer(OptimizerConfig(warmup_epochs=3.0), 64, 3, False)
