"""The mixers by their kernels against themselves, in Triton's interpreter where there is no GPU."""

import pytest
import torch
from torch import nn

from tests.interpreter import run_interpreted


def mixers():
    from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer

    return [
        (AdaptiveFrequencyFilter(12, 4, act_layer=nn.ReLU), (2, 12, 8, 6)),
        (ScatteringMixer(32, (8, 12), "channel", groups=4), (2, 32, 8, 12)),
        (ScatteringMixer(64, (8, 8), "channel_token", groups=2), (1, 64, 8, 12)),
    ]


def compared(mixer, shape, device="cpu"):
    """Largest error of the value and of each gradient."""
    from spectralvision.mixers.accelerated import Accelerated

    torch.manual_seed(0)
    for parameter in mixer.parameters():
        nn.init.normal_(parameter, std=0.3)
    mixer = mixer.to(device)
    x, toward = torch.randn(2, *shape, device=device)
    results = []
    for module in (mixer, Accelerated(mixer)):
        leaves = [x.clone().requires_grad_(), *mixer.parameters()]
        y = module(leaves[0])
        results.append([y, *torch.autograd.grad(y, leaves, toward)])
    pairs = zip(*results, strict=True)
    return [((one - other).abs().max() / one.abs().max().clamp(min=1)).item() for one, other in pairs]


def main():
    """Run in a process of its own: Triton decides at import whether it interprets."""
    from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
    from spectralvision.mixers.accelerated import filtered, scattered
    from tests.tolerances import SINGLE

    for mixer, shape in mixers():
        errors = compared(mixer, shape)
        print(mixer, " ".join(f"{error:.1e}" for error in errors))
        assert max(errors) < SINGLE, mixer
    with pytest.raises(ValueError, match="SiLU"):
        filtered(AdaptiveFrequencyFilter(8, act_layer=nn.GELU), torch.randn(1, 8, 4, 4))
    with pytest.raises(ValueError, match="even"):
        scattered(ScatteringMixer(16, (8, 8), "channel"), torch.randn(1, 16, 7, 8))


def test_in_the_interpreter():
    run_interpreted("tests.mixers.test_accelerated")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("which", range(3))
def test_on_the_gpu(which):
    assert max(compared(*mixers()[which], device="cuda")) < 1e-4


if __name__ == "__main__":
    main()
