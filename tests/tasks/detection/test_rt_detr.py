"""Other libraries' detectors take our networks: RT-DETR of transformers."""

import pytest
import torch
from transformers import RTDetrConfig, RTDetrForObjectDetection, TimmBackboneConfig

import spectralvision  # noqa: F401  # registers the models with timm, where transformers finds them


@pytest.mark.parametrize(("name", "indices"), [("affnet_et", [2, 3, 4]), ("svt_h_s", [1, 2, 3])])
def test_rt_detr_trains_on_our_network(name, indices):
    torch.manual_seed(0)
    channels = {"affnet_et": [64, 104, 144], "svt_h_s": [128, 320, 448]}[name]
    backbone = TimmBackboneConfig(
        backbone=name,
        out_indices=indices,
        use_pretrained_backbone=False,
        freeze_batch_norm_2d=False,
    )
    config = RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=channels, encoder_hidden_dim=32,
        encoder_ffn_dim=32, encoder_attention_heads=2, d_model=32, decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32, decoder_layers=1, decoder_attention_heads=2, num_queries=10,
        num_denoising=0, num_labels=2, freeze_backbone_batch_norms=False,
    )  # fmt: skip
    model = RTDetrForObjectDetection(config).train()
    labels = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.4, 0.4]])}]
    outputs = model(torch.rand(1, 3, 64, 96), labels=labels)
    outputs.loss.backward()
    assert outputs.loss.isfinite()
    assert outputs.pred_boxes.shape == (1, 10, 4)
    gradients = [
        value.grad for name, value in model.named_parameters() if "backbone" in name.split(".")[1]
    ]
    found = [float(one.abs().sum()) for one in gradients if one is not None]
    assert sum(found) > 0
