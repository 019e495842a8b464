"""Torchvision's detectors over the networks of timm.

| detector    | maps                     | levels added by                 | background |
|-------------|--------------------------|---------------------------------|------------|
| ssdlite     | strides 16, 32           | separable convolutions, pooling | class 0    |
| retinanet   | strides 8, 16, 32        | convolutions (P6, P7)           | none       |
| fcos        | strides 8, 16, 32        | convolutions (P6, P7)           | none       |
| faster_rcnn | strides 4, 8, 16, 32     | pooling                         | class 0    |
| mask_rcnn   | strides 4, 8, 16, 32     | pooling                         | class 0    |
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from spectralvision.tasks.detection.pyramids import SSD_CHANNELS, Pyramid, SsdMaps

SIZE_DIVISIBLE = 32
"""Sides of a batch are multiples of it, in pixels."""
MIN_SCORE = {"ssdlite": 0.01}
"""Scores below it are no detections, not even in evaluation."""
USUAL_MIN_SCORE = 0.05
MAX_DETECTIONS = 100
"""In an image, as in COCO's metric."""
WITH_BACKGROUND = ("ssdlite", "faster_rcnn", "mask_rcnn")
"""Detectors whose class 0 is the background."""
RCNN_STRIDES, DENSE_STRIDES = (4, 8, 16, 32), (8, 16, 32)
SSD_RATIOS = [[2, 3]] * 5 + [[2]]
"""Aspect ratios of the default boxes of SSD at each of its maps."""


class Padding(GeneralizedRCNNTransform):
    """Put images of several sizes into one batch, with zeros at the right and at the bottom.

    Our own transform has resized and normalized them; boxes are returned as they are predicted.
    """

    def __init__(self) -> None:
        super().__init__(1, 1, [0.0] * 3, [1.0] * 3, size_divisible=SIZE_DIVISIBLE)

    def normalize(self, image: Tensor) -> Tensor:
        """Return the image as it is."""
        return image

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Return image and target as they are."""
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        """Return the detections as they are."""
        return result


def build_net(kind: str, network: nn.Module, num_classes: int, channels: int, size: int) -> Any:
    """Return a detector of torchvision that takes images of its size, normalized.

    Args:
        kind: A row of the table above.
        network: Of timm, made with `features_only=True`.
        num_classes: Without background.
        channels: Of the feature pyramid.
        size: Side of the square input of SSDLite, in pixels.

    Raises:
        UserError: The network does not have the feature maps.
    """
    net: Any = BUILDERS[kind](network, num_classes + (kind in WITH_BACKGROUND), channels, size)
    net.transform = Padding()
    owner = result_owner(net)
    owner.score_thresh = MIN_SCORE.get(kind, USUAL_MIN_SCORE)
    owner.detections_per_img = MAX_DETECTIONS
    anchors = net.rpn.anchor_generator if hasattr(net, "rpn") else net.anchor_generator
    anchors.register_forward_pre_hook(_with_float32_maps)
    for head in _heads(net):
        head.register_forward_hook(_to_float32)
    return net


def result_owner(net: Any) -> Any:
    """Return the module whose `detections_per_img` and `score_thresh` limit the detections."""
    return getattr(net, "roi_heads", net)


def dense_outputs(net: Any, images: Tensor) -> Any:
    """Return the raw outputs for (B, 3, H, W) images, before any selection of boxes.

    With region proposals, those of the head of boxes are for 1,000 regions of each image.
    """
    features = net.backbone(images)
    maps = list(features.values())
    if not hasattr(net, "rpn"):
        return net.head(maps)
    regions = 1000 * len(images)
    side = net.roi_heads.box_roi_pool.output_size[0]
    pooled = maps[0].new_empty(regions, maps[0].shape[1], side, side)
    return net.rpn.head(maps), net.roi_heads.box_predictor(net.roi_heads.box_head(pooled))


def _build_ssdlite(network: nn.Module, num_classes: int, channels: int, size: int) -> SSD:
    anchors = DefaultBoxGenerator(SSD_RATIOS, min_ratio=0.1, max_ratio=1.05)
    per_place = anchors.num_anchors_per_location()
    head = SSDLiteHead(list(SSD_CHANNELS), per_place, num_classes, nn.BatchNorm2d)
    return SSD(SsdMaps(network), anchors, (size, size), num_classes, head=head, nms_thresh=0.5)


def _build_dense(
    detector: Any, network: nn.Module, num_classes: int, channels: int, size: int
) -> nn.Module:
    pyramid = Pyramid(network, DENSE_STRIDES, channels, "convs")
    built: nn.Module = detector(pyramid, num_classes)
    return built


def _build_rcnn(
    detector: Any, network: nn.Module, num_classes: int, channels: int, size: int
) -> nn.Module:
    pyramid = Pyramid(network, RCNN_STRIDES, channels, "pool")
    built: nn.Module = detector(pyramid, num_classes)
    return built


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "ssdlite": _build_ssdlite,
    "retinanet": partial(_build_dense, RetinaNet),
    "fcos": partial(_build_dense, FCOS),
    "faster_rcnn": partial(_build_rcnn, FasterRCNN),
    "mask_rcnn": partial(_build_rcnn, MaskRCNN),
}


def _heads(net: Any) -> Sequence[nn.Module]:
    """Return the modules that predict boxes, scores and masks."""
    if not hasattr(net, "rpn"):
        return [net.head]
    heads = [net.rpn.head, net.roi_heads.box_predictor]
    return [*heads, net.roi_heads.mask_predictor] if net.roi_heads.has_mask() else heads


def _with_float32_maps(module: nn.Module, inputs: Any) -> Any:
    """Return the inputs of an anchor generator, which takes their dtype, with maps in float32."""
    images, maps = inputs
    return images, [one.float() for one in maps]


def _to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """Return the outputs of a head in float32: bfloat16 has too few digits for coordinates."""
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    if isinstance(outputs, Mapping):
        return {name: _to_float32(module, inputs, one) for name, one in outputs.items()}
    return type(outputs)(_to_float32(module, inputs, one) for one in outputs)
