"""A Transformer decoder that writes captions from the features of a convolutional network.

By default a decoder of today: norms before the parts and at the end, learned positions, one matrix
that reads and writes words. S. Kurtisi's "pytorch-image-captioning" (Flickr8k, GloVe vectors) is
encoder_name="resnet50", width=512, heads=16, layers=6, hidden=1024, dropout=0.5, pre_norm=False,
positions="steep", tied=False, given_words=100, causal=False.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules import encoders
from mmjax.modules.captioner import Captioner
from mmjax.modules.coverage import linear
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned
from mmjax.modules.position import steep_word_positions, word_positions
from mmjax.modules.transformer import DecoderLayer, KeysValues
from mmjax.text.vocabulary import PAD

Positions = Literal["learned", "sinusoidal", "steep"]

class Memory(NamedTuple):
  """An encoded picture, in the decoder's channels."""

  features: Float[Array, "B S D"]


class Shared(NamedTuple):
  """What all rows of a picture read while decoding: projected memory of each layer."""

  pictures: tuple[KeysValues, ...]
  valid: Bool[Array, "B S"]


class CaptionTransformer(Captioner):
  """Picture, or features of one -> words, left to right.

  Attributes:
    vocabulary_size: words, specials included.
    encoder_name: of `mmjax.modules.encoders`.
    encoder_drift: in training its batch norms use the statistics of the batch, and their running
      ones move, as published code lets them even where the encoder is frozen.
    width, heads, layers, hidden, dropout: of the decoder.
    pre_norm: norms before the parts of a layer and after the last one; off: after every sum.
    positions: "learned", "sinusoidal" (Vaswani et al.) or "steep" (see `steep_word_positions`).
    max_length: most words that learned positions are there for.
    tied: words are written with the matrix that reads them.
    given_words: channels of word vectors that are given (GloVe) and never trained: they stand in a
      collection `given` of their own, and reach the decoder through leaky layers, as does the
      picture; 0 trains words of `width`.
    causal: off, decoding is that of the reference: its mask is forgotten, so that earlier words see
      later ones, and all are computed anew for every word. Training is causal in any case.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  encoder_name: str = "efficientnet_lite0"
  encoder_drift: bool = False
  width: int = 512
  heads: int = 8
  layers: int = 6
  hidden: int = 2048
  dropout: float = 0.1
  pre_norm: bool = True
  positions: Positions = "learned"
  max_length: int = 64
  tied: bool = True
  given_words: int = 0
  causal: bool = True
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")
    if self.positions not in get_args(Positions):
      known = ", ".join(get_args(Positions))
      raise ValueError(f"positions is {self.positions!r}; there are: {known}")
    if self.given_words and self.tied:
      raise ValueError("given words cannot be tied: set tied=False, or given_words=0")

  def setup(self):
    width = self.width
    drift = {"batch_statistics": True} if self.encoder_drift else {}
    self.encoder = encoders.build(self.encoder_name, dtype=self.dtype, **drift)
    self.feature_proj = linear(width, self.encoder.features, self.dtype)
    if self.given_words:
      self.given = self.variable("given", "word_vectors", self._some_vectors)
      self.word_entry = linear(width, self.given_words, self.dtype)
      self.word_mix1, self.word_mix2 = (linear(width, width, self.dtype) for _ in range(2))
    else:
      self.feature_norm = self._norm()
      self.word_embed = nn.Embed(
          self.vocabulary_size, width, dtype=self.dtype, embedding_init=self._small("vocab")
      )
    if self.positions == "learned":
      shape = (self.max_length, width)
      self.learned_positions = self.param("positions", self._small(None), shape)
    self.decoder = [
        DecoderLayer(width, self.heads, self.hidden, self.dropout, self.dtype, self.pre_norm)
        for _ in range(self.layers)
    ]
    if self.pre_norm:
      self.final_norm = self._norm()
    if not self.tied:
      self.word_proj = nn.Dense(
          self.vocabulary_size,
          kernel_init=partitioned(fan_in_uniform, "embed", "vocab"),
          bias_init=partitioned(bias_uniform(width), "vocab"),
      )
    self.drop = Dropout(self.dropout)

  def encode_features(self, features: Float[Array, "B h w D"], *, train: bool = False) -> Memory:
    """Takes what the encoder once made of pictures."""
    b, h, w, d = features.shape
    x = self.feature_proj(features.reshape(b, h * w, d).astype(self.dtype))
    if self.given_words:
      return Memory(nn.leaky_relu(x))
    return Memory(self.drop(self.feature_norm(x), train=train))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another.

    Raises:
      ValueError: there are no positions for so many.
    """
    length = tokens.shape[-1]
    seen = jnp.tril(jnp.ones((length, length), bool)) & (tokens != PAD)[..., None, :]
    return self._write(self._run(tokens, seen, self._share(memory), train))

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[Shared, tuple[KeysValues, ...] | Int[Array, "B R L"]]:
    """What `step` needs: the part that rows share, and an empty cache of `length` words a row.

    The leaves of the cache are [B, rows, ...]: keys and values, or the words themselves
    where they see later ones.

    Raises:
      ValueError: there are no positions for so many.
    """
    self._table(length)
    batch = memory.features.shape[0]
    if not self.causal:
      return self._share(memory), jnp.full((batch, rows, length), PAD, jnp.int32)
    empty = jnp.zeros((batch, rows, self.heads, length, self.width // self.heads), self.dtype)
    return self._share(memory), (KeysValues(empty, empty),) * self.layers

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: tuple[KeysValues, ...] | Int[Array, "B R L"],
      shared: Shared,
  ) -> tuple[
      Float[Array, "B R V"], tuple[KeysValues, ...] | Int[Array, "B R L"]
  ]:
    """Logits of the word after `tokens`, which stand at `position` in their rows."""
    if not isinstance(cache, tuple):
      cache = cache.at[:, :, position].set(tokens)
      length = cache.shape[-1]
      seen = jnp.broadcast_to(jnp.arange(length) <= position, (length, length))
      return self._write(self._run(cache, seen, shared, False)[:, :, position]), cache
    x = self._embed(tokens[..., None], self._table(cache[0].keys.shape[3])[position][None], False)
    new = []
    for layer, before, picture in zip(self.decoder, cache, shared.pictures):
      x, now = layer.step(x, position, before, picture, shared.valid)
      new.append(now)
    return self._write(x[:, :, 0]), tuple(new)

  def _share(self, memory):
    pictures = tuple(la.cross_attention.project(memory.features) for la in self.decoder)
    return Shared(pictures, jnp.ones(memory.features.shape[:2], bool))

  def _run(self, tokens, seen, shared, train):
    x = self._embed(tokens, self._table(tokens.shape[-1]), train)
    for layer, picture in zip(self.decoder, shared.pictures):
      x = layer(x, seen, picture, shared.valid, train=train)
    return x

  def _embed(self, tokens, positions, train):
    if self.given_words:
      x = nn.leaky_relu(self.word_entry(jnp.asarray(self.given.value, self.dtype)[tokens]))
      x = nn.leaky_relu(x + self.word_mix2(nn.leaky_relu(self.word_mix1(x))))
    else:
      x = self.word_embed(tokens)
    return self.drop(x + positions.astype(self.dtype), train=train)

  def _table(self, length):
    if self.positions != "learned":
      table = word_positions if self.positions == "sinusoidal" else steep_word_positions
      return table(length, self.width)
    if length > self.max_length:
      raise ValueError(
          f"{length} words, but learned positions for {self.max_length}; raise max_length, or cut"
          " texts and decode fewer"
      )
    return self.learned_positions[:length]

  def _write(self, x):
    if self.pre_norm:
      x = self.final_norm(x)
    x = x.astype(jnp.float32)
    return x @ self.word_embed.embedding.T if self.tied else self.word_proj(x)

  def _norm(self):
    return nn.LayerNorm(
        epsilon=1e-5,
        dtype=self.dtype,
        scale_init=partitioned(nn.initializers.ones, "norm"),
        bias_init=partitioned(nn.initializers.zeros, "norm"),
    )

  def _small(self, axis):
    return partitioned(nn.initializers.normal(0.02), axis, "embed")

  def _some_vectors(self):
    shape = (self.vocabulary_size, self.given_words)
    return jax.random.normal(self.make_rng("params"), shape).at[PAD].set(0)


Model = CaptionTransformer
