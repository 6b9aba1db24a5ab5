"""Residual networks of bottlenecks, as torchvision stores them."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.convolution import NormedConv, Picture, adaptive_average_pool, standardise
from mmjax.modules.initializers import partitioned

EXPANSION = 4  # of a bottleneck's channels


def max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
  """3x3 maximum, stride 2, a border of minus infinity; h = ceil(H / 2)."""
  # Shifted maxima: four times faster on a CPU than reduce_window, and so is the gradient, which
  # goes to the first maximum of the window row by row, likewise.
  larger = lambda a, b: jnp.where(b > a, b, a)
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
  height, width = x.shape[1] - 2, x.shape[2] - 2
  columns = [x[:, :, j : j + width : 2] for j in range(3)]
  x = larger(larger(columns[0], columns[1]), columns[2])
  rows = [x[:, i : i + height : 2] for i in range(3)]
  return larger(larger(rows[0], rows[1]), rows[2])


class Bottleneck(nn.Module):
  """1x1, 3x3 (which takes the stride) and 1x1 convolutions, and a shortcut."""

  channels: int
  stride: int
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"], *, train: bool) -> Float[Array, "B h w D"]:
    def part(name, channels, side, stride=1):
      return NormedConv(channels, side, stride, dtype=self.dtype, name=name)

    width = EXPANSION * self.channels
    y = nn.relu(part("reduce", self.channels, 1)(x, train=train))
    y = nn.relu(part("spatial", self.channels, 3, self.stride)(y, train=train))
    y = part("expand", width, 1)(y, train=train)
    if self.stride > 1 or x.shape[-1] != width:
      x = part("shortcut", width, 1, self.stride)(x, train=train)
    return nn.relu(x + y)


class ResNet(nn.Module):
  """A residual network without its classifier: features after the last ReLU.

  Parameters stand under `stem`, `stage1_0`, `stage1_1`, ... `stage4_2`, and `classifier`; e.g.
  `stage[234]_` picks what Show, Attend and Tell fine-tunes.

  Reference: He et al., 2016; the stride is on the 3x3 convolution, as in torchvision.

  Attributes:
    layers: bottlenecks in each of the four stages.
    width: channels of the stem.
    grid: rows and columns of the features by adaptive average pooling; 0 leaves them as they are.
    classes: of the classifier.
    batch_statistics: in training use the statistics of the batch and let the running ones move;
      off: the running ones always.
    picture_size: side in pixels that the published weights were trained on.
    dtype: of the computation.
  """

  layers: tuple[int, ...]
  width: int = 64
  grid: int = 0
  classes: int = 1000
  batch_statistics: bool = False
  picture_size: int = 224
  dtype: DTypeLike = jnp.float32

  mean = (0.485, 0.456, 0.406)
  deviation = (0.229, 0.224, 0.225)
  stride = 32

  @property
  def features(self) -> int:
    """Channels of the result."""
    return self.width * 2 ** (len(self.layers) - 1) * EXPANSION

  def setup(self):
    self.stem = NormedConv(self.width, 7, 2, dtype=self.dtype)
    self.blocks = [
        Bottleneck(self.width * 2**stage, 2 if stage and not i else 1, self.dtype,
                   name=f"stage{stage + 1}_{i}")
        for stage, depth in enumerate(self.layers)
        for i in range(depth)
    ]  # fmt: skip
    self.classifier = nn.Dense(
        self.classes,
        dtype=self.dtype,
        kernel_init=partitioned(nn.initializers.lecun_normal(), "embed", None),
        bias_init=partitioned(nn.initializers.zeros, None),
    )

  def __call__(self, image: Picture, *, train: bool = False) -> Float[Array, "B h w D"]:
    """Features of pictures.

    Args:
      image: [B, H, W, 3] red, green, blue, 0..255.
      train: see `batch_statistics`.

    Returns:
      [B, h, w, D]; h = ceil(H / 32), or `grid`.
    """
    features = self._last(image, train=train)
    return adaptive_average_pool(features, self.grid) if self.grid else features

  def logits(self, image: Picture, *, train: bool = False) -> Float[Array, "B classes"]:
    """Scores of the ImageNet classes."""
    return self.classifier(self._last(image, train=train).mean((1, 2))).astype(jnp.float32)

  def _last(self, image: Picture, *, train: bool) -> Float[Array, "B h w D"]:
    train = train and self.batch_statistics
    x = standardise(image, self.mean, self.deviation, self.dtype)
    x = max_pool(nn.relu(self.stem(x, train=train)))
    for block in self.blocks:
      x = block(x, train=train)
    return x
