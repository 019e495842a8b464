"""The loss against its slow twin, and one training step written out."""

import pytest
import torch

from spectralvision.data.token_targets import Labels, Targets, make_targets
from spectralvision.models.mix_token import EMPTY, Box, TokenLabelOutput
from spectralvision.runs import UserError
from spectralvision.tasks.optimisation import Optimisation
from spectralvision.tasks.token_labelling import TokenLabelClassifier, refuse_fields, token_grid, token_label_loss
from tests.label_maps import teacher
from tests.models.twins import twin
from tests.reference import token_labels as reference


def some(batch=3, num=6, classes=5):
    logits, tokens = torch.randn(batch, classes), torch.randn(batch, num, classes)
    image, token_targets = torch.rand(batch, classes).softmax(-1), torch.rand(batch, num, classes).softmax(-1)
    return logits, tokens, Targets(image, token_targets)


@pytest.mark.parametrize("box", [EMPTY, Box(0, 1, 2, 2), Box(0, 0, 2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_equals_the_slow_twin(box, smoothing):
    logits, tokens, targets = some()
    fast = token_label_loss(TokenLabelOutput(logits, tokens, box), targets, smoothing)
    arrays = [one.double().numpy() for one in (logits, tokens, targets.image, targets.tokens)]
    slow = reference.loss(arrays[0], arrays[1], box.area, arrays[2], arrays[3], smoothing)
    assert fast.item() == pytest.approx(slow, rel=1e-6)


def test_a_whole_box_takes_the_targets_of_the_reversed_batch():
    logits, tokens, targets = some()
    whole = token_label_loss(TokenLabelOutput(logits, tokens, Box(0, 0, 2, 3)), targets)
    turned = Targets(targets.image.flip(0), targets.tokens)
    torch.testing.assert_close(whole, token_label_loss(TokenLabelOutput(logits, tokens, EMPTY), turned))


def test_gradients_are_those_of_soft_targets():
    """d loss / d logits = (softmax - target) / B for the image, half of it over B N for a token."""
    logits, tokens, targets = some()
    logits.requires_grad_()
    tokens.requires_grad_()
    token_label_loss(TokenLabelOutput(logits, tokens, EMPTY), targets).backward()
    torch.testing.assert_close(logits.grad, (logits.softmax(-1) - targets.image).detach() / 3)
    torch.testing.assert_close(tokens.grad, 0.5 * (tokens.softmax(-1) - targets.tokens).detach() / 18)


def test_grid_of_tokens():
    model = twin("svt_h_s", token_label=True).eval()
    for height, width in ((64, 64), (96, 70), (33, 47)):
        images = torch.rand(1, 3, height, width)
        rows, columns = token_grid(model, images)
        assert model.forward_token_label(images).tokens.shape[1] == rows * columns


@pytest.mark.parametrize("logits", [False, True])
def test_a_training_step_is_the_loss_of_its_targets(logits):
    def module():
        torch.manual_seed(0)
        made = TokenLabelClassifier(
            twin("svt_h_s", token_label=True), Optimisation(lr=1e-3, label_smoothing=0.1), seed=3, logits=logits
        )
        made.log = lambda *args, **options: None
        made.trainer = type("Trainer", (), {"global_step": 5, "current_epoch": 0, "global_rank": 0})()
        return made.train()

    images = torch.rand(4, 3, 64, 64)
    values, indices = torch.rand(4, 10, 3, 3).topk(5, dim=1)
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.2, 0.1, 0.7, 0.9]]).repeat(2, 1)
    labels = Labels(values.half() / 5, indices.short(), box, torch.tensor([True, False, True, False]))
    batch = (images, torch.tensor([1, 2, 3, 4]), labels)
    first, second = module(), module()
    loss = first.training_step(batch)
    torch.rand(7)  # whatever was drawn before
    assert torch.equal(second.training_step(batch), loss)
    by_hand = module()
    by_hand.model.forward_token_label = lambda images: seen.append(original(images)) or seen[-1]
    original, seen = type(by_hand.model).forward_token_label.__get__(by_hand.model), []
    by_hand.training_step(batch)
    torch.testing.assert_close(token_label_loss(seen[0], make_targets(labels, 10, (2, 2), logits), 0.1), loss)
    assert first.train_scores["top1"].update_called
    loss.backward()
    assert first.model.aux_head.weight.grad.abs().sum() > 0
    assert first.model.head.weight.grad.abs().sum() > 0


def test_what_does_not_go_together_is_refused(tmp_path):
    refuse_fields("svt_h_s", Optimisation())
    with pytest.raises(UserError, match="--mixup does not go with --label-maps"):
        refuse_fields("svt_h_s", Optimisation(mixup=0.2))
    with pytest.raises(UserError, match="--cutmix does not go with --label-maps"):
        refuse_fields("svt_h_s", Optimisation(cutmix=1.0))
    with pytest.raises(UserError, match="affnet_et has none, svt_h_s has one"):
        refuse_fields("affnet_et", Optimisation())
    small = {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "stem_dim": 8, "img_size": 64}
    plain = teacher(tmp_path / "plain", name="svt_h_s", **small)
    with pytest.raises(UserError, match="plain was trained without token labels and has no auxiliary head"):
        refuse_fields(str(plain), Optimisation())
    refuse_fields(str(teacher(tmp_path / "labelled", name="svt_h_s", token_label=True, **small)), Optimisation())
