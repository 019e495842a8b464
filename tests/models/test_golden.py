"""The authors' networks at full size: weights by `load_released`, logits, stages, gradients."""

import numpy as np
import pytest
import torch

import spectralvision as sv
from tests.golden import rule
from tests.helpers.golden import check_gradients, max_error
from tests.helpers.tolerances import FAMILY_LOGITS, FUSED, LOGITS

FILES = [
    "affnet_et_256",
    "affnet_et_192x320",
    "affnet_et_no_shrink",
    "affnet_et_os8",
    "affnet_et_os16",
    "affnet_t_256",
    "affnet_256",
    "svt_s_released",
    "svt_s_released_plain",
    "svt_h_s",
    "svt_h_l",
    "gfnet_ti",
    "gfnet_h_ti",
    "dfformer_s18",
    "cdfformer_s18",
    "vheat_t",
]
NAMES = {
    "affnet_256": "affnet",
    "affnet_t_256": "affnet_t",
    "svt_s_released": "svt_s",
    "svt_s_released_plain": "svt_s",
}


def create(file: str, meta: dict) -> torch.nn.Module:
    if file.startswith(tuple(FAMILY_LOGITS)):
        return sv.create_model(file)
    if not file.startswith("affnet"):
        return sv.create_model(NAMES.get(file, file), token_label=meta["token_label"])
    options = {
        "output_stride": meta.get("output_stride", 32),
        "threshold": meta["options"]["softshrink"],
    }
    return sv.create_model(NAMES.get(file, "affnet_et"), **options)


@pytest.mark.parametrize("file", FILES)
def test_golden(file: str) -> None:
    arrays, meta = rule.load(file)
    model = sv.load_released(create(file, meta), rule.state(meta)).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == meta["parameters"]
    x = rule.images(file, tuple(meta["input_shape"]))

    logits = model(x)
    tolerance = FAMILY_LOGITS.get(file.split("_")[0], LOGITS)
    assert max_error(logits, arrays["logits"]) <= tolerance
    check_gradients(file, meta, model, logits, x)
    with torch.no_grad():
        fused = tolerance if file.startswith(tuple(FAMILY_LOGITS)) else FUSED
        assert max_error(model.fuse()(x), arrays["logits"]) <= fused
        check_stages(file, arrays, meta, model, x)


def check_stages(
    file: str, arrays: dict, meta: dict, model: torch.nn.Module, x: torch.Tensor
) -> None:
    """Compare a stage's mean, standard deviation and 64 samples; in SVT before the stage's norm."""
    outputs: dict[str, torch.Tensor] = {}
    if file.startswith("affnet"):
        modules = {"conv_1": model.stem, "conv_1x1_exp": model.final_conv}
        modules |= {f"layer_{i + 1}": stage for i, stage in enumerate(model.stages)}
    elif file == "gfnet_ti":
        modules = {f"block{i + 1}": block for i, block in enumerate(model.stages)}
    elif file.startswith("gfnet"):
        modules = {f"block{i + 1}": stage for i, stage in enumerate(model.stages)}
    elif file.startswith("vheat"):  # stages 1 to 3 after their downsampling
        modules = {f"layer{i}": model.stages[i].downsample for i in (1, 2, 3)}
        modules["layer4"] = model.stages[3]
    else:
        modules = {f"stage{i + 1}": stage.blocks for i, stage in enumerate(model.stages)}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _module, _args, out, name=name: outputs.update({name: out})
        )
    model(x)
    assert len(meta["stage_shapes"]) >= 3
    for name, shape in meta["stage_shapes"].items():
        value = outputs[name]
        if file.startswith(("svt", "gfnet")):
            value = value.flatten(2).mT
        elif "dfformer" in file:
            value = value.permute(0, 2, 3, 1)
        assert list(value.shape) == shape
        flat = value.reshape(-1)
        stored = torch.cat([flat.mean()[None], flat.std()[None], flat[:: flat.numel() // 64][:64]])
        np.testing.assert_allclose(
            stored, arrays[f"stage_{name}"], atol=3e-5, rtol=1e-5, err_msg=name
        )
