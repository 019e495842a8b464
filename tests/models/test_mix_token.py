import pytest
import torch

from spectralvision.models.mix_token import EMPTY, Box, exchange, sample_box
from tests.helpers.twins import SIZE, twin


def test_exchange_swaps_the_box_with_the_reversed_batch() -> None:
    maps = torch.arange(2.0)[:, None, None, None].expand(2, 1, 4, 4)
    mixed = exchange(maps, Box(1, 0, 3, 2))
    assert mixed[0, 0].tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(exchange(mixed, Box(1, 0, 3, 2)), maps)
    assert exchange(maps, EMPTY) is maps
    assert (
        exchange(
            torch.arange(2.0)[:, None, None, None].expand(2, 1, 8, 8), Box(0, 0, 1, 1), scale=8
        )[0].min()
        == 1
    )


def test_boxes_follow_their_distribution() -> None:
    """Side int(7 sqrt(1 - l)), l uniform: P(side >= s) = 1 - P(l > 1 - (s / 7)^2)."""
    boxes = [sample_box(7, 7) for _ in range(4000)]
    assert all(0 <= b.top <= b.bottom <= 7 and 0 <= b.left <= b.right <= 7 for b in boxes)
    inner = [
        b for b in boxes if b.top > 0 and b.left > 0 and b.bottom < 7 and b.right < 7 and b.area
    ]
    assert all(b.bottom - b.top == b.right - b.left for b in inner)
    empty = sum(b.area == 0 for b in boxes) / len(boxes)
    assert empty == pytest.approx(1 / 49, abs=0.01)  # side 0: 7 sqrt(1 - lambda) < 1
    large = sum(b.bottom - b.top >= 3 and b.right - b.left >= 3 for b in boxes) / len(boxes)
    assert 0.4 < large < 1 - 9 / 49


def test_token_label_output() -> None:
    model = twin("svt_h_s", token_label=True).eval()
    x = torch.randn(4, 3, SIZE, SIZE)
    out = model.forward_token_label(x)
    assert out.box == EMPTY
    assert out.tokens.shape == (4, 4, 10)
    torch.testing.assert_close(out.logits + 0.5 * out.tokens.amax(dim=1), model(x))
    with pytest.raises(ValueError, match="token_label=True"):
        twin("svt_h_s").forward_token_label(x)


@pytest.mark.parametrize("size", [(96, 96), (100, 70)])
def test_tokens_are_swapped_back(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """If a token depends on its own patch only, mixing at the stem and swapping back is neutral."""
    model = twin("svt_h_s", token_label=True).train()
    seen = {}

    def patchwise(x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Reduce the stem's map to tokens: the mean of each 8 x 8 cell, on every channel."""
        seen["mixed"] = x
        cells = torch.nn.functional.avg_pool2d(x, 8, ceil_mode=True)
        return cells.mean(dim=1, keepdim=True).expand(-1, model.num_features, -1, -1), []

    monkeypatch.setattr(model, "forward_stages", patchwise)
    monkeypatch.setattr(
        model,
        "forward_final",
        lambda x: torch.cat([x.flatten(2).mT[:, :1], x.flatten(2).mT], dim=1),
    )
    monkeypatch.setattr(
        "spectralvision.models.svt.sample_box", lambda height, width: Box(0, 1, 2, width)
    )
    x = torch.randn(3, 3, *size)
    out = model.forward_token_label(x)
    assert not torch.equal(seen["mixed"], model.stem(x))
    monkeypatch.setattr("spectralvision.models.svt.sample_box", lambda height, width: EMPTY)
    torch.testing.assert_close(
        out.tokens, model.forward_token_label(x).tokens, atol=1e-4, rtol=1e-4
    )
    assert out.box.area == 2 * (-(-size[1] // 32) - 1)


def test_training_draws_a_box_from_the_seed() -> None:
    model = twin("svt_h_s", token_label=True).train()
    x = torch.randn(2, 3, 224, 224)
    boxes = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        boxes.append(model.forward_token_label(x).box)
    assert boxes[0] == boxes[1]
    assert len(set(boxes)) > 1
