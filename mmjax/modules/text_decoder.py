"""Decoders of published captioners: GPT-2, BERT, RoBERTa, BART, MBart, TrOCR, GIT.

References: Radford et al., 2019 (GPT-2); Devlin et al., 2019 (BERT); Lewis et al., 2020 (BART);
Li et al., 2023 (TrOCR); Wang et al., 2022 (GIT).
"""

import math
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules.activation import activation
from mmjax.modules.attention_layer import Layer, dense, layer_norm
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.transformer import KeysValues

_small_normal = nn.initializers.normal(0.02)


class TextDecoder(nn.Module):
  """Words before a place -> logits of the word there; a picture is attended to.

  Attributes:
    vocabulary_size: words.
    width, layers, heads, hidden, activation, norm_first, epsilon: see `Layer`.
    places: most words of a text.
    offset: rows of the position table before that of the first word.
    position: a learned table, or sinusoids.
    skips_padding: only words other than `padding` take a place; padding takes row `offset` - 1.
    padding: number of the padding word.
    embedding_scale: words' vectors are multiplied by it.
    kinds: rows of a table of token types, of which every word takes the first; 0 for none.
    norm_in, norm_out: norms behind the embedding and behind the last layer.
    cross: layers have attention to the picture; else the picture's cells stand before the words in
      one sequence, and see each other and no word (GIT).
    tied: logits are products with the words' vectors, else of a matrix of their own.
    transform: activation of a linear layer and a norm before the logits; None for neither.
    logit_bias: a bias for each word.
    dropout, attention_dropout, hidden_dropout: see `Layer`.
    dtype: of the computation; logits are float32.
  """

  vocabulary_size: int
  width: int
  layers: int
  heads: int
  hidden: int
  places: int
  activation: str = "gelu"
  norm_first: bool = False
  epsilon: float = 1e-5
  offset: int = 0
  position: Literal["learned", "sinusoid"] = "learned"
  skips_padding: bool = False
  padding: int = 0
  embedding_scale: float = 1.0
  kinds: int = 0
  norm_in: bool = True
  norm_out: bool = False
  cross: bool = True
  tied: bool = True
  transform: str | None = None
  logit_bias: bool = False
  dropout: float = 0.0
  attention_dropout: float = 0.0
  hidden_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    embed = lambda rows: nn.Embed(
        rows,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(_small_normal, "vocab", "embed"),
    )
    self.words = embed(self.vocabulary_size)
    if self.position == "learned":
      self.position_embed = embed(self.offset + self.places)
    if self.kinds:
      self.kind_embed = embed(self.kinds)
    norm = lambda: layer_norm(self.epsilon, self.dtype)
    if self.norm_in:
      self.norm_before = norm()
    self.blocks = [
        Layer(
            self.width,
            self.heads,
            self.hidden,
            activation=self.activation,
            norm_first=self.norm_first,
            epsilon=self.epsilon,
            cross=self.cross,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.hidden_dropout,
            dtype=self.dtype,
        )
        for _ in range(self.layers)
    ]
    if self.norm_out:
      self.norm_after = norm()
    if self.transform:
      self.transform_linear = dense(self.width, self.dtype, "embed", None)
      self.transform_norm = norm()
    if not self.tied:
      self.word_proj = dense(self.vocabulary_size, jnp.float32, "embed", "vocab", bias=False)
    if self.logit_bias:
      self.word_bias = self.param(
          "word_bias", partitioned(nn.initializers.zeros, "vocab"), (self.vocabulary_size,)
      )
    self.drop = Dropout(self.dropout)

  def project(self, features: Float[Array, "B S E"], *, train: bool) -> tuple[KeysValues, ...]:
    """The picture's keys and values in each layer."""
    if self.cross:
      return tuple(block.cross_attention.project(features) for block in self.blocks)
    return self.through(features, train=train)[0]

  def through(
      self, cells: Float[Array, "B S D"], *, train: bool
  ) -> tuple[tuple[KeysValues, ...], Float[Array, "B S V"]]:
    """Cells as the first part of the sequence: keys and values in each layer, and logits."""
    x = cells.astype(self.dtype)[:, None]  # one row a picture
    everything = jnp.ones((x.shape[2], x.shape[2]), bool)
    pictures = []
    for block in self.blocks:
      y = block.norm1(x) if block.norm_first else x
      keys, values = block.self_attention.project(y)
      pictures.append(KeysValues(keys[:, 0], values[:, 0]))
      x = block(x, everything, train=train)
    return tuple(pictures), self._logits(x)[:, 0]

  def __call__(
      self,
      tokens: Int[Array, "B R T"],
      pictures: tuple[KeysValues, ...],
      valid: Bool[Array, "B S"],
      *,
      train: bool = False,
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another.

    Raises:
      ValueError: more tokens than the model has places for.
    """
    length = tokens.shape[-1]
    if length > self.places:
      raise ValueError(f"{length} tokens for a decoder that has places for {self.places}")
    count = jnp.broadcast_to(jnp.arange(length), tokens.shape)
    if self.skips_padding:
      count = jnp.cumsum(tokens != self.padding, -1) - 1
    x = self._embed(tokens, count, train)
    seen = jnp.tril(jnp.ones((length, length), bool))
    bias = self._bias(jnp.arange(length), length)
    for block, picture in zip(self.blocks, pictures):
      x = block(x, seen, picture, valid, train=train, bias=bias)
    return self._logits(x)

  def empty(self, batch: int, rows: int, length: int) -> tuple[KeysValues, ...]:
    """A cache of `length` words a row, [B, R, N, length, K] in each layer.

    Raises:
      ValueError: more than the model has places for.
    """
    if length > self.places:
      raise ValueError(f"{length} tokens for a decoder that has places for {self.places}")
    shape = (batch, rows, self.heads, length, self.width // self.heads)
    nothing = jnp.zeros(shape, self.dtype)
    return (KeysValues(nothing, nothing),) * self.layers

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: tuple[KeysValues, ...],
      pictures: tuple[KeysValues, ...],
      valid: Bool[Array, "B S"],
  ) -> tuple[Float[Array, "B R V"], tuple[KeysValues, ...]]:
    """Logits of the word after `tokens`, which stand at `position` in their rows."""
    tokens = tokens[..., None]
    x = self._embed(tokens, jnp.broadcast_to(position, tokens.shape), False)
    bias = self._bias(position[None], cache[0].keys.shape[3])
    new = []
    for block, words, picture in zip(self.blocks, cache, pictures):
      x, words = block.step(x, position, words, picture, valid, bias=bias)
      new.append(words)
    return self._logits(x)[:, :, 0], tuple(new)

  def _bias(self, at, length):
    """[N, T, length] added to the scores of the words at the places `at` [T]; None for nothing."""
    del at, length

  def _embed(self, tokens, count, train):
    x = self.words(tokens) * self.embedding_scale
    at = count + self.offset
    if self.skips_padding:
      at = jnp.where(tokens == self.padding, self.offset - 1, at)
    if self.position == "learned":
      x = x + self.position_embed(at)
    else:
      x = x + self._sinusoids(at).astype(x.dtype)
    if self.kinds:
      x = x + self.kind_embed(jnp.zeros_like(tokens))
    if self.norm_in:
      x = self.norm_before(x)
    return self.drop(x, train=train)

  def _sinusoids(self, at):
    """All sines, then all cosines; padding has zeros."""
    half = self.width // 2
    rate = jnp.exp(jnp.arange(half) * (-math.log(10000) / (half - 1)))
    angle = at[..., None] * rate
    table = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)
    return jnp.where((at == self.offset - 1)[..., None], 0, table)

  def _logits(self, x):
    if self.norm_out:
      x = self.norm_after(x)
    if self.transform:
      x = self.transform_norm(activation(self.transform)(self.transform_linear(x)))
    x = x.astype(jnp.float32)
    logits = x @ self.words.embedding.astype(jnp.float32).T if self.tied else self.word_proj(x)
    return logits + self.word_bias if self.logit_bias else logits
