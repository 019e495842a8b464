"""The head at a position, for every layout of timm's models."""

import pytest
import timm
import torch

import spectralvision as sv
from spectralvision.runs import UserError
from spectralvision.tasks.position_head import PositionHead

# Maps with a linear head, a norm or a hidden layer after the pool; channels last; a class token, two, or none.
MODELS = [
    "test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_nfnet", "test_byobnet", "test_vit2",
    "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "mobilenetv3_small_050", "levit_128s",
]  # fmt: skip


def built(name, **options):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some start at zero, and would hide what differs
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_one_position_says_what_a_map_of_them_says(name):
    model = built(name)
    size = tuple(model.pretrained_cfg["input_size"][1:])
    head = PositionHead(model, name, size)
    with torch.no_grad():
        logits = head(torch.rand(2, 3, *size))
    assert logits.shape[:2] == (2, 7)
    assert logits.shape[2] == logits.shape[3] > 1
    assert logits.std(dim=(2, 3)).min() > 0  # positions differ


@pytest.mark.parametrize("name", ["test_resnet", "test_byobnet"])
def test_positions_of_a_linear_head_average_to_the_logits(name):
    model = built(name)
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(PositionHead(model, name, (96, 96))(x).mean(dim=(2, 3)), model(x))


def test_positions_lie_where_they_are_in_the_image():
    """A change in the upper right corner moves the upper right position most."""
    for name in ("affnet_et", "resnet18"):
        head = PositionHead(built(name), name, (128, 128))
        x = torch.rand(1, 3, 128, 128)
        y = x.clone()
        y[:, :, :24, -24:] = 1
        with torch.no_grad():
            change = (head(y) - head(x)).abs().sum(1)[0]
        assert change.argmax() == 3  # row 0, column 3 of 4 x 4


def test_our_auxiliary_head_takes_part():
    model = sv.create_model(
        "svt_h_s", num_classes=7, dims=(16, 32, 64, 64), depths=(1, 1, 1, 1), stem_dim=8, img_size=64, token_label=True
    ).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        tokens = model.forward_features(x)[:, 1:]
        expected = model.head(tokens) + 0.5 * model.aux_head(tokens)
        torch.testing.assert_close(PositionHead(model, "svt", (64, 64))(x).flatten(2).mT, expected)


class Corner(torch.nn.Module):
    """A classifier whose head looks at one position only."""

    num_features, num_classes = 3, 3

    def forward_features(self, x):
        return torch.nn.functional.avg_pool2d(x, 8)

    def forward_head(self, x):
        weights = torch.linspace(0, 1, x.shape[-1] + 1)[1:]
        return (x * weights).sum((2, 3))


class Unheaded(Corner):
    forward_head = None


def test_heads_that_cannot_work_are_refused():
    for model, why in ((Corner(), "its head depends on the position"), (Unheaded(), "not callable")):
        with pytest.raises(UserError, match=rf"it cannot label positions \(.*{why}.*\): take a teacher that pools"):
            PositionHead(model, "it", (32, 32))
