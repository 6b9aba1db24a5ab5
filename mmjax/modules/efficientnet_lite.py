"""EfficientNet-Lite: inverted bottlenecks with ReLU6 and without squeeze and excitation."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.convolution import DepthwiseConv, NormedConv, Picture, standardise
from mmjax.modules.initializers import partitioned
from mmjax.modules.norm import BatchNorm


class Block(NamedTuple):
  """Sizes of an inverted bottleneck: kernel, stride, factor of the channels inside, channels."""

  side: int
  stride: int
  expansion: int
  channels: int


# Repeats of a stage, and its first block; the others have the stride 1.
STAGES = (
    (1, Block(3, 1, 1, 16)),
    (2, Block(3, 2, 6, 24)),
    (2, Block(5, 2, 6, 40)),
    (3, Block(3, 2, 6, 80)),
    (3, Block(5, 1, 6, 112)),
    (4, Block(5, 2, 6, 192)),
    (1, Block(3, 1, 6, 320)),
)
EPSILON, MOMENTUM = 1e-3, 0.99  # of the batch norms


class Depthwise(nn.Module):
  """A convolution of each channel by itself, then a batch norm."""

  side: int
  stride: int
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"], *, train: bool) -> Float[Array, "B h w C"]:
    conv = DepthwiseConv(self.side, self.stride, self.dtype, name="conv")
    return BatchNorm(EPSILON, MOMENTUM, self.dtype, name="bn")(conv(x), None, train=train)


class InvertedBottleneck(nn.Module):
  """1x1 to more channels, depthwise, 1x1 to few, and a shortcut where the shape stays."""

  sizes: Block
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"], *, train: bool) -> Float[Array, "B h w D"]:
    def pointwise(name, channels):
      return NormedConv(
          channels, 1, epsilon=EPSILON, momentum=MOMENTUM, dtype=self.dtype, name=name)  # fmt: skip

    side, stride, expansion, channels = self.sizes
    y = x
    if expansion > 1:
      y = nn.relu6(pointwise("expand", expansion * x.shape[-1])(x, train=train))
    y = nn.relu6(Depthwise(side, stride, self.dtype, name="depthwise")(y, train=train))
    y = pointwise("project", channels)(y, train=train)
    return x + y if x.shape == y.shape else y


class EfficientNetLite(nn.Module):
  """EfficientNet-Lite without its classifier: features after the last 1x1 convolution and ReLU6.

  Parameters stand under `stem`, `stage1_0`, `stage2_0`, `stage2_1`, ... `stage7_0`, `head` and
  `classifier`; e.g. `(stage[67]_|head)` picks the last two stages and what follows.

  Reference: Tan and Le, 2019; Liu, 2020 (EfficientNet-Lite): the stem, the head and the depth of
  the first and the last stage are not scaled.

  Attributes:
    width: factor of the channels of the stages, which are rounded to multiples of 8.
    depth: factor of the repeats of the stages, rounded up.
    picture_size: side in pixels that the published weights were trained on.
    stem_channels: of the first convolution.
    features: channels of the result.
    classes: of the classifier.
    batch_statistics: in training use the statistics of the batch and let the running ones move;
      off: the running ones always.
    dtype: of the computation.
  """

  width: float = 1.0
  depth: float = 1.0
  picture_size: int = 224
  stem_channels: int = 32
  features: int = 1280
  classes: int = 1000
  batch_statistics: bool = False
  dtype: DTypeLike = jnp.float32

  mean = (127 / 255,) * 3
  deviation = (128 / 255,) * 3
  stride = 32

  def setup(self):
    def normed(channels, side, stride):
      return NormedConv(channels, side, stride, "SAME", EPSILON, MOMENTUM, self.dtype)

    self.stem = normed(self.stem_channels, 3, 2)
    self.blocks = [
        InvertedBottleneck(sizes, self.dtype, name=name) for name, sizes in self.plan().items()
    ]
    self.head = normed(self.features, 1, 1)
    self.classifier = nn.Dense(
        self.classes,
        dtype=self.dtype,
        kernel_init=partitioned(nn.initializers.lecun_normal(), "embed", None),
        bias_init=partitioned(nn.initializers.zeros, None),
    )

  def plan(self) -> dict[str, Block]:
    """The blocks in their order, by name."""
    blocks = {}
    for number, (repeats, first) in enumerate(STAGES, 1):
      if 1 < number < len(STAGES):
        repeats = math.ceil(repeats * self.depth)
      first = first._replace(channels=rounded(first.channels * self.width))
      for i in range(repeats):
        blocks[f"stage{number}_{i}"] = first._replace(stride=1) if i else first
    return blocks

  def __call__(self, image: Picture, *, train: bool = False) -> Float[Array, "B h w D"]:
    """Features of pictures.

    Args:
      image: [B, H, W, 3] red, green, blue, 0..255.
      train: see `batch_statistics`.

    Returns:
      [B, h, w, D]; h = ceil(H / 32).
    """
    train = train and self.batch_statistics
    x = standardise(image, self.mean, self.deviation, self.dtype)
    x = nn.relu6(self.stem(x, train=train))
    for block in self.blocks:
      x = block(x, train=train)
    return nn.relu6(self.head(x, train=train))

  def logits(self, image: Picture, *, train: bool = False) -> Float[Array, "B classes"]:
    """Scores of the ImageNet classes."""
    return self.classifier(self(image, train=train).mean((1, 2))).astype(jnp.float32)


def rounded(channels: float) -> int:
  """The nearest multiple of 8 that is at least 8 and not more than a tenth below `channels`."""
  nearest = max(8, int(channels + 4) // 8 * 8)
  return nearest + 8 if nearest < 0.9 * channels else nearest
