"""The token labeling loss against its slow twin, and one training step written out."""

import pytest
import torch

from spectralvision.engine.train_module import Step
from spectralvision.models.mix_token import EMPTY, Box, TokenLabelOutput
from spectralvision.runs import UserError
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig
from spectralvision.tasks.classification.token_labels.label_map_data import check_settings
from spectralvision.tasks.classification.token_labels.module import (
    TokenLabelClassifier,
    token_grid,
    token_label_loss,
)
from spectralvision.tasks.classification.token_labels.targets import (
    Labels,
    Targets,
    TokenLabelTarget,
    make_targets,
)
from tests.helpers.label_maps import NARROW_SVT, save_untrained
from tests.helpers.twins import twin
from tests.reference import token_labels as reference


def random_outputs(batch=3, tokens=6, classes=5):
    """Return logits of images and of tokens, and targets for them."""
    targets = Targets(
        torch.rand(batch, classes).softmax(-1), torch.rand(batch, tokens, classes).softmax(-1)
    )
    return torch.randn(batch, classes), torch.randn(batch, tokens, classes), targets


@pytest.mark.parametrize("box", [EMPTY, Box(0, 1, 2, 2), Box(0, 0, 2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_equals_the_slow_twin(box, smoothing):
    logits, tokens, targets = random_outputs()
    fast = token_label_loss(TokenLabelOutput(logits, tokens, box), targets, smoothing)
    arrays = [one.double().numpy() for one in (logits, tokens, targets.image, targets.tokens)]
    slow = reference.loss(arrays[0], arrays[1], box.area, arrays[2], arrays[3], smoothing)
    assert fast.item() == pytest.approx(slow, rel=1e-6)


def test_a_box_of_the_whole_image_takes_the_targets_of_the_reversed_batch():
    logits, tokens, targets = random_outputs()
    whole = token_label_loss(TokenLabelOutput(logits, tokens, Box(0, 0, 2, 3)), targets)
    flipped = Targets(targets.image.flip(0), targets.tokens)
    expected = token_label_loss(TokenLabelOutput(logits, tokens, EMPTY), flipped)
    torch.testing.assert_close(whole, expected)


def test_gradients_are_those_of_soft_targets():
    """d loss / d logits is (softmax - target) / B of an image, and half of that / N of a token."""
    logits, tokens, targets = random_outputs()
    logits.requires_grad_()
    tokens.requires_grad_()
    token_label_loss(TokenLabelOutput(logits, tokens, EMPTY), targets).backward()
    image_grad = (logits.softmax(-1) - targets.image).detach() / 3
    token_grad = 0.5 * (tokens.softmax(-1) - targets.tokens).detach() / 18
    torch.testing.assert_close(logits.grad, image_grad)
    torch.testing.assert_close(tokens.grad, token_grad)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 70), (33, 47)])
def test_token_grid(height, width):
    model = twin("svt_h_s", token_label=True).eval()
    images = torch.rand(1, 3, height, width)
    rows, columns = token_grid(model, images)
    assert model.forward_token_label(images).tokens.shape[1] == rows * columns


def build_classifier(logits):
    torch.manual_seed(0)
    model = twin("svt_h_s", token_label=True)
    module = TokenLabelClassifier(model, LossConfig(label_smoothing=0.1), seed=3, logits=logits)
    return module.train()


def random_batch():
    """Return four images, two of them cropped and two flipped, with labels and label maps."""
    values, indices = torch.rand(4, 10, 3, 3).topk(5, dim=1)
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.2, 0.1, 0.7, 0.9]]).repeat(2, 1)
    flipped = torch.tensor([True, False, True, False])
    maps = Labels(values.half() / 5, indices.short(), box, flipped)
    return torch.rand(4, 3, 64, 64), TokenLabelTarget(torch.tensor([1, 2, 3, 4]), maps)


@pytest.mark.parametrize("logits", [False, True])
def test_a_training_step_is_the_loss_of_its_targets(logits):
    batch = random_batch()
    step = Step(epoch=0, update=5, batch=0, rank=0, total_images=4)

    # The same step twice, after other random draws
    first = build_classifier(logits)
    values = first.training_step(batch, step)
    second = build_classifier(logits)
    torch.rand(7)
    assert torch.equal(second.training_step(batch, step)["loss"], values["loss"])

    # The outputs of the model in the same step, and the loss of them
    third = build_classifier(logits)
    forward, seen = third.model.forward_token_label, []
    third.model.forward_token_label = lambda images: seen.append(forward(images)) or seen[-1]
    third.training_step(batch, step)
    (out,) = seen
    targets = make_targets(batch[1].maps, 10, (2, 2), logits)
    torch.testing.assert_close(token_label_loss(out, targets, 0.1), values["loss"])
    correct = out.logits.argmax(dim=1) == batch[1].label
    assert values["top1"].item() == pytest.approx(correct.float().mean().item())

    # Both heads are trained
    values["loss"].backward()
    assert first.model.aux_head.weight.grad.abs().sum() > 0
    assert first.model.head.weight.grad.abs().sum() > 0


def test_mixing_depends_on_the_update():
    batch = random_batch()
    steps = [Step(0, update, 0, 0, 4) for update in range(8)]
    losses = {build_classifier(False).training_step(batch, step)["loss"].item() for step in steps}
    assert len(losses) > 1


def check(model="svt_h_s", **loss):
    check_settings(ClassificationConfig(data="photos", model=str(model), loss=LossConfig(**loss)))


def test_settings_that_do_not_go_with_label_maps_are_rejected(tmp_path):
    check()
    with pytest.raises(UserError, match="--mixup does not go with --label-maps"):
        check(mixup=0.2)
    with pytest.raises(UserError, match="--cutmix does not go with --label-maps"):
        check(cutmix=1.0)
    with pytest.raises(UserError, match="affnet_et has none, svt_h_s has one"):
        check("affnet_et")
    plain = save_untrained(tmp_path / "plain", name="svt_h_s", **NARROW_SVT)
    sentence = "plain was trained without token labels and has no auxiliary head"
    with pytest.raises(UserError, match=sentence):
        check(plain)
    with_head = tmp_path / "with-head"
    check(save_untrained(with_head, name="svt_h_s", token_label=True, **NARROW_SVT))
