"""Transformer decoder whose pictures are shared by several rows of words.

A picture has R rows: the two reading directions in training, the hypotheses of a beam in decoding.
Words are [B, R, T, D], the picture's memory stays [B, S, D]: attention to it never copies it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned

NEGATIVE = -1e9  # a mask of -inf makes NaN where a whole row is masked


class KeysValues(NamedTuple):
  """Projected keys and values, [..., heads, S, D / heads] each.

  Heads stand outside: a step of a search reads all of them, and would move them there first.
  """

  keys: Float[Array, "*B N S K"]
  values: Float[Array, "*B N S K"]


Refine = Callable[[Float[Array, "B N R T S"]], Float[Array, "B N R T S"]]


class Attention(nn.Module):
  """Multi-head attention, projections and softmax apart so that either may be cached.

  Attributes:
    width: channels of the input and of the output.
    heads: attention heads; divides `width`.
    dropout: of the attention weights.
    dtype: of the computation; the softmax is float32.
    project_init, out_init: of the kernels.
    biased: which of the projections "query", "key", "value" have a bias.
    out_bias: the last layer has one.
    scaled: scores are divided by the root of a head's channels.
  """

  width: int
  heads: int
  dropout: float
  dtype: DTypeLike
  # PyTorch draws the three projections as one [3 * width, width] matrix.
  project_init: Initializer = nn.initializers.variance_scaling(0.5, "fan_avg", "uniform")
  out_init: Initializer = fan_in_uniform
  biased: tuple[str, ...] = ("query", "key", "value")
  out_bias: bool = True
  scaled: bool = True

  def setup(self):
    def project(name):
      return nn.DenseGeneral(
          (self.heads, self.width // self.heads),
          use_bias=name in self.biased,
          dtype=self.dtype,
          kernel_init=partitioned(self.project_init, "embed", "heads", "kv"),
          bias_init=partitioned(nn.initializers.zeros, "heads", "kv"),
      )

    self.query, self.key, self.value = project("query"), project("key"), project("value")
    self.out = nn.DenseGeneral(
        self.width,
        axis=(-2, -1),
        use_bias=self.out_bias,
        dtype=self.dtype,
        kernel_init=partitioned(self.out_init, "heads", "kv", "embed"),
        bias_init=partitioned(nn.initializers.zeros, "embed"),
    )
    self.drop = Dropout(self.dropout)

  def project(self, x: Float[Array, "*B S D"]) -> KeysValues:
    """Keys and values of `x`."""
    return KeysValues(self.key(x).swapaxes(-2, -3), self.value(x).swapaxes(-2, -3))

  def over_words(
      self,
      x: Float[Array, "B R T D"],
      memory: KeysValues,
      seen: Bool[Array, "*#B T S"],
      *,
      train: bool,
      bias: Float[Array, "N T S"] | None = None,
      picture: KeysValues | None = None,
  ) -> Float[Array, "B R T D"]:
    """Attention of each row to its own words; `seen` [..., T, S] is True where t may look at s.

    `bias` is added to the scores. `picture` holds more keys and values, [B, N, P, K], which every
    row of a picture sees whole; they share the softmax with the words.
    """
    query = self._query(x)
    scores = jnp.einsum("brtnk,brnsk->brnts", query, memory.keys)
    if bias is not None:
      scores = scores + bias
    seen = seen[..., None, :, :]
    if picture is None:
      weights = self._softmax(scores, seen, train)
      return self.out(jnp.einsum("brnts,brnsk->brtnk", weights, memory.values))
    scores = jnp.concatenate([jnp.einsum("brtnk,bnpk->brntp", query, picture.keys), scores], -1)
    cells = picture.keys.shape[-2]
    seen = jnp.pad(seen, [(0, 0)] * (seen.ndim - 1) + [(cells, 0)], constant_values=True)
    weights = self._softmax(scores, seen, train)
    mixed = jnp.einsum("brntp,bnpk->brtnk", weights[..., :cells], picture.values)
    mixed += jnp.einsum("brnts,brnsk->brtnk", weights[..., cells:], memory.values)
    return self.out(mixed)

  def over_picture(
      self,
      x: Float[Array, "B R T D"],
      memory: KeysValues,
      valid: Bool[Array, "B S"],
      *,
      train: bool,
      refine: Refine | None = None,
  ) -> tuple[Float[Array, "B R T D"], Float[Array, "B N R T S"]]:
    """Attention of all rows to the one memory of their picture, and its weights.

    `refine` gets the weights and returns what is taken from the scores before a second softmax.
    """
    scores = jnp.einsum("brtnk,bnsk->bnrts", self._query(x), memory.keys).astype(jnp.float32)
    allowed = valid[:, None, None, None, :]
    weights = self._softmax(scores, allowed, train)
    if refine is not None:
      weights = self._softmax(scores - refine(weights), allowed, train)
    self.sow("intermediates", "picture", weights.mean(1))  # [B, R, T, S] for reports
    return self.out(jnp.einsum("bnrts,bnsk->brtnk", weights, memory.values)), weights

  def _query(self, x):
    query = self.query(x)
    return query * (self.width // self.heads) ** -0.5 if self.scaled else query

  def _softmax(self, scores, allowed, train):
    scores = jnp.where(allowed, scores.astype(jnp.float32), NEGATIVE)
    return self.drop(jax.nn.softmax(scores).astype(self.dtype), train=train)


class DecoderLayer(nn.Module):
  """Words to words, words to picture, feed-forward (Vaswani et al., 2017).

  Attributes:
    width, heads, hidden: channels, attention heads, channels of the feed-forward part.
    dropout: of attention weights, of hidden channels, and before every sum.
    dtype: of the computation.
    pre_norm: normalise what a part reads, not the sum after it; what leaves the last layer then
      wants a norm of its own.
  """

  width: int
  heads: int
  hidden: int
  dropout: float
  dtype: DTypeLike
  pre_norm: bool = False

  def setup(self):
    attention = lambda: Attention(self.width, self.heads, self.dropout, self.dtype)
    norm = lambda: nn.LayerNorm(
        epsilon=1e-5,
        dtype=self.dtype,
        scale_init=partitioned(nn.initializers.ones, "norm"),
        bias_init=partitioned(nn.initializers.zeros, "norm"),
    )
    self.self_attention, self.cross_attention = attention(), attention()
    self.norm1, self.norm2, self.norm3 = norm(), norm(), norm()
    self.linear1 = self._linear(self.hidden, self.width, "embed", "mlp")
    self.linear2 = self._linear(self.width, self.hidden, "mlp", "embed")
    self.drop = Dropout(self.dropout)

  def _linear(self, features, fan_in, *axes):
    return nn.Dense(
        features,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, *axes),
        bias_init=partitioned(bias_uniform(fan_in), axes[-1]),
    )

  def __call__(
      self,
      x: Float[Array, "B R T D"],
      seen: Bool[Array, "*#B T T"],
      picture: KeysValues,
      valid: Bool[Array, "B S"],
      *,
      train: bool,
  ) -> Float[Array, "B R T D"]:
    """All T words at once."""
    words = self.self_attention.project(self._read(self.norm1, x))
    return self.attend(x, words, seen, picture, valid, train=train)[0]

  def step(
      self,
      x: Float[Array, "B R 1 D"],
      position: Int[Array, ""],
      cache: KeysValues,
      picture: KeysValues,
      valid: Bool[Array, "B S"],
  ) -> tuple[Float[Array, "B R 1 D"], KeysValues]:
    """One word, at `position`; `cache` holds the words before it and gets this one."""
    words, seen = self.append(x, position, cache)
    return self.attend(x, words, seen, picture, valid, train=False)[0], words

  def append(
      self, x: Float[Array, "B R 1 D"], position: Int[Array, ""], cache: KeysValues
  ) -> tuple[KeysValues, Bool[Array, "1 L"]]:
    """`cache` with the word `x` at `position`, and which of its places are filled."""
    new = self.self_attention.project(self._read(self.norm1, x))
    words = KeysValues(
        *(
            jax.lax.dynamic_update_slice_in_dim(old, n.astype(old.dtype), position, 3)
            for old, n in zip(cache, new)
        )
    )
    return words, (jnp.arange(words.keys.shape[3]) <= position)[None]

  def attend(
      self,
      x: Float[Array, "B R T D"],
      words: KeysValues,
      seen: Bool[Array, "*#B T L"],
      picture: KeysValues,
      valid: Bool[Array, "B S"],
      *,
      train: bool,
      refine: Refine | None = None,
  ) -> tuple[Float[Array, "B R T D"], Float[Array, "B N R T S"]]:
    """The layer on `x`, whose words' keys and values are given; and its attention to the picture.

    `refine` changes that attention (see `Attention.over_picture`).
    """
    read, drop = self._read, lambda y: self.drop(y, train=train)
    seen_words = self.self_attention.over_words(read(self.norm1, x), words, seen, train=train)
    x = self._joined(self.norm1, x, drop(seen_words))
    seen_cells, weights = self.cross_attention.over_picture(
        read(self.norm2, x), picture, valid, train=train, refine=refine
    )
    x = self._joined(self.norm2, x, drop(seen_cells))
    hidden = drop(nn.relu(self.linear1(read(self.norm3, x))))
    return self._joined(self.norm3, x, drop(self.linear2(hidden))), weights

  def _read(self, norm, x):
    return norm(x) if self.pre_norm else x

  def _joined(self, norm, x, part):
    return x + part if self.pre_norm else norm(x + part)
