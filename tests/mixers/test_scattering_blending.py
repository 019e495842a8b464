"""Other blendings of the scattering mixer: loops, sizes, derivatives, forms."""

import numpy as np
import pytest
import torch
from torch import nn

from spectralvision.mixers import ScatteringMixer
from spectralvision.mixers.scattering import BLENDINGS
from spectralvision.ops import Pyramid, dtcwt2d, idtcwt2d
from tests.helpers.tolerances import DOUBLE, HALF, SINGLE


def mixer(blending, resolution=(4, 6)):
    module = ScatteringMixer(8, resolution, groups=2, blending=blending).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def relu(z):
    """On real and imaginary parts separately."""
    return np.maximum(z.real, 0) + 1j * np.maximum(z.imag, 0)


def channel_blending(z, w1, b1, w2, b2):
    """z (C, ...) at one orientation; blocks of the matrices in turn."""
    groups, size = w1.shape[0], w1.shape[1]
    out = np.zeros_like(z)
    for g in range(groups):
        for place in np.ndindex(z.shape[1:]):
            block = (slice(g * size, (g + 1) * size), *place)
            out[block] = relu(z[block] @ w1[g] + b1[g]) @ w2[g] + b2[g]
    return out


def width_blending(z, v1, c1, v2, c2):
    """z (C, H, W): one matrix per row."""
    out = np.zeros_like(z)
    for channel, row in np.ndindex(z.shape[:2]):
        line = z[channel, row]
        out[channel, row] = relu(line @ v1[row] + c1[row]) @ v2[row] + c2[row]
    return out


def blend(low, bands, weights, letters):
    """low (C, H, W), bands (C, 6, h, w) of an image -> the same, letter by letter."""
    complex_of = {
        name: value[0] + 1j * value[1] for name, value in weights.items() if len(value) == 2
    }
    if letters[:2] == "TT":
        low = low * weights["gain"]
    else:
        real = [weights[f"low_{name}"] for name in ("w1", "b1", "w2", "b2")]
        low = channel_blending(low.astype(complex), *real)
        low = width_blending(
            low, *(weights[f"low_{name}"] for name in ("v1", "c1", "v2", "c2"))
        ).real
    bands = bands.copy()
    for k in range(6):
        if letters[2:] == "TT":
            bands[:, k] *= complex_of["band_gain"]
        if letters[3] == "E":
            bands[:, k] = channel_blending(
                bands[:, k], *(complex_of[name] for name in ("w1", "b1", "w2", "b2"))
            )
        if letters[2] == "E":
            bands[:, k] = width_blending(
                bands[:, k], *(complex_of[name] for name in ("v1", "c1", "v2", "c2"))
            )
    return low, bands


@pytest.mark.parametrize("blending", BLENDINGS)
def test_blending_equals_the_loops(blending):
    module = mixer(blending)
    x = torch.randn(2, 8, 4, 6, dtype=torch.float64)
    y = module(x).detach()
    torch.testing.assert_close(y[:, ::2], module.conv(x[:, :4]).detach(), atol=DOUBLE, rtol=0)
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    for image in range(2):
        pyramid = dtcwt2d(x[image : image + 1, 4:])
        bands = pyramid.complex()[0][0].numpy()
        low, bands = blend(pyramid.lowpass[0].numpy(), bands, weights, blending)
        parts = (torch.from_numpy(part.copy())[None] for part in (bands.real, bands.imag))
        expected = idtcwt2d(Pyramid(torch.from_numpy(low)[None], (tuple(parts),)))
        torch.testing.assert_close(y[image : image + 1, 1::2], expected, atol=DOUBLE, rtol=0)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_any_size_and_a_permanent_one(blending):
    module = mixer(blending)
    for size in [(4, 6), (7, 5), (12, 10), (1, 1)]:
        x = torch.randn(2, 8, *size, dtype=torch.float64)
        other = mixer(blending)
        other.load_state_dict(module.state_dict())
        other.set_input_size(size)
        assert module(x).shape == x.shape
        torch.testing.assert_close(other(x), module(x), atol=DOUBLE, rtol=0)
    assert module(x[:0]).shape == (0, 8, 1, 1)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("blending", ["TTTT", "EETT", "EEEE", "TTEX"])
def test_derivatives(blending):
    module, x = mixer(blending), torch.randn(1, 8, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, (x,), fast_mode=True)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_precision_and_compilers(blending):
    module, x = mixer(blending).float(), torch.randn(2, 8, 4, 6)
    exact = module(x)
    scale = exact.abs().max().item()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x).float(), exact, atol=HALF * scale, rtol=0)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), exact, atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), exact, atol=SINGLE, rtol=SINGLE)


def test_each_letter_has_its_weights():
    names = {blending: set(dict(mixer(blending).named_parameters())) for blending in BLENDINGS}
    assert names["TTXE"] == names["TTEE"] - {"v1", "c1", "v2", "c2"}
    assert names["TTEX"] == names["TTEE"] - {"w1", "b1", "w2", "b2"}
    assert "band_gain" in names["TTTT"] & names["EETT"]
    assert "gain" not in names["EEEE"] | names["EETT"]
    with pytest.raises(ValueError, match=r"blending must be one of TTEE, .*, got 'TEET'"):
        ScatteringMixer(8, blending="TEET")
