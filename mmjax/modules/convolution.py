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
