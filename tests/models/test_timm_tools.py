"""What timm's tools and the libraries built on timm ask of a model."""

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from timm.layers import set_fused_attn
from timm.utils import AttentionExtract
from torch import Tensor, nn

from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.models.svt_blocks import DotProductAttention
from tests.helpers.tolerances import SINGLE
from tests.helpers.twins import SIZE, twin

FAMILIES = ["affnet_et", "svt_h_s", "gfnet_h_ti", "dfformer_s18", "vheat_t"]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 3, SIZE, SIZE)


@pytest.fixture
def unfused() -> Iterator[None]:
    set_fused_attn(False)
    yield
    set_fused_attn(True)


def test_class_tokens_beside_the_feature_maps(x: Tensor) -> None:
    model = twin("svt_h_s").eval()
    features, pairs = model.forward_intermediates(x, return_prefix_tokens=True)
    _, maps = model.forward_intermediates(x)
    torch.testing.assert_close([value for value, _ in pairs], maps)
    for value, prefix in pairs[:-1]:
        torch.testing.assert_close(prefix, value.mean(dim=(2, 3))[:, None])
    assert model.num_prefix_tokens == 1
    torch.testing.assert_close(pairs[-1][1], features[:, :1])
    assert not torch.allclose(pairs[-1][1], maps[-1].mean(dim=(2, 3))[:, None])

    only = model.forward_intermediates(
        x, indices=[0, 1], return_prefix_tokens=True, intermediates_only=True, stop_early=True
    )
    torch.testing.assert_close(only, pairs[:2])
    model.prune_intermediate_layers([1])
    pruned = model.forward_intermediates(
        x, indices=[1], return_prefix_tokens=True, intermediates_only=True
    )
    torch.testing.assert_close(pruned, pairs[1:2])


def test_a_model_without_prefix_tokens_returns_maps_as_in_timm(x: Tensor) -> None:
    model = twin("affnet_et").eval()
    assert model.num_prefix_tokens == 0
    torch.testing.assert_close(
        model.forward_intermediates(x, return_prefix_tokens=True), model.forward_intermediates(x)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_intermediates_as_a_dictionary(name: str, x: Tensor) -> None:
    model = twin(name).eval()
    features, maps = model.forward_intermediates(x, return_prefix_tokens=True)
    result = model.forward_intermediates(x, return_prefix_tokens=True, output_dict=True)
    torch.testing.assert_close(result.pop("image_features"), features)
    if name == "svt_h_s":
        maps = list(map(list, zip(*maps, strict=True)))
        torch.testing.assert_close(result.pop("image_intermediates_prefix"), maps.pop())
        maps = maps[0]
    torch.testing.assert_close(result, {"image_intermediates": maps})
    only = model.forward_intermediates(x, output_dict=True, intermediates_only=True)
    torch.testing.assert_close(only, {"image_intermediates": maps})


@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "fx", "getter"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_feature_cfg_of_the_caller(name: str, feature_cls: str, x: Tensor) -> None:
    feature_cfg = {"feature_cls": feature_cls, "out_indices": (0, 2)}
    torch.manual_seed(1)
    net = twin(name, features_only=True, feature_cfg=feature_cfg).eval()
    assert feature_cfg == {"feature_cls": feature_cls, "out_indices": (0, 2)}
    maps = net(x)
    maps = list(maps.values()) if isinstance(maps, dict) else maps
    torch.manual_seed(1)
    expected = twin(name).eval().forward_intermediates(x, indices=[0, 2], intermediates_only=True)
    torch.testing.assert_close(maps, expected, atol=SINGLE, rtol=0)
    chosen = twin(name, features_only=True, feature_cfg=feature_cfg, out_indices=[1])
    assert len(chosen(x)) == 1  # a keyword of its own comes first, as in timm


@pytest.mark.parametrize("method", ["fx", "hook"])
@pytest.mark.parametrize("name", ["svt_h_s", "svt_s"])
@pytest.mark.usefixtures("unfused")
def test_attention_extract(name: str, method: str, x: Tensor) -> None:
    model = twin(name, depths=(1, 2, 1, 2)).eval()
    with torch.no_grad():
        maps = AttentionExtract(model, method=method)(x)
    blocks = {
        "svt_h_s": [(2, 0), (3, 0), (3, 1)],
        "svt_s": [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1)],
    }
    expected = {
        f"stages.{stage}.blocks.{block}.mixer.attn": (SIZE >> 2 + stage) ** 2
        for stage, block in blocks[name]
    }
    end = ".softmax" if method == "fx" else ".attn_drop"
    assert {key.removesuffix(end) for key in maps} == {*expected, "class_block.attn.attn"}
    for key, value in maps.items():
        tokens = expected.get(key.removesuffix(end))
        shape = (tokens, tokens) if tokens else (1, 1 + (SIZE >> 5) ** 2)
        assert value.shape[0] == len(x)
        assert value.shape[2:] == shape
        torch.testing.assert_close(value.sum(-1), torch.ones(value.shape[:-1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_and_unfused_attention_are_equal(dtype: torch.dtype, x: Tensor) -> None:
    model = twin("svt_h_s").to(dtype).train()
    attention = [module for module in model.modules() if isinstance(module, DotProductAttention)]
    assert len(attention) == 3
    assert all(module.fused_attn for module in attention)
    results = []
    for fused in (True, False):
        for module in attention:
            module.fused_attn = fused
        model.zero_grad()
        logits = model(x.to(dtype))
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in model.parameters())])
    torch.testing.assert_close(*results, atol=SINGLE, rtol=SINGLE)


def test_timm_decides_whether_attention_is_fused(unfused: None) -> None:
    modules = list(twin("svt_h_s").modules())
    attention = [module for module in modules if isinstance(module, DotProductAttention)]
    assert attention
    assert not any(module.fused_attn for module in attention)
    set_fused_attn(True)
    exportable = twin("svt_h_s", exportable=True)
    assert not exportable.class_block.attn.attn.fused_attn


@pytest.mark.parametrize("fused", [True, False])
def test_attention_dropout_in_training_only(fused: bool, x: Tensor) -> None:
    model = twin("svt_h_s", attn_drop_rate=0.5)
    for module in model.modules():
        if isinstance(module, DotProductAttention):
            assert module.attn_drop.p == 0.5
            module.fused_attn = fused
    assert not torch.equal(model.train()(x), model(x))
    torch.testing.assert_close(model.eval()(x), model(x), atol=0, rtol=0)
    still = twin("svt_h_s").train()
    torch.testing.assert_close(still(x), still(x))


@pytest.mark.parametrize("name", FAMILIES)
def test_copied_and_pickled_after_use(name: str, x: Tensor) -> None:
    for options in ({}, {"features_only": True}, {"features_only": True, "feature_cls": "getter"}):
        model = twin(name, **options)
        if not options:
            model.set_grad_checkpointing()
            model(x).sum().backward()
        model.eval()
        with torch.inference_mode():
            expected = model(x)
            torch.testing.assert_close(copy.deepcopy(model)(x), expected, atol=0, rtol=0)
        with torch.no_grad():
            torch.testing.assert_close(
                pickle.loads(pickle.dumps(model))(x), expected, atol=0, rtol=0
            )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_torchscript_is_rejected_in_one_sentence() -> None:
    modules: list[nn.Module] = [
        *map(twin, FAMILIES),
        twin("affnet_et", features_only=True),
        AdaptiveFrequencyFilter(8),
        ScatteringMixer(8, (8, 8)),
        GlobalFilter(8),
        DynamicFilter(8),
        HeatConduction(8),
        nn.Sequential(nn.Identity(), AdaptiveFrequencyFilter(8)),
    ]
    for module in modules:
        with pytest.raises(ValueError, match=r"use torch\.export\.export") as error:
            torch.jit.script(module)
        assert "\n" not in str(error.value)
