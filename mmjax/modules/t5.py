"""Layers and decoder of T5, as Pix2Struct has them.

References: Raffel et al., 2020, Exploring the limits of transfer learning with a unified
text-to-text transformer; Shazeer, 2020, GLU variants improve transformer.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Int

from mmjax.modules.activation import activation
from mmjax.modules.attention_layer import Layer, dense
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.text_decoder import TextDecoder
from mmjax.modules.transformer import Attention

_small_normal = nn.initializers.normal(0.02)


def rms_norm(epsilon: float, dtype: DTypeLike) -> nn.RMSNorm:
  """Division by the root of the mean square; statistics are float32."""
  return nn.RMSNorm(
      epsilon=epsilon, dtype=dtype, scale_init=partitioned(nn.initializers.ones, "norm")
  )


class T5Layer(Layer):
  """Pre-norm layer without biases: scores are not scaled, the feed-forward part has a gate.

  Attributes as of `Layer`; `biased` and `norm_first` do nothing.
  """

  def setup(self):
    attention = lambda: Attention(
        self.width, self.heads, self.attention_dropout, self.dtype, biased=(), out_bias=False,
        scaled=False)  # fmt: skip
    self.self_attention = attention()
    self.norm1, self.norm3 = (rms_norm(self.epsilon, self.dtype) for _ in range(2))
    if self.cross:
      self.cross_attention = attention()
      self.norm2 = rms_norm(self.epsilon, self.dtype)
    self.linear1 = dense(self.hidden, self.dtype, "embed", "mlp", bias=False)
    self.gate = dense(self.hidden, self.dtype, "embed", "mlp", bias=False)
    self.linear2 = dense(self.width, self.dtype, "mlp", "embed", bias=False)
    self.drop, self.drop_hidden = Dropout(self.dropout), Dropout(self.hidden_dropout)

  def _feed_forward(self, y, train):
    hidden = activation(self.activation)(self.gate(y)) * self.linear1(y)
    return self.linear2(self.drop_hidden(hidden, train=train))


class T5Decoder(TextDecoder):
  """Words before a place -> logits of the word there, by their distances; a picture is attended to.

  Of `TextDecoder`'s attributes those of positions, kinds, norms and the head, but `tied`, do
  nothing. There is no dropout between the last norm and the logits.

  Attributes:
    buckets: rows of the table of distances; see `distance_rows`.
    farthest: distance from which on all have the last row.
  """

  buckets: int = 32
  farthest: int = 128

  def setup(self):
    self.words = nn.Embed(
        self.vocabulary_size,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(_small_normal, "vocab", "embed"),
    )
    self.distance_table = self.param(
        "distance_table", partitioned(_small_normal, None, "heads"), (self.buckets, self.heads)
    )
    self.blocks = [
        T5Layer(
            self.width,
            self.heads,
            self.hidden,
            activation=self.activation,
            epsilon=self.epsilon,
            cross=True,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.hidden_dropout,
            dtype=self.dtype,
        )
        for _ in range(self.layers)
    ]
    self.norm_after = rms_norm(self.epsilon, self.dtype)
    if not self.tied:
      self.word_proj = dense(self.vocabulary_size, jnp.float32, "embed", "vocab", bias=False)
    self.drop = Dropout(self.dropout)

  def _embed(self, tokens, count, train):
    del count
    return self.drop(self.words(tokens), train=train)

  def _bias(self, at, length):
    back = jnp.clip(at[:, None] - jnp.arange(length), 0, self.farthest)
    rows = jnp.asarray(distance_rows(self.buckets, self.farthest))[back]
    return self.distance_table[rows].transpose(2, 0, 1)

  def _logits(self, x):
    x = self.norm_after(x).astype(jnp.float32)
    return x @ self.words.embedding.astype(jnp.float32).T if self.tied else self.word_proj(x)


def distance_rows(count: int, farthest: int) -> Int[np.ndarray, "F"]:
  """Rows, of a table of `count`, for words that stand 0 to `farthest` places before.

  Half of the rows are for a single distance each; the others' distances grow like powers.
  """
  single = count // 2
  back = np.arange(farthest + 1)
  share = np.log(np.maximum(back, 1).astype(np.float32) / single) / math.log(farthest / single)
  large = single + (share * (count - single)).astype(int)
  return np.where(back < single, back, np.minimum(large, count - 1))
