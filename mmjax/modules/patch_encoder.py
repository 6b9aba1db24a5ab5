"""Vision encoder over patches of pictures of any proportions: Pix2Struct's.

Reference: Lee et al., 2023, Pix2Struct: Screenshot parsing as pretraining for visual language
understanding.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.attention_layer import dense
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.t5 import T5Layer, rms_norm

_small_normal = nn.initializers.normal(0.02)


def sheet_size(patches: int, depth: int) -> tuple[int, int]:
  """Height and width of the bytes, three channels a pixel, of so many patches of `depth` numbers.

  A line has the patch's row, column and numbers as float32, and filler up to whole pixels.
  """
  return patches, 4 * math.ceil((2 + depth) / 3)


class PatchEncoder(nn.Module):
  """Patches of pictures of any proportions, through pre-norm layers.

  Attributes:
    width, layers, heads, hidden, activation, epsilon, dropout, attention_dropout: see `T5Layer`.
    patches: patches of a picture, the missing ones among them.
    depth: numbers of a patch.
    places: rows of the tables of rows and columns.
    dtype: of the computation.
  """

  width: int
  layers: int
  heads: int
  hidden: int
  patches: int
  depth: int
  places: int
  activation: str = "gelu_new"
  epsilon: float = 1e-6
  dropout: float = 0.0
  attention_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.patch_linear = dense(self.width, self.dtype, None, "embed")
    embed = lambda: nn.Embed(
        self.places,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(_small_normal, None, "embed"),
    )
    self.row_embed, self.column_embed = embed(), embed()
    self.blocks = [
        T5Layer(
            self.width,
            self.heads,
            self.hidden,
            activation=self.activation,
            epsilon=self.epsilon,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.dropout,
            dtype=self.dtype,
        )
        for _ in range(self.layers)
    ]
    self.norm_after = rms_norm(self.epsilon, self.dtype)
    self.drop = Dropout(self.dropout)

  @property
  def image_size(self) -> tuple[int, int]:
    """Height and width of what stands for a picture: see `sheet_size`."""
    return sheet_size(self.patches, self.depth)

  def __call__(
      self, patches: Float[Array, "B S P"], *, train: bool = False
  ) -> Float[Array, "B S D"]:
    """Features of patches: their row and column, from 1 on, and their numbers; 0 where none is."""
    at = patches[..., :2].astype(jnp.int32)
    x = self.patch_linear(patches[..., 2:].astype(self.dtype))
    x = self.drop(x + self.row_embed(at[..., 0]) + self.column_embed(at[..., 1]), train=train)
    seen = (at[..., 0] > 0)[:, None, None]
    x = x[:, None]  # one row a picture
    for block in self.blocks:
      x = block(x, seen, train=train)
    return self.norm_after(x)[:, 0]
