"""timm's contract, swept over every registered variant as a narrow twin."""

import re
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from timm.data import resolve_data_config
from timm.layers import LayerNorm2d
from timm.models import save_for_hf
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

import spectralvision as sv
from spectralvision.mixers.sized_weights import SizedWeights
from tests.helpers.marks import needs_compiler
from tests.helpers.tolerances import FUSED, SINGLE
from tests.helpers.twins import (
    DISTINCT,
    NAMES,
    OF_EACH_FAMILY,
    SIZE,
    has_batch_norm,
    is_isotropic,
    num_stages,
    twin,
)

SVTS = [name for name in NAMES if name.startswith("svt") and not is_isotropic(name)]
SIZED = [name for name in OF_EACH_FAMILY if not name.startswith("affnet")]
SPECTRAL = re.compile(
    r"\.(w1|w2|b1|b2|v1|v2|c1|c2|gain|spectra)$"
    r"|\.(filter|mixer\.mixer|embedding|position)\.weight$"
)
"""Weights of spectra, frequencies and positions."""


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE)


def test_registered_with_timm() -> None:
    modules = ("affnet", "svt", "svt_isotropic", "gfnet", "dfformer", "vheat")
    assert {name for one in modules for name in timm.list_models(module=one)} == set(NAMES)
    assert sv.create_model is timm.create_model


@pytest.mark.parametrize("name", NAMES)
def test_forward_backward_and_head(name: str, x: Tensor) -> None:
    model = twin(name)
    logits = model(x)
    assert logits.shape == (2, 10)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())

    model.eval()
    features = model.forward_features(x)
    torch.testing.assert_close(model.forward_head(features), model(x))
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    classifier = model.get_classifier()
    if "dfformer" in name or "gfformer" in name:
        assert classifier.fc1.weight.shape[1] == model.head_hidden_size
        classifier = classifier.fc2
    else:
        assert classifier.weight.shape[1] == model.head_hidden_size
    assert classifier.weight.shape[0] == 10
    model.reset_classifier(7)
    assert model(x).shape == (2, 7)
    model.reset_classifier(0)
    torch.testing.assert_close(model(x), pooled)
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), features)
    model.reset_classifier(5, "avg")
    assert model(x).shape == (2, 5)


@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "getter", "fx", None])
@pytest.mark.parametrize("name", DISTINCT)
def test_features_only(name: str, feature_cls: str | None, x: Tensor) -> None:
    options = {"feature_cls": feature_cls} if feature_cls else {}
    if is_isotropic(name):
        assert len(twin(name, features_only=True, **options)(x)) == 3  # as in timm
        options["out_indices"] = (0, 1, 2, 3)
    torch.manual_seed(1)
    net = twin(name, features_only=True, **options).eval()
    maps = net(x)
    maps = list(maps.values()) if isinstance(maps, dict) else maps
    assert len(maps) == num_stages(name)
    for value, chans, reduction in zip(
        maps, net.feature_info.channels(), net.feature_info.reduction(), strict=True
    ):
        assert value.shape == (2, chans, SIZE // reduction, SIZE // reduction)

    torch.manual_seed(1)
    model = twin(name).eval()
    expected = model.forward_intermediates(x, intermediates_only=True)
    torch.testing.assert_close(maps, expected, atol=SINGLE, rtol=0)
    if name in SVTS:  # normalized, the last one without the class block
        tokens = model.forward_features(x)[:, 1:]
        torch.testing.assert_close(maps[-1].flatten(2).mT, tokens, atol=SINGLE, rtol=0)
    assert [info["module"] for info in net.feature_info.get_dicts()]
    assert [info["index"] for info in net.feature_info.get_dicts()] == list(range(len(maps)))

    torch.manual_seed(1)
    some = twin(name, features_only=True, **options | {"out_indices": (1, 2)}).eval()(x)
    some = list(some.values()) if isinstance(some, dict) else some
    torch.testing.assert_close(some, maps[1:3], atol=SINGLE, rtol=0)


@pytest.mark.parametrize("name", DISTINCT)
def test_intermediates_and_pruning(name: str, x: Tensor) -> None:
    model = twin(name).eval()
    last, maps = model.forward_intermediates(x)
    torch.testing.assert_close(last, model.forward_features(x))
    two = model.forward_intermediates(x, indices=2, intermediates_only=True)
    torch.testing.assert_close(two, maps[-2:])
    first = model.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=True)
    torch.testing.assert_close(first, maps[:1])
    with pytest.raises(ValueError, match="NLC"):
        model.forward_intermediates(x, output_fmt="NLC")

    pruned = deepcopy(model)
    assert pruned.prune_intermediate_layers(1) == [num_stages(name) - 1]
    torch.testing.assert_close(
        pruned.forward_intermediates(x, indices=1, intermediates_only=True), maps[-1:]
    )
    pruned = deepcopy(model)
    assert pruned.prune_intermediate_layers([0, 1]) == [0, 1]
    assert len(pruned.stages) == 2
    torch.testing.assert_close(
        pruned.forward_intermediates(x, indices=[0, 1], intermediates_only=True), maps[:2]
    )
    chans = model.feature_info[1]["num_chs"]
    assert pruned.num_features == pruned.head_hidden_size == chans
    pruned.reset_classifier(4, "avg")
    assert pruned(x).shape == (2, 4)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_affnet_output_stride(output_stride: int, x: Tensor) -> None:
    net = twin("affnet_et", features_only=True, output_stride=output_stride)
    assert net.feature_info.reduction() == [min(r, output_stride) for r in (2, 4, 8, 16, 32)]
    assert [value.shape[-1] for value in net(x)] == [
        SIZE // r for r in net.feature_info.reduction()
    ]
    assert twin("affnet_et", output_stride=output_stride)(x).shape == (2, 10)


@pytest.mark.parametrize("name", ["svt_h_s", "svt_s"])
def test_svt_output_stride(name: str) -> None:
    """The last stage keeps the resolution of the third, with the weights of any stride."""
    x = torch.randn(2, 3, 72, 50)
    net = twin(name, features_only=True, output_stride=16)
    assert net.feature_info.reduction() == [4, 8, 16, 16]
    assert [tuple(value.shape[-2:]) for value in net(x)] == [(18, 13), (9, 7), (5, 4), (5, 4)]
    model = twin(name, output_stride=16).eval()
    other = twin(name).eval()
    other.load_state_dict(model.state_dict())
    assert model(x).shape == other(x).shape == (2, 10)
    for index in range(3):
        one, same = (net.forward_intermediates(x, intermediates_only=True)[index]
                     for net in (model, other))  # fmt: skip
        torch.testing.assert_close(one, same, atol=0, rtol=0)
    assert (model(x) - other(x)).abs().max() > 1e-3


def test_svt_output_stride_with_token_labels() -> None:
    model = twin("svt_h_s", output_stride=16, token_label=True).train()
    output = model.forward_token_label(torch.randn(2, 3, 64, 96))
    assert output.logits.shape == (2, 10)
    assert output.tokens.shape == (2, 4 * 6, 10)


def test_all_stages_scatter_at_output_stride_16() -> None:
    """The mixers of the last stage have the weights of its larger map."""
    model = twin("svt_h_s", output_stride=16, scattering_stages=4)
    sizes = [stage.blocks[0].mixer.resolution for stage in model.stages]
    assert sizes == [(16, 16), (8, 8), (4, 4), (4, 4)]
    assert model(torch.randn(1, 3, SIZE, SIZE)).shape == (1, 10)


def test_an_impossible_output_stride_is_rejected_in_one_sentence() -> None:
    for name, stride in (("affnet_et", 4), ("svt_h_s", 8)):
        with pytest.raises(ValueError, match=f"got {stride}") as error:
            twin(name, output_stride=stride)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", DISTINCT)
def test_any_input_size(name: str) -> None:
    model = twin(name).eval()
    for size in [(33, 47), (96, 64), (65, 63), (32, 32)]:
        assert model(torch.randn(1, 3, *size)).shape == (1, 10)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("size", [(96, 80), (45, 71)])
def test_another_size_can_be_made_permanent_and_saved(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    model, x = twin(name).eval(), torch.randn(1, 3, *size)
    logits = model(x)
    model.set_input_size(size)
    torch.testing.assert_close(model(x), logits, atol=SINGLE, rtol=0)
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    sizes = [
        [module.resolution for module in one.modules() if isinstance(module, SizedWeights)]
        for one in (again, model)
    ]
    assert sizes[0] == sizes[1] != []
    torch.testing.assert_close(again(x), logits, atol=SINGLE, rtol=0)


@pytest.mark.parametrize("name", DISTINCT)
def test_saved_and_reloaded(name: str, x: Tensor, tmp_path: Path) -> None:
    options = {"token_label": True} if name in SVTS else {}
    if name.startswith("affnet"):
        options = {"threshold": 0.0, "act_layer": "relu"}
    model = twin(name, **options).eval()
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(again(x), model(x), atol=0, rtol=0)
    finetuned = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=3).eval()
    torch.testing.assert_close(
        finetuned.forward_features(x), model.forward_features(x), atol=0, rtol=0
    )
    grey = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, in_chans=1).eval()
    torch.testing.assert_close(
        grey(x[:, :1]), model(x[:, :1].expand(-1, 3, -1, -1)), atol=SINGLE, rtol=0
    )


@pytest.mark.parametrize("name", DISTINCT)
def test_gradient_checkpointing_changes_neither_gradients_nor_statistics(
    name: str, x: Tensor
) -> None:
    plain = twin(name, drop_path_rate=0.0, drop_rate=0.0).train()
    results = []
    for enable in (False, True):
        model = deepcopy(plain)
        model.set_grad_checkpointing(enable)
        model(x).square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        results.append((gradients, dict(model.named_buffers())))
        counts = [value for key, value in results[-1][1].items() if key.endswith("tracked")]
        assert set(map(int, counts)) == ({1} if has_batch_norm(name) else set())
    torch.testing.assert_close(*results, atol=SINGLE, rtol=SINGLE)


def test_gradient_checkpointing_with_a_cumulative_average(x: Tensor) -> None:
    """momentum=None averages all batches by their number, which must not count twice."""
    plain = twin("affnet_et", drop_rate=0.0).train()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    statistics = []
    for enable in (False, True):
        model = deepcopy(plain)
        model.set_grad_checkpointing(enable)
        for batch in (x, 2 * x):
            model(batch).sum().backward()
        statistics.append(dict(model.named_buffers()))
    torch.testing.assert_close(*statistics, atol=SINGLE, rtol=SINGLE)


def test_gradient_checkpointing_compiles_in_one_graph(x: Tensor) -> None:
    eager = twin("affnet_et", drop_rate=0.0).train()
    compiled = deepcopy(eager)
    compiled.set_grad_checkpointing()
    eager(x).sum().backward()
    torch.compile(compiled, backend="aot_eager", fullgraph=True)(x).sum().backward()
    statistics = [dict(model.named_buffers()) for model in (eager, compiled)]
    torch.testing.assert_close(*statistics, atol=SINGLE, rtol=SINGLE)


@pytest.mark.parametrize("name", DISTINCT)
def test_layers_are_of_the_types_that_counters_know(name: str) -> None:
    """torchinfo, ptflops and thop count by the exact type, and count nothing for a subclass."""
    counted = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)
    kinds = {type(module) for module in twin(name).modules() if isinstance(module, counted)}
    assert {nn.Conv2d, nn.Linear} <= kinds <= {*counted, LayerNorm2d}


@pytest.mark.parametrize("name", DISTINCT)
def test_optimiser_groups(name: str) -> None:
    """Spectral weights are not decayed; layer decay: stem smallest, head largest rate."""
    model = twin(name)
    spectral = {n for n, _ in model.named_parameters() if SPECTRAL.search(n)}
    if name.startswith("cdfformer"):  # whose inner mixers are convolutions
        spectral = {n for n in spectral if not n.endswith("mixer.mixer.weight")}
    assert model.no_weight_decay() == spectral != set()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.5)
    names = {id(parameter): n for n, parameter in model.named_parameters()}
    scale, decay = {}, {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            scale[names[id(parameter)]] = group["lr_scale"]
            decay[names[id(parameter)]] = group["weight_decay"]
    assert len(scale) == len(names)
    assert all(decay[n] == 0 for n in spectral)
    head, early = "head.weight", "blocks.0.mlp.fc1"
    if name.startswith("affnet"):
        head, early = "head.fc.weight", "0.expand.conv"
    elif "dfformer" in name or "gfformer" in name:
        head = "head.fc2.weight"
    elif is_isotropic(name):
        early = "mlp.fc1"
    assert scale[head] == 1.0
    assert scale[f"stages.0.{early}.weight"] < 0.5
    assert min(scale.values()) == scale[next(iter(names.values()))]


@pytest.mark.parametrize("name", DISTINCT)
def test_stochastic_depth_is_applied(name: str, x: Tensor) -> None:
    model = twin(name, drop_path_rate=0.4)
    rates = [module.drop_prob for module in model.modules() if type(module).__name__ == "DropPath"]
    assert rates == sorted(rates) != []
    assert rates[-1] == pytest.approx(0.4)
    num_blocks = sum(type(module).__name__ == "Block" for module in model.modules())
    assert len(set(rates)) == num_blocks - 1  # linear from 0, and a rate of 0 needs no module
    model.train()
    assert not torch.equal(model(x), model(x))
    still = twin(name, drop_path_rate=0.0, drop_rate=0.0).train()
    torch.testing.assert_close(still(x), still(x))


@pytest.mark.parametrize("name", DISTINCT)
def test_fuse_folds_every_norm_and_equals_reparameterize(name: str, x: Tensor) -> None:
    model = twin(name)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert bool(norms) == has_batch_norm(name)
    for norm in norms:
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    model.eval()
    before = deepcopy(model.state_dict())
    logits = model(x)
    once = model.fuse()
    for fused in (once, timm.utils.reparameterize_model(model), once.fuse()):
        assert not [module for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
        torch.testing.assert_close(fused(x), logits, atol=FUSED, rtol=FUSED)
    torch.testing.assert_close(model.state_dict(), before, atol=0, rtol=0)


@pytest.mark.parametrize("name", DISTINCT)
def test_built_on_the_meta_device(name: str, x: Tensor) -> None:
    model = twin(name).eval()
    with torch.device("meta"):
        empty = twin(name)
    assert all(parameter.is_meta for parameter in empty.parameters())
    empty.to_empty(device="cpu")
    for module in empty.modules():
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()
    empty.load_state_dict(model.state_dict())
    torch.testing.assert_close(empty.eval()(x), model(x), atol=0, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_of_each_family(name: str) -> None:
    config = resolve_data_config({}, model=twin(name, img_size=None))
    if name.startswith("affnet"):
        expected = {
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "interpolation": "bilinear",
            "crop_pct": 256 / 288,
        }
        assert config["input_size"] == (3, 256, 256)
    else:
        expected = {
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "interpolation": "bicubic",
        }
        crops = {"gfnet": 0.9, "dfformer": 1.0, "cdfformer": 1.0, "gfformer": 1.0, "vheat": 0.875}
        expected["crop_pct"] = crops.get(name.split("_")[0], 0.96)
        assert config["input_size"] == (3, 224, 224)
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_pool_size_is_the_side_of_the_last_map(name: str) -> None:
    model = twin(name, img_size=None).eval()
    cfg = model.default_cfg
    features = model.forward_features(torch.zeros(1, *cfg["input_size"]))
    last = features.shape[2:] if features.ndim == 4 else None
    side = cfg["input_size"][1] // model.feature_info[-1]["reduction"]
    assert cfg["pool_size"] == (side, side)
    assert last is None or tuple(last) == (side, side)


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_without_weights_reports_where_they_are(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"report.*docs/guides/released-weights\.md.*load_released"
    ):
        sv.create_model(name, pretrained=True)
    assert (Path(__file__).parents[2] / "docs/guides/released-weights.md").is_file()


@pytest.mark.parametrize("name", OF_EACH_FAMILY)
def test_compiles_and_exports_whole(name: str, x: Tensor) -> None:
    model = twin(name).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x), atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x), atol=SINGLE, rtol=SINGLE)


@pytest.mark.parametrize("name", ["affnet_et", "svt_h_s"])
def test_compiled_part_by_part_it_still_runs_in_chunks(
    name: str, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = twin(name).eval(), set()

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        seen.update(
            len(one) for one in inputs if one.ndim == 4 and one.shape[0] <= 3 and one.shape[2] > 3
        )
        return graph

    x = torch.cat([x, x])[:3]
    with torch.no_grad():
        whole, names = model(x), list(model.state_dict())
        monkeypatch.setattr(type(model), "chunk_elements", 1)
        model.compile(backend=backend, fullgraph=True, dynamic=False)
        torch.testing.assert_close(model(x), whole, atol=SINGLE, rtol=SINGLE)
        torch.testing.assert_close(deepcopy(model)(x), whole, atol=SINGLE, rtol=SINGLE)
    assert 1 in seen
    assert list(model.state_dict()) == names


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["affnet_et", "svt_h_s"])
def test_compiled_training_step_equals_eager(name: str, x: Tensor) -> None:
    model = twin(name, drop_rate=0.0).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
    compiled = torch.compile(model, fullgraph=True)
    gradients = []
    for function in (model, compiled):
        model.zero_grad()
        function(x).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("indices", [0, 6, [-7], [9], []])
def test_feature_indices_out_of_range_are_rejected(indices, x: Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        twin("affnet_et").forward_intermediates(x, indices=indices)


def test_device_and_dtype_keywords() -> None:
    for name in OF_EACH_FAMILY:
        model = twin(name, dtype=torch.bfloat16, device="cpu").eval()
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert model(torch.randn(1, 3, SIZE, SIZE, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("affnet_et", {"depths": (1, 1)}, "five stages"),
        ("svt_h_s", {"depths": (1, 1)}, "four stages"),
        ("svt_h_s", {"scattering_stages": 5}, "got 5"),
        ("svt_h_s", {"global_pool": "max"}, "'max'"),
        ("gfnet_ti", {"depths": (1, 1)}, "as many depths"),
        ("gfnet_h_ti", {"global_pool": "token"}, "'token'"),
        ("dfformer_s18", {"dims": (8, 8)}, "four stages"),
        ("dfformer_s18", {"mixers": ("dynamic", "conv", "conv", "fft")}, "'fft'"),
        ("vheat_t", {"depths": (1, 1)}, "four stages"),
        ("svt_v_t", {"depths": (2, 2)}, "one stage"),
        ("svt_v_t", {"scattering_blocks": 5}, "0 to 4, got 5"),
    ],
)
def test_bad_keywords_name_the_value(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        twin(name, **options)


@pytest.mark.parametrize("scattering_stages", range(5))
@pytest.mark.parametrize("mixing", ["channel", "channel_token"])
def test_svt_keywords(scattering_stages: int, mixing: str, x: Tensor) -> None:
    model = twin("svt_h_s", scattering_stages=scattering_stages, mixing=mixing)
    kinds = [type(stage.blocks[0].mixer).__name__ for stage in model.stages]
    assert kinds == ["ScatteringMixer"] * scattering_stages + ["Attention"] * (
        4 - scattering_stages
    )
    assert model(x).shape == (2, 10)


def test_affnet_keywords(x: Tensor) -> None:
    model = twin(
        "affnet", act_layer="relu", mask_act_layer=nn.ReLU, norm_layer="layernorm2d", threshold=0.2
    )
    kinds = {type(module).__name__ for module in model.modules()}
    assert "ReLU" in kinds
    assert "LayerNorm2d" in kinds
    assert not kinds & {"SiLU", "GroupNorm1"}
    filters = [m for m in model.modules() if isinstance(m, sv.mixers.AdaptiveFrequencyFilter)]
    assert {module.threshold for module in filters} == {0.2}
    assert model(x).shape == (2, 10)
