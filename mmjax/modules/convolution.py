"""Convolutions with batch norms, and pooling, that the picture encoders share."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt8

from mmjax.modules.initializers import partitioned
from mmjax.modules.norm import BatchNorm

Picture = UInt8[Array, "B H W 3"] | Float[Array, "B H W 3"]


def standardise(
    image: Picture, mean: tuple[float, ...], deviation: tuple[float, ...], dtype: DTypeLike
) -> Float[Array, "B H W 3"]:
  """(image / 255 - mean) / deviation of each colour; pixels are whole numbers or floats, 0..255."""
  pixels = image.astype(jnp.float32) / 255
  return ((pixels - jnp.array(mean)) / jnp.array(deviation)).astype(dtype)


def check_sides(image: Picture, stride: int, size: int | None) -> None:
  """Refuses pictures of other sides than an encoder takes.

  Raises:
    ValueError: a side is not a multiple of `stride`, or not `size` (None: any).
  """
  height, width = image.shape[1:3]
  if size is not None and (height, width) != (size, size):
    raise ValueError(
        f"pictures of {height} x {width} pixels; the encoder's position table is for"
        f" {size} x {size}: resize them, or set the encoder's picture_size"
    )
  if height % stride or width % stride:
    raise ValueError(
        f"pictures of {height} x {width} pixels; both must be multiples of {stride}: resize them"
    )


class NormedConv(nn.Module):
  """A convolution without bias, then a batch norm.

  Attributes:
    channels: of the result.
    side: of the square kernel.
    stride: in both directions.
    padding: "SAME" pads more at the bottom and right where the padding is odd, as TensorFlow does;
      "BOTH" pads side // 2 everywhere, as PyTorch's networks do.
    epsilon: of the batch norm.
    momentum: of the batch norm.
    dtype: of the computation.
  """

  channels: int
  side: int
  stride: int = 1
  padding: Literal["SAME", "BOTH"] = "BOTH"
  epsilon: float = 1e-5
  momentum: float = 0.9
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"], *, train: bool) -> Float[Array, "B h w D"]:
    """`train`: use and move the batch statistics."""
    if self.side == 1:
      # A 1x1 convolution as a matrix product: XLA's CPU gradient of the former is 5 times slower.
      x = nn.Dense(
          self.channels,
          use_bias=False,
          dtype=self.dtype,
          kernel_init=partitioned(nn.initializers.he_normal(), None, "embed"),
          name="conv",
      )(x[:, :: self.stride, :: self.stride])
    else:
      x = nn.Conv(
          self.channels,
          (self.side, self.side),
          strides=self.stride,
          padding="SAME" if self.padding == "SAME" else self.side // 2,
          use_bias=False,
          dtype=self.dtype,
          kernel_init=partitioned(nn.initializers.he_normal(), None, None, None, "embed"),
          name="conv",
      )(x)
    return BatchNorm(self.epsilon, self.momentum, self.dtype, name="bn")(x, None, train=train)


class DepthwiseConv(nn.Module):
  """A convolution of each channel by itself, without bias, padded as TensorFlow does.

  Attributes:
    side: of the square kernel.
    stride: in both directions.
    dtype: of the computation.
  """

  side: int
  stride: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """h = ceil(H / stride)."""
    kernel = self.param(
        "kernel",
        partitioned(nn.initializers.he_normal(), None, None, None, "embed"),
        (self.side, self.side, 1, x.shape[-1]),
    ).astype(self.dtype)
    return depthwise(x.astype(self.dtype), kernel[:, :, 0], self.stride)


def depthwise(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k l C"], stride: int
) -> Float[Array, "B h w C"]:
  """A convolution of each channel by itself, padded as TensorFlow does: h = ceil(H / stride).

  Shifted multiply-adds, which XLA fuses into one loop: ten to fifty times faster on a CPU than its
  grouped convolution, three to twenty times with the gradient.
  """
  sides = kernel.shape[:2]
  shape = [-(-n // stride) for n in x.shape[1:3]]
  reach = [(n - 1) * stride + 1 for n in shape]  # from the first window's place to the last
  border = [max(r + side - 1 - n, 0) for r, side, n in zip(reach, sides, x.shape[1:3])]
  x = jnp.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in border), (0, 0)))
  total = jnp.zeros((), x.dtype)
  for i in range(sides[0]):
    for j in range(sides[1]):
      window = x[:, i : i + reach[0] : stride, j : j + reach[1] : stride]
      total = total + window * kernel[i, j]
  return total


def adaptive_average_pool(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B g g C"]:
  """Means over `side` x `side` cells, which overlap or repeat where `side` does not divide.

  Cell i is the mean of floor(i n / side) .. ceil((i + 1) n / side) - 1 of the n rows, and so are
  the columns: torch.nn.AdaptiveAvgPool2d. It enlarges a map that is smaller.
  """
  for axis in (1, 2):
    x = jnp.moveaxis(jnp.tensordot(_means(x.shape[axis], side, x.dtype), x, (1, axis)), 0, axis)
  return x


def _means(length: int, cells: int, dtype: DTypeLike) -> Float[np.ndarray, "cells length"]:
  cell, row = np.arange(cells)[:, None], np.arange(length)
  inside = (row >= cell * length // cells) & (row < -(-(cell + 1) * length // cells))
  return (inside / inside.sum(1, keepdims=True)).astype(dtype)
