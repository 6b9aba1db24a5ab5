"""Pre-norm Transformer layers of words that may look at a picture.

Reference: Rush, 2018, The annotated transformer; Vaswani et al., 2017.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.norm import UnbiasedLayerNorm
from mmjax.modules.transformer import Attention, KeysValues

XAVIER = nn.initializers.xavier_uniform()


def dense(
    features: int, dtype: DTypeLike, name: str | None, *axes: str | None, bias: bool = True
) -> nn.Dense:
  """A dense layer as these networks start."""
  return nn.Dense(
      features,
      use_bias=bias,
      dtype=dtype,
      kernel_init=partitioned(XAVIER, *axes),
      bias_init=partitioned(nn.initializers.zeros, axes[-1]),
      name=name,
  )


class FeedForward(nn.Module):
  """linear2(dropout(relu(linear1 x)))."""

  width: int
  hidden: int
  dropout: float
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "*B D"], *, train: bool) -> Float[Array, "*B D"]:
    hidden = dense(self.hidden, self.dtype, "linear1", "embed", "mlp")(x)
    hidden = Dropout(self.dropout)(nn.relu(hidden), train=train)
    return dense(self.width, self.dtype, "linear2", "mlp", "embed")(hidden)


class Layer(nn.Module):
  """x += attention(norm x) once or twice, x += feed-forward(norm x).

  Attributes:
    crosses: it looks at a picture too: a layer of the decoder.
  """

  width: int
  heads: int
  hidden: int
  dropout: float
  dtype: DTypeLike
  crosses: bool

  def setup(self):
    attention = functools.partial(
        Attention, self.width, self.heads, self.dropout, self.dtype, XAVIER, XAVIER)  # fmt: skip
    norm = functools.partial(UnbiasedLayerNorm, dtype=self.dtype)
    self.self_attention, self.norm1 = attention(), norm()
    if self.crosses:
      self.cross_attention, self.norm2 = attention(), norm()
    self.feed_forward, self.norm3 = (
        FeedForward(self.width, self.hidden, self.dropout, self.dtype), norm())  # fmt: skip
    self.drop = Dropout(self.dropout)

  def __call__(
      self,
      x: Float[Array, "B R T D"],
      seen: Bool[Array, "*#B T T"],
      picture: KeysValues | None = None,
      valid: Bool[Array, "B S"] | None = None,
      *,
      train: bool,
  ) -> Float[Array, "B R T D"]:
    """All places at once; `seen` is True where one may look at another."""
    normed = self.norm1(x)
    words = self.self_attention.project(normed)
    return self._attend(x, normed, words, seen, picture, valid, train)

  def step(
      self,
      x: Float[Array, "B R 1 D"],
      position: Int[Array, ""],
      cache: KeysValues,
      picture: KeysValues,
      valid: Bool[Array, "B S"],
  ) -> tuple[Float[Array, "B R 1 D"], KeysValues]:
    """One word, at `position`; `cache` holds the words before it and gets this one."""
    normed = self.norm1(x)
    new = self.self_attention.project(normed)
    put = lambda old, n: jax.lax.dynamic_update_slice_in_dim(old, n.astype(old.dtype), position, 3)
    words = KeysValues(*map(put, cache, new))
    seen = (jnp.arange(words.keys.shape[3]) <= position)[None]
    return self._attend(x, normed, words, seen, picture, valid, False), words

  def _attend(self, x, normed, words, seen, picture, valid, train):
    drop = lambda y: self.drop(y, train=train)
    x = x + drop(self.self_attention.over_words(normed, words, seen, train=train))
    if self.crosses:
      x = x + drop(
          self.cross_attention.over_picture(self.norm2(x), picture, valid, train=train)[0]
      )
    return x + drop(self.feed_forward(self.norm3(x), train=train))
