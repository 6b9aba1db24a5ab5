"""DaViT: attention inside windows and attention among channels, in turns, on ever coarser grids.

References: Ding et al., 2022 (DaViT); Xiao et al., 2024 (the encoder of Florence-2).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.activation import activation
from mmjax.modules.attention_layer import dense, layer_norm
from mmjax.modules.initializers import partitioned
from mmjax.modules.swin import into_windows, out_of_windows
from mmjax.modules.transformer import Attention

_EPSILON = 1e-5


class DaViT(nn.Module):
  """Stages of a convolution and layers; each layer looks in windows, then among channels.

  Attributes:
    widths: channels of each stage.
    depths: layers of each stage.
    heads: attention heads in the windows of each stage.
    groups: groups of channels, each with attention of its own, of each stage.
    kernels, strides, paddings: of each stage's convolution, in pixels or cells.
    norm_first: whether each stage's norm stands before its convolution.
    image_size: height and width of the pictures, in pixels.
    window: side of a window, in cells.
    expansion: channels of the feed-forward part over those of its stage.
    activation: of the feed-forward part.
    biased: query, key and value have biases.
    dtype: of the computation.
  """

  widths: tuple[int, ...]
  depths: tuple[int, ...]
  heads: tuple[int, ...]
  groups: tuple[int, ...]
  kernels: tuple[int, ...]
  strides: tuple[int, ...]
  paddings: tuple[int, ...]
  norm_first: tuple[bool, ...]
  image_size: tuple[int, int]
  window: int = 12
  expansion: float = 4.0
  activation: str = "gelu"
  biased: bool = True
  dtype: DTypeLike = jnp.float32

  @property
  def grid(self) -> tuple[int, int]:
    """Rows and columns of the last stage."""
    h, w = self.image_size
    for patch, stride, padding in zip(self.kernels, self.strides, self.paddings):
      h, w = ((side + 2 * padding - patch) // stride + 1 for side in (h, w))
    return h, w

  def setup(self):
    self.norms = [layer_norm(_EPSILON, self.dtype) for _ in self.widths]
    self.convolutions = [
        nn.Conv(
            width,
            (patch, patch),
            strides=stride,
            padding=padding,
            dtype=self.dtype,
            kernel_init=partitioned(nn.initializers.normal(0.02), None, None, None, "embed"),
        )
        for width, patch, stride, padding in zip(
            self.widths, self.kernels, self.strides, self.paddings
        )
    ]
    blocks = []
    for width, depth, heads, groups in zip(self.widths, self.depths, self.heads, self.groups):
      hidden = int(self.expansion * width)
      shared = dict(hidden=hidden, activation=self.activation, dtype=self.dtype)
      biased = ("query", "key", "value") if self.biased else ()
      windows = lambda w=width, n=heads, b=biased: WindowAttention(w, n, self.window, b, self.dtype)
      channels = lambda w=width, n=groups: ChannelAttention(w, n, self.biased, self.dtype)
      blocks.append(
          [Block(width, part(), **shared) for _ in range(depth) for part in (windows, channels)]
      )
    self.blocks = blocks

  def __call__(
      self, images: Float[Array, "B H W C"], *, train: bool = False
  ) -> Float[Array, "B h w D"]:
    """Features of standardised pictures.

    Raises:
      ValueError: the pictures have another size than the encoder.
    """
    del train
    if images.shape[1:3] != tuple(self.image_size):
      ours, theirs = ("x".join(map(str, s)) for s in (self.image_size, images.shape[1:3]))
      raise ValueError(f"pictures of {theirs} pixels for an encoder of {ours}; resize them")
    x = images.astype(self.dtype)
    for stage, blocks in enumerate(self.blocks):
      norm, convolution = self.norms[stage], self.convolutions[stage]
      x = convolution(norm(x)) if self.norm_first[stage] else norm(convolution(x))
      for block in blocks:
        x = block(x)
    return x


class Block(nn.Module):
  """Attention and feed-forward; before each, cells learn where they are from their neighbours.

  Attributes:
    width: channels.
    attention: of cells [B, h, w, C] to one another.
    hidden: channels of the feed-forward part.
    activation: of it.
    dtype: of the computation.
  """

  width: int
  attention: nn.Module
  hidden: int
  activation: str
  dtype: DTypeLike

  def setup(self):
    around = lambda: nn.Conv(
        self.width,
        (3, 3),
        padding=1,
        feature_group_count=self.width,
        dtype=self.dtype,
        kernel_init=partitioned(nn.initializers.normal(0.02), None, None, None, "embed"),
    )
    self.position1, self.position2 = around(), around()
    self.norm1, self.norm2 = (layer_norm(_EPSILON, self.dtype) for _ in range(2))
    self.linear1 = dense(self.hidden, self.dtype, "embed", "mlp")
    self.linear2 = dense(self.width, self.dtype, "mlp", "embed")

  def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
    x = x + self.position1(x)
    x = x + self.attention(self.norm1(x))
    x = x + self.position2(x)
    return x + self.linear2(activation(self.activation)(self.linear1(self.norm2(x))))


class WindowAttention(nn.Module):
  """Cells look at those of their window; zeros behind the grid are looked at as well."""

  width: int
  heads: int
  window: int
  biased: tuple[str, ...]
  dtype: DTypeLike

  def setup(self):
    self.inside = Attention(self.width, self.heads, 0.0, self.dtype, biased=self.biased)

  def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
    grid = x.shape[1:3]
    windows = into_windows(x, self.window)  # [B, R, T, C]
    seen = jnp.ones((windows.shape[2],) * 2, bool)
    words = self.inside.project(windows)
    return out_of_windows(
        self.inside.over_words(windows, words, seen, train=False), grid, self.window
    )


class ChannelAttention(nn.Module):
  """Channels look at those of their group, by what they are like in all cells."""

  width: int
  groups: int
  biased: bool
  dtype: DTypeLike

  def setup(self):
    self.three = dense(3 * self.width, self.dtype, "embed", None, bias=self.biased)
    self.out = dense(self.width, self.dtype, None, "embed")

  def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
    cells = x.shape[1] * x.shape[2]
    three = self.three(x).reshape(len(x), cells, 3, self.groups, -1)
    query, key, value = (three[:, :, i] for i in range(3))
    scores = jnp.einsum("bsgc,bsgd->bgcd", query / math.sqrt(cells), key)
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(self.dtype)
    mixed = jnp.einsum("bgcd,bsgd->bsgc", weights, value)
    return self.out(mixed.reshape(x.shape))
