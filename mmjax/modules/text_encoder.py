"""The encoder of BART (Lewis et al., 2020), of vectors that stand for words."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.attention_layer import Layer, layer_norm
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned


class TextEncoder(nn.Module):
  """Post-norm layers in which all places see each other.

  Attributes:
    width, layers, heads, hidden, activation: see `Layer`.
    places: most vectors of a sequence.
    offset: rows of the position table before that of the first.
    dropout, attention_dropout, hidden_dropout: see `Layer`.
    dtype: of the computation.
  """

  width: int
  layers: int
  heads: int
  hidden: int
  places: int
  activation: str = "gelu"
  offset: int = 2
  dropout: float = 0.0
  attention_dropout: float = 0.0
  hidden_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.position_embed = nn.Embed(
        self.offset + self.places,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(0.02), None, "embed"),
    )
    self.norm_before = layer_norm(1e-5, self.dtype)
    self.blocks = [
        Layer(
            self.width,
            self.heads,
            self.hidden,
            activation=self.activation,
            norm_first=False,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.hidden_dropout,
            dtype=self.dtype,
        )
        for _ in range(self.layers)
    ]
    self.drop = Dropout(self.dropout)

  def __call__(self, x: Float[Array, "B T D"], *, train: bool = False) -> Float[Array, "B T D"]:
    """Features of a sequence.

    Raises:
      ValueError: it is longer than the model has places for.
    """
    length = x.shape[1]
    if length > self.places:
      raise ValueError(f"{length} vectors for an encoder that has places for {self.places}")
    x = x + self.position_embed(jnp.arange(length) + self.offset)
    x = self.drop(self.norm_before(x), train=train)[:, None]  # one row a sequence
    seen = jnp.ones((length, length), bool)
    for block in self.blocks:
      x = block(x, seen, train=train)
    return x[:, 0]
