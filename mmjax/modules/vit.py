"""Vision transformers: ViT, DeiT, BEiT, and the towers of BLIP and CLIP.

References: Dosovitskiy et al., 2021 (ViT); Touvron et al., 2021 (DeiT); Bao et al., 2022 (BEiT).
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mmjax.modules.attention_layer import Layer, layer_norm
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned

_small_normal = nn.initializers.normal(0.02)


class ViT(nn.Module):
  """Patches behind one or two learned tokens, through pre-norm layers.

  Attributes:
    width, layers, heads, hidden, activation, epsilon, biased, scaled: see `Layer`.
    image_size: height and width of every picture, in pixels.
    patch: height and width of a patch.
    distilled: a second token stands behind the class token (DeiT).
    positions: learned positions are added.
    relative: scores get a learned bias by how far apart two patches are: in each layer its own, or
      one that all layers share (BEiT).
    patch_bias: the embedding of patches has a bias.
    norm_in, norm_out: norms before the first and behind the last layer.
    dropout, attention_dropout: see `Layer`.
    dtype: of the computation.
  """

  width: int
  layers: int
  heads: int
  hidden: int
  image_size: tuple[int, int]
  patch: tuple[int, int]
  activation: str = "gelu"
  epsilon: float = 1e-12
  biased: tuple[str, ...] = ("query", "key", "value")
  scaled: bool = False
  distilled: bool = False
  positions: bool = True
  relative: Literal["none", "each", "shared"] = "none"
  patch_bias: bool = True
  norm_in: bool = False
  norm_out: bool = True
  dropout: float = 0.0
  attention_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.patches = nn.Conv(
        self.width,
        self.patch,
        strides=self.patch,
        padding="VALID",
        use_bias=self.patch_bias,
        dtype=self.dtype,
        kernel_init=partitioned(_small_normal, None, None, None, "embed"),
    )
    token = lambda name: self.param(name, partitioned(_small_normal, "embed"), (self.width,))
    names = ("class_token", "distillation_token") if self.distilled else ("class_token",)
    self.tokens = [token(name) for name in names]
    h, w = self.grid
    if self.positions:
      shape = (len(self.tokens) + h * w, self.width)
      self.position_table = self.param(
          "position_table", partitioned(_small_normal, None, "embed"), shape)  # fmt: skip
    owners = {"none": 0, "each": self.layers, "shared": 1}[self.relative]
    self.relative_tables = [
        self.param(
            f"relative_table_{i}",
            partitioned(nn.initializers.zeros, None, "heads"),
            ((2 * h - 1) * (2 * w - 1) + 3, self.heads),
        )
        for i in range(owners)
    ]
    if self.norm_in:
      self.norm_before = layer_norm(self.epsilon, self.dtype)
    self.blocks = [
        Layer(
            self.width,
            self.heads,
            self.hidden,
            activation=self.activation,
            epsilon=self.epsilon,
            biased=self.biased,
            scaled=self.scaled,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            dtype=self.dtype,
        )
        for _ in range(self.layers)
    ]
    if self.norm_out:
      self.norm_after = layer_norm(self.epsilon, self.dtype)
    self.drop = Dropout(self.dropout)

  @property
  def grid(self) -> tuple[int, int]:
    """Rows and columns of patches."""
    return self.image_size[0] // self.patch[0], self.image_size[1] // self.patch[1]

  def __call__(
      self, images: Float[Array, "B H W C"], *, train: bool = False
  ) -> Float[Array, "B S D"]:
    """Features of standardised pictures: of the tokens, then of the patches row by row.

    Raises:
      ValueError: the pictures have another size than the weights are for.
    """
    if images.shape[1:3] != tuple(self.image_size):
      ours, theirs = ("x".join(map(str, s)) for s in (self.image_size, images.shape[1:3]))
      raise ValueError(f"pictures of {theirs} pixels for an encoder of {ours}; resize them")
    x = self.patches(images.astype(self.dtype))
    x = x.reshape(len(x), -1, self.width)
    spread = lambda token: jnp.broadcast_to(token.astype(x.dtype), (len(x), 1, self.width))
    x = jnp.concatenate([*map(spread, self.tokens), x], 1)  # [B, S, D]
    if self.positions:
      x = x + self.position_table.astype(x.dtype)
    x = self.drop(x, train=train)
    if self.norm_in:
      x = self.norm_before(x)
    biases = [self._bias(table) for table in self.relative_tables]
    x = x[:, None]  # one row a picture
    everything = jnp.ones((x.shape[2], x.shape[2]), bool)
    for i, block in enumerate(self.blocks):
      bias = biases[i % len(biases)] if biases else None
      x = block(x, everything, train=train, bias=bias)
    x = x[:, 0]
    return self.norm_after(x) if self.norm_out else x

  def _bias(self, table):
    return table[relative_places(*self.grid)].transpose(2, 0, 1)  # [N, S, S]


def relative_places(height: int, width: int) -> Int[np.ndarray, "S S"]:
  """For every pair of a class token and the cells of a grid, its row in BEiT's table of biases.

  Rows are ordered by vertical, then horizontal distance; the last three are token to cell, cell to
  token, token to token.
  """
  cells = window_distances(height, width)
  rows = (2 * height - 1) * (2 * width - 1)
  places = np.full((len(cells) + 1,) * 2, rows)
  places[1:, 1:] = cells
  places[1:, 0] = rows + 1
  places[0, 0] = rows + 2
  return places


def window_distances(height: int, width: int) -> Int[np.ndarray, "S S"]:
  """For every pair of cells of a grid, the number of their vertical and horizontal distance."""
  y, x = np.divmod(np.arange(height * width), width)
  dy = y[:, None] - y[None] + height - 1
  dx = x[:, None] - x[None] + width - 1
  return dy * (2 * width - 1) + dx
