"""The densely connected encoder that the expression recognizers share."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm


def zero_padding(
    x: Float[Array, "B H W C"], valid: Bool[Array, "B H W"] | None
) -> Float[Array, "B H W C"]:
  """`x` with zeros outside `valid`; `x` itself where `valid` is None."""
  return x if valid is None else jnp.where(valid[..., None], x, 0)


def pool_windows(x: Float[Array, "B H W C"], fill: float) -> Float[Array, "B h 2 w 2 C"]:
  """2x2 windows of stride 2 in ceil mode; odd sides are extended by `fill` at bottom and right."""
  b, h, w, c = x.shape
  if h % 2 or w % 2:
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), constant_values=fill)
  # A reshape and a reduction: several times faster on a CPU than reduce_window and its gradient.
  return x.reshape(b, -(-h // 2), 2, -(-w // 2), 2, c)


def max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
  """2x2 maximum, stride 2, ceil mode; the gradient goes to the first maximum, as in PyTorch."""
  # Not `windows.max((2, 4))`: its gradient goes where a value equals the maximum, and when XLA
  # computes the values twice with another rounding, equal ones of a background lose or multiply it.
  larger = lambda a, b: jnp.where(b > a, b, a)
  windows = pool_windows(x, -jnp.inf)
  rows = larger(windows[..., 0, :], windows[..., 1, :])
  return larger(rows[:, :, 0], rows[:, :, 1])


def average_pool(
    x: Float[Array, "B H W C"], valid: Bool[Array, "B H W"] | None
) -> Float[Array, "B h w C"]:
  """2x2 mean, stride 2, ceil mode, over the cells of each window that are in bounds (and valid)."""
  cells = jnp.ones((1, *x.shape[1:3]), x.dtype) if valid is None else valid.astype(x.dtype)
  count = pool_windows(cells[..., None], 0.0).sum((2, 4))
  return pool_windows(zero_padding(x, valid), 0.0).sum((2, 4)) / jnp.maximum(count, 1)


class DenseLayer(nn.Module):
  """conv 1x1 -> BN -> ReLU -> conv 3x3 -> BN -> ReLU; returns the new channels only."""

  growth: int
  dropout: float
  epsilon: float
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x, valid, train: bool):  # positional: rematerialisation needs it static
    # A 1x1 convolution as a matrix product: XLA's CPU gradient of the former is 5 times slower.
    x = nn.Dense(
        4 * self.growth,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, "embed"),
        name="conv1",
    )(x)
    x = nn.relu(BatchNorm(self.epsilon, dtype=self.dtype, name="bn1")(x, valid, train=train))
    x = Dropout(self.dropout)(x, train=train)
    x = nn.Conv(
        self.growth,
        (3, 3),
        padding=1,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name="conv2",
    )(zero_padding(x, valid))
    x = nn.relu(BatchNorm(self.epsilon, dtype=self.dtype, name="bn2")(x, valid, train=train))
    return zero_padding(Dropout(self.dropout)(x, train=train), valid)


class Transition(nn.Module):
  """conv 1x1 to half the channels -> BN -> ReLU -> 2x2 average pooling."""

  dropout: float
  epsilon: float
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x, valid, *, train: bool):
    x = nn.Dense(
        x.shape[-1] // 2,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, "embed"),
        name="conv1",
    )(x)
    x = nn.relu(BatchNorm(self.epsilon, dtype=self.dtype, name="bn1")(x, valid, train=train))
    return average_pool(Dropout(self.dropout)(x, train=train), valid)


class DenseNet(nn.Module):
  """Dense blocks at strides 4, 8, 16, ... (three as published), in post-activation order.

  Reference: Huang et al., 2017, in the form of Zhang et al., 2018 and Zhao et al., 2021 (BTTR).

  Attributes:
    growth: channels that a layer adds; the stem has twice as many.
    layers: dense layers in each of the blocks; as many blocks as numbers.
    dropout: element-wise rate after each activation.
    stem_norm: a batch norm after the stem (BTTR family and WAP).
    final_norm: one at the end (BTTR family).
    epsilon: of the batch norms.
    mask_features: zero the padding before every convolution and pooling and leave it out of the
      batch statistics, so that a picture's features do not depend on its canvas. Off: the
      published arithmetic, where padding leaks into the border.
    remat: recompute each dense layer in the backward pass instead of keeping its activations.
    dtype: of the computation.
  """

  growth: int = 24
  layers: tuple[int, ...] = (16, 16, 16)
  dropout: float = 0.2
  stem_norm: bool = True
  final_norm: bool = True
  epsilon: float = 1e-5
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  @property
  def channels(self) -> int:
    """Of the features."""
    channels = 2 * self.growth
    for depth in self.layers[:-1]:
      channels = (channels + depth * self.growth) // 2
    return channels + self.layers[-1] * self.growth

  @nn.compact
  def __call__(
      self, images: Float[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool
  ) -> tuple[Float[Array, "B h w D"], Bool[Array, "B h w"]]:
    """Encodes pictures.

    Args:
      images: [B, H, W, C], 0 on the background.
      valid: [B, H, W] True on real pixels.
      train: dropout and batch statistics.

    Returns:
      features [B, h, w, D] and the cells of them that are real; h = ceil(H / 2**(blocks + 1)).
    """

    def mask():
      return valid if self.mask_features else None

    x = nn.Conv(
        2 * self.growth,
        (7, 7),
        strides=2,
        padding=3,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name="conv1",
    )(zero_padding(images.astype(self.dtype), mask()))
    valid = valid[:, ::2, ::2]
    if self.stem_norm:
      x = BatchNorm(self.epsilon, dtype=self.dtype, name="norm1")(x, mask(), train=train)
    x = max_pool(zero_padding(nn.relu(x), mask()))
    valid = valid[:, ::2, ::2]

    layer = nn.remat(DenseLayer, static_argnums=(3,)) if self.remat else DenseLayer
    for block, depth in enumerate(self.layers):
      for i in range(depth):
        sizes = (self.growth, self.dropout, self.epsilon, self.dtype)
        new = layer(*sizes, name=f"dense{block + 1}_{i}")(x, mask(), train)
        x = jnp.concatenate([x, new], -1)
      if block < len(self.layers) - 1:
        transition = Transition(self.dropout, self.epsilon, self.dtype, name=f"trans{block + 1}")
        x = transition(x, mask(), train=train)
        valid = valid[:, ::2, ::2]
    if self.final_norm:
      x = BatchNorm(self.epsilon, dtype=self.dtype, name="post_norm")(x, mask(), train=train)
    return x, valid


def output_grid(height: int, width: int, blocks: int = 3) -> tuple[int, int]:
  """Rows and columns of the feature map of a [height, width] canvas: ceil(n / 2**(blocks + 1))."""
  stride = 2 ** (blocks + 1)
  return -(-height // stride), -(-width // stride)
