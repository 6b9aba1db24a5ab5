"""The picture encoders of captioning models, by name.

Every encoder is called as `encoder(image [B, H, W, 3], train=False) -> features [B, h, w, D]` on
pixels of 0..255, which it standardises itself, and tells `features` (D), `stride` and
`picture_size`.
"""

from typing import Any

from flax import linen as nn

from mmjax.modules.clip_encoder import ClipEncoder
from mmjax.modules.efficientnet_lite import EfficientNetLite
from mmjax.modules.resnet import ResNet
from mmjax.modules.vision_transformer import VisionTransformer

ENCODERS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "resnet50": (ResNet, {"layers": (3, 4, 6, 3)}),
    "resnet101": (ResNet, {"layers": (3, 4, 23, 3)}),
    "efficientnet_lite0": (EfficientNetLite, {}),
    "efficientnet_lite1": (EfficientNetLite, {"depth": 1.1, "picture_size": 240}),
    "efficientnet_lite2": (EfficientNetLite, {"width": 1.1, "depth": 1.2, "picture_size": 260}),
    "vit_b16": (VisionTransformer, {"patch": 16}),
    "vit_b32": (VisionTransformer, {"patch": 32}),
    "clip_vit_b16": (ClipEncoder, {"layers": 12, "width": 768, "patch": 16}),
    "clip_vit_b32": (ClipEncoder, {"layers": 12, "width": 768, "patch": 32}),
    "clip_resnet50": (ClipEncoder, {"layers": (3, 4, 6, 3), "width": 64}),
}


def names() -> list[str]:
  """Of the encoders that `build` knows."""
  return sorted(ENCODERS)


def build(name: str, **sizes) -> nn.Module:
  """An encoder.

  Args:
    name: one of `names()`.
    sizes: fields of its class that are to differ from the published network's.

  Raises:
    ValueError: an unknown name, or an unknown field.
  """
  if name not in ENCODERS:
    raise ValueError(f"no picture encoder {name!r}; there are: {', '.join(names())}")
  kind, published = ENCODERS[name]
  known = kind.__dataclass_fields__.keys() - {"parent", "name"}
  if unknown := sorted(sizes.keys() - known):
    raise ValueError(f"{name} has no {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
  return kind(**published | sizes)
