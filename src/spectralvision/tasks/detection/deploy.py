"""A detector for export: boxes and scores of all places, from which run.py selects objects.

    boxes (B, 4, N)   x1, y1, x2, y2 in pixels of the input
    scores (B, K, N)  of each class

The selection depends on the values, which few runtimes can compute; it is in
`export/standalone/detect.py`. For the same reason detectors that choose regions inside (Faster and
Mask R-CNN) cannot be exported.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.image_list import ImageList

from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.export.deployment import Deployable, Mode, Output, fit_side
from spectralvision.export.feature_maps import deploy_features
from spectralvision.runs import UserError
from spectralvision.tasks.detection.detector import Detector
from spectralvision.tasks.detection.detectors import SIZE_DIVISIBLE

MAX_LOG_SCALE = math.log(1000 / 16)
"""Of a box relative to its anchor, as in torchvision."""


class DenseDetector(nn.Module):
    """(B, 3, H, W) images -> boxes (B, 4, N) and scores (B, K, N).

    Args:
        model: With an FCOS, RetinaNet or SSDLite.
        size: (H, W).
    """

    centers: Tensor
    sizes: Tensor
    weights: Tensor

    def __init__(self, model: Detector, size: tuple[int, int]) -> None:
        super().__init__()
        net: Any = model.net
        self.backbone, self.head = net.backbone, net.head
        self.kind = model.settings.detector
        self.padding = (0, -size[1] % SIZE_DIVISIBLE, 0, -size[0] % SIZE_DIVISIBLE)
        with torch.no_grad():
            images = pad(torch.zeros(1, 3, *size), self.padding)
            maps = list(self.backbone(images).values())
            (anchors,) = net.anchor_generator(ImageList(images, [size]), maps)
        x1, y1, x2, y2 = anchors.T
        self.register_buffer("centers", torch.stack([x1 + x2, y1 + y2]) / 2)  # (2, N)
        self.register_buffer("sizes", torch.stack([x2 - x1, y2 - y1]))
        weights = (1.0,) * 4 if self.kind == "fcos" else net.box_coder.weights
        self.register_buffer("weights", torch.tensor(weights).view(4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.head(list(self.backbone(pad(x, self.padding)).values()))
        logits = found["cls_logits"].transpose(1, 2)  # (B, K, N)
        offsets = found["bbox_regression"].transpose(1, 2) / self.weights  # (B, 4, N)
        first, second = offsets.chunk(2, dim=1)
        if self.kind == "fcos":
            corners = [self.centers - first * self.sizes, self.centers + second * self.sizes]
            centerness = found["bbox_ctrness"].transpose(1, 2)
            return torch.cat(corners, dim=1), (logits.sigmoid() * centerness.sigmoid()).sqrt()
        middle = first * self.sizes + self.centers
        half = second.clamp(max=MAX_LOG_SCALE).exp() * self.sizes / 2
        boxes = torch.cat([middle - half, middle + half], dim=1)
        if self.kind == "ssdlite":
            return boxes, logits.softmax(dim=1)[:, 1:]  # class 0 is the background
        return boxes, logits.sigmoid()


def build_deployable(model: Detector, size: tuple[int, int] | None, output: Output) -> Deployable:
    """Return a detector with what `standalone/detect.py` needs.

    Raises:
        UserError: It chooses regions inside, or has no such output.
    """
    preprocessing = data_config(model)
    side = model.settings.input_size
    mode: Mode = "stretch" if model.settings.is_square else "fit"
    usual_scale = size is None and mode == "fit" and output == "auto"
    if usual_scale:
        side = fit_side(side, model.settings.max_size)
    size = size or (side, side)
    if output == "features":
        return deploy_features(model.backbone, size, mode, preprocessing)
    if output != "auto":
        raise UserError(
            f"--output {output} is not for detectors, which have boxes and scores: leave it out."
        )
    net: Any = model.net
    if hasattr(net, "roi_heads"):
        raise UserError(
            f"{model.head_name} chooses regions of the image while it runs, which export does not "
            "support: export a model with --detector fcos, retinanet or ssdlite, or the feature "
            "maps with --output features."
        )
    return Deployable(
        module=DenseDetector(model, size),
        outputs=("boxes", "scores"),
        script="detect",
        size=size,
        mode=mode,
        preprocessing=preprocessing,
        labels=label_titles(model),
        settings={
            "output": "objects",
            **({"short_side": model.settings.input_size} if usual_scale else {}),
            "min_score": round(float(model.min_score), 6),
            "max_overlap": net.nms_thresh,
            "max_objects": net.detections_per_img,
        },
    )
