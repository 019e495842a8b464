"""The head at each position, for every layout of features in timm's models."""

import pytest
import timm
import torch

import spectralvision as sv
from spectralvision.runs import UserError
from spectralvision.tasks.classification.token_labels.dense_head import DenseHead

# Feature maps with a linear head, a norm or a hidden layer after the pool; channels-last maps;
# tokens with one class token, two, or none.
MODELS = [
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_vit",
    "test_nfnet",
    "test_byobnet",
    "test_vit2",
    "swin_tiny_patch4_window7_224",
    "deit_tiny_distilled_patch16_224",
    "mobilenetv3_small_050",
    "levit_128s",
]


def build(name, **options):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some start at zero, which would hide differences
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_logits_differ_between_positions(name):
    """At construction, `DenseHead` compares one position with a whole map of it."""
    model = build(name)
    size = tuple(model.pretrained_cfg["input_size"][1:])
    head = DenseHead(model, name, size)
    with torch.no_grad():
        logits = head(torch.rand(2, 3, *size))
    assert logits.shape[:2] == (2, 7)
    assert logits.shape[2] == logits.shape[3] > 1
    assert logits.std(dim=(2, 3)).min() > 0


@pytest.mark.parametrize("name", ["test_resnet", "test_byobnet"])
def test_positions_of_a_linear_head_average_to_the_logits(name):
    model = build(name)
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        dense = DenseHead(model, name, (96, 96))(x)
        torch.testing.assert_close(dense.mean(dim=(2, 3)), model(x))


@pytest.mark.parametrize("name", ["affnet_et", "resnet18"])
def test_positions_correspond_to_the_image(name):
    """A change in the upper right corner changes the upper right position most."""
    head = DenseHead(build(name), name, (128, 128))
    x = torch.rand(1, 3, 128, 128)
    y = x.clone()
    y[:, :, :24, -24:] = 1
    with torch.no_grad():
        change = (head(y) - head(x)).abs().sum(1)[0]
    assert change.shape == (4, 4)
    assert change.argmax() == 3  # row 0, column 3


def test_the_auxiliary_head_of_svt_is_included():
    narrow = {"dims": (16, 32, 64, 64), "depths": (1, 1, 1, 1), "stem_dim": 8, "img_size": 64}
    model = sv.create_model("svt_h_s", num_classes=7, token_label=True, **narrow).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        tokens = model.forward_features(x)[:, 1:]
        expected = model.head(tokens) + 0.5 * model.aux_head(tokens)
        dense = DenseHead(model, "svt", (64, 64))(x)
        torch.testing.assert_close(dense.flatten(2).mT, expected)


class WeightedPool(torch.nn.Module):
    """A classifier whose head weights positions differently."""

    num_features, num_classes = 3, 3

    def forward_features(self, x):
        return torch.nn.functional.avg_pool2d(x, 8)

    def forward_head(self, x):
        weights = torch.linspace(0, 1, x.shape[-1] + 1)[1:]
        return (x * weights).sum((2, 3))


class WithoutHead(WeightedPool):
    forward_head = None


@pytest.mark.parametrize(
    ("model", "reason"),
    [(WeightedPool(), "its head depends on the position"), (WithoutHead(), "not callable")],
)
def test_heads_that_cannot_be_applied_at_a_position_are_rejected(model, reason):
    sentence = rf"it cannot label positions \(.*{reason}.*\): use a teacher that pools"
    with pytest.raises(UserError, match=sentence):
        DenseHead(model, "it", (32, 32))
