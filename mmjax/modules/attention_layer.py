"""The Transformer layer of published encoders and decoders; what they differ in are its options."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules.activation import activation
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.transformer import Attention, KeysValues

_small_normal = nn.initializers.normal(0.02)


def layer_norm(epsilon: float, dtype: DTypeLike) -> nn.LayerNorm:
  """Layer normalisation; statistics are float32 and exact for features far from zero."""
  return nn.LayerNorm(
      epsilon=epsilon,
      dtype=dtype,
      use_fast_variance=False,
      scale_init=partitioned(nn.initializers.ones, "norm"),
      bias_init=partitioned(nn.initializers.zeros, "norm"),
  )


def dense(features: int, dtype: DTypeLike, *axes: str | None, bias: bool = True) -> nn.Dense:
  """A linear layer whose kernel has the logical `axes`."""
  return nn.Dense(
      features,
      use_bias=bias,
      dtype=dtype,
      kernel_init=partitioned(_small_normal, *axes),
      bias_init=partitioned(nn.initializers.zeros, axes[-1]),
  )


class Layer(nn.Module):
  """Self-attention, attention to a picture where there is one, feed-forward.

  Attributes:
    width: channels.
    heads: attention heads; divides `width`.
    hidden: channels of the feed-forward part.
    activation: of the feed-forward part, by name.
    norm_first: norms stand before the parts, not behind the sums.
    epsilon: of the norms.
    cross: has attention to a picture.
    biased: see `Attention`; of the self-attention.
    scaled: the two parts' outputs are multiplied by learned channels (BEiT).
    dropout: of the parts' outputs.
    attention_dropout: of the attention weights.
    hidden_dropout: of the feed-forward part's inner channels.
    dtype: of the computation.
  """

  width: int
  heads: int
  hidden: int
  activation: str = "gelu"
  norm_first: bool = True
  epsilon: float = 1e-5
  cross: bool = False
  biased: tuple[str, ...] = ("query", "key", "value")
  scaled: bool = False
  dropout: float = 0.0
  attention_dropout: float = 0.0
  hidden_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    attention = lambda biased: Attention(
        self.width, self.heads, self.attention_dropout, self.dtype, biased=biased)  # fmt: skip
    self.self_attention = attention(self.biased)
    self.norm1, self.norm3 = (layer_norm(self.epsilon, self.dtype) for _ in range(2))
    if self.cross:
      self.cross_attention = attention(("query", "key", "value"))
      self.norm2 = layer_norm(self.epsilon, self.dtype)
    self.linear1 = dense(self.hidden, self.dtype, "embed", "mlp")
    self.linear2 = dense(self.width, self.dtype, "mlp", "embed")
    if self.scaled:
      tenth = partitioned(nn.initializers.constant(0.1), "embed")
      self.scale1 = self.param("scale1", tenth, (self.width,))
      self.scale3 = self.param("scale3", tenth, (self.width,))
    self.drop, self.drop_hidden = Dropout(self.dropout), Dropout(self.hidden_dropout)

  def __call__(
      self,
      x: Float[Array, "B R T D"],
      seen: Bool[Array, "*#B T T"],
      picture: KeysValues | None = None,
      valid: Bool[Array, "B S"] | None = None,
      *,
      train: bool,
      bias: Float[Array, "N T T"] | None = None,
  ) -> Float[Array, "B R T D"]:
    """All T places of every row at once.

    Args:
      x: [B, R, T, D]; the rows of a sample share its picture.
      seen: [..., T, T] True where a place may look at another.
      picture: [B, N, S, K] keys and values: of the cross-attention, or, in a layer without one,
        more places that the self-attention sees.
      valid: [B, S] cells of the picture that the cross-attention may see.
      train: drop out.
      bias: [N, T, T] added to the scores of the self-attention.

    Returns:
      [B, R, T, D].
    """

    def attend(y):
      words = self.self_attention.project(y)
      return self._words(y, words, seen, picture, train, bias)

    return self.around(attend, x, picture, valid, train=train)

  def step(
      self,
      x: Float[Array, "B R 1 D"],
      position: Int[Array, ""],
      cache: KeysValues,
      picture: KeysValues,
      valid: Bool[Array, "B S"],
      *,
      bias: Float[Array, "N 1 T"] | None = None,
  ) -> tuple[Float[Array, "B R 1 D"], KeysValues]:
    """One word, at `position`; `cache` holds the words before it and gets this one.

    `bias` is added to the scores of the self-attention.
    """
    grown = []

    def attend(y):
      put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(
          old, new.astype(old.dtype), position, 3
      )
      words = KeysValues(*map(put, cache, self.self_attention.project(y)))
      grown.append(words)
      seen = (jnp.arange(words.keys.shape[3]) <= position)[None]
      return self._words(y, words, seen, picture, False, bias)

    return self.around(attend, x, picture, valid, train=False), grown[0]

  def around(
      self,
      attend: Callable[[Float[Array, "B R T D"]], Float[Array, "B R T D"]],
      x: Float[Array, "B R T D"],
      picture: KeysValues | None = None,
      valid: Bool[Array, "B S"] | None = None,
      *,
      train: bool,
  ) -> Float[Array, "B R T D"]:
    """The layer, with `attend` as its self-attention."""
    x = self._add(attend, x, self.norm1, self.scale1 if self.scaled else None, train)
    if self.cross:
      look = lambda y: self.cross_attention.over_picture(y, picture, valid, train=train)[0]
      x = self._add(look, x, self.norm2, None, train)
    scale = self.scale3 if self.scaled else None
    return self._add(lambda y: self._feed_forward(y, train), x, self.norm3, scale, train)

  def _words(self, y, words, seen, picture, train, bias):
    before = None if self.cross else picture
    return self.self_attention.over_words(y, words, seen, train=train, bias=bias, picture=before)

  def _feed_forward(self, y, train):
    hidden = activation(self.activation)(self.linear1(y))
    return self.linear2(self.drop_hidden(hidden, train=train))

  def _add(self, part, x, norm, scale, train):
    y = self.drop(part(norm(x) if self.norm_first else x), train=train)
    if scale is not None:
      y = y * scale.astype(y.dtype)
    return x + y if self.norm_first else norm(x + y)
