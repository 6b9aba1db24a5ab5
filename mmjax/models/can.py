"""CAN: a recurrent decoder with coverage that is told how often each symbol occurs.

Reference: Li et al., "When Counting Meets HMER: Counting-Aware Network for Handwritten Mathematical
Expression Recognition", ECCV 2022 (its CAN-DWAP). With `mask_features=False` the arithmetic is the
published one.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules.coverage import (
  CoverageAttention,
  Projected,
  context,
  linear,
  masked_mean,
)
from mmjax.modules.densenet import DenseNet, zero_padding
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm
from mmjax.modules.position import cell_positions
from mmjax.modules.recurrent import GRU


class Memory(NamedTuple):
  """An encoded picture, and what the two counters count in it."""

  features: Float[Array, "B h w C"]
  valid: Bool[Array, "B h w"]
  counts: Float[Array, "B 2 V"]


class Cache(NamedTuple):
  """State of a hypothesis, and the sum of its attention."""

  h: Float[Array, "B R H"]
  past: Float[Array, "B R h w"]


class Counter(nn.Module):
  """How often each word occurs in a picture: conv -> BN -> channel attention -> maps of words.

  Attributes:
    words: size of the vocabulary.
    kernel: side of the convolution.
    width, squeezed: channels of the maps, and in the middle of the channel attention.
    mask_features: leave padding out of the convolution, the statistics and the channel attention,
      which in the published form sees all cells.
    dtype: of the computation; counts are float32.
  """

  words: int
  kernel: int
  width: int
  squeezed: int
  mask_features: bool
  dtype: DTypeLike

  @nn.compact
  def __call__(
      self, features: Float[Array, "B h w C"], valid: Bool[Array, "B h w"], *, train: bool
  ) -> Float[Array, "B V"]:
    mask = valid if self.mask_features else None
    x = nn.Conv(
        self.width,
        (self.kernel, self.kernel),
        padding=self.kernel // 2,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name="conv",
    )(zero_padding(features, mask))
    x = BatchNorm(dtype=self.dtype, name="bn")(x, mask, train=train)
    seen = jnp.ones_like(valid) if mask is None else mask
    squeezed = linear(self.squeezed, self.width, self.dtype, name="squeeze")
    excited = linear(self.width, self.squeezed, self.dtype, name="excite")
    x = x * nn.sigmoid(excited(nn.relu(squeezed(masked_mean(x, seen)))))[:, None, None]
    maps = nn.Dense(
        self.words,
        use_bias=False,
        kernel_init=partitioned(fan_in_uniform, None, "vocab"),
        name="maps",
    )(x.astype(jnp.float32))
    return zero_padding(nn.sigmoid(maps), valid).sum((1, 2))


class CAN(nn.Module):
  """Picture of an expression -> LaTeX tokens, left to right.

  Attributes:
    vocabulary_size: words, specials included (111 in the paper, which has no padding word).
    hidden, embedding: channels of the state and of words.
    attention, coverage_channels: channels of the attention and of its coverage maps.
    counting: channels of the counters.
    dropout: before the last layer.
    growth, encoder_layers, encoder_dropout: of the DenseNet.
    mask_features: make a picture's features independent of its canvas (see `DenseNet`).
    remat: recompute dense layers and decoder steps in the backward pass.
    dtype: of the computation; parameters, norms' statistics, counts and logits are float32.
  """

  vocabulary_size: int
  hidden: int = 256
  embedding: int = 256
  attention: int = 512
  coverage_channels: int = 512
  counting: int = 512
  dropout: float = 0.5
  growth: int = 24
  encoder_layers: tuple[int, ...] = (16, 16, 16)
  encoder_dropout: float = 0.2
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.encoder = DenseNet(
        self.growth,
        tuple(self.encoder_layers),
        self.encoder_dropout,
        stem_norm=False,
        final_norm=False,
        mask_features=self.mask_features,
        remat=self.remat,
        dtype=self.dtype,
    )
    channels = self.encoder.channels
    self.counters = [
        Counter(self.vocabulary_size, k, self.counting, 32, self.mask_features, self.dtype)
        for k in (3, 5)
    ]
    self.start = linear(self.hidden, channels, self.dtype)
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.embedding,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(1.0), "vocab", "embed"),
    )
    self.gru = GRU(self.hidden, dtype=self.dtype)
    self.attend = CoverageAttention(
        self.hidden, channels, self.attention, self.coverage_channels, dtype=self.dtype
    )
    self.from_state = linear(self.embedding, self.hidden, self.dtype)
    self.from_word = linear(self.embedding, self.embedding, self.dtype)
    self.from_picture = linear(self.embedding, channels, self.dtype)
    self.from_counts = linear(self.embedding, self.vocabulary_size, self.dtype)
    self.word_proj = linear(self.vocabulary_size, self.embedding, jnp.float32)
    self.drop = Dropout(self.dropout)

  def __call__(
      self,
      images: Real[Array, "B H W C"],
      valid: Bool[Array, "B H W"],
      tokens: Int[Array, "B R T"],
      *,
      train: bool = False,
  ) -> Float[Array, "B R T V"]:
    """Logits of R rows of words for each picture, teacher forced."""
    return self.decode(tokens, self.encode(images, valid, train=train), train=train)

  def encode(
      self, images: Real[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Memory:
    """Encodes pictures of white ink on black, 0..255."""
    features, valid = self.encoder(images.astype(self.dtype) / 255, valid, train=train)
    counts = [counter(features, valid, train=train) for counter in self.counters]
    return Memory(features, valid, jnp.stack(counts, 1))

  def counting_loss(self, memory: Memory, counts: Float[Array, "B V"]) -> Float[Array, "B"]:
    """Smooth L1 of both counters and of their mean against the true `counts`, averaged over V."""
    ours = jnp.concatenate([memory.counts, memory.counts.mean(1, keepdims=True)], 1)
    far = jnp.abs(ours - counts[:, None])
    return jnp.where(far < 1, far**2 / 2, far - 0.5).mean(-1).sum(-1)

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    words = self.word_embed(tokens)
    picture = self._project(memory)

    def advance(model, cache, inputs):
      cache, weights = model._advance(inputs, cache, picture)
      return cache, (cache.h, weights)

    steps = nn.scan(
        nn.remat(advance) if self.remat else advance,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=2,
        out_axes=2,
    )
    _, (states, weights) = steps(self, self._start(memory, tokens.shape[1]), self.gru.read(words))
    self.sow("intermediates", "picture", weights.reshape(*tokens.shape, -1))
    contexts = jnp.einsum(
        "brthw,bhwc->brtc", weights.astype(memory.features.dtype), memory.features
    )
    return self._read_out(states, words, contexts, memory.counts[:, :, None, None], train)

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[tuple[Memory, Projected], Cache]:
    """What `step` needs: the part that rows share, and the rows' states; of any length."""
    return (memory, self._project(memory)), self._start(memory, rows)

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: Cache,
      shared: tuple[Memory, Projected],
  ) -> tuple[Float[Array, "B R V"], Cache]:
    """Logits of the word after `tokens`."""
    memory, picture = shared
    words = self.word_embed(tokens)
    cache, weights = self._advance(self.gru.read(words), cache, picture)
    found = context(weights, memory.features)
    return self._read_out(cache.h, words, found, memory.counts[:, :, None], False), cache

  def _project(self, memory):
    picture = self.attend.project(memory.features, memory.valid)
    places = cell_positions(memory.valid, self.attention, paired=True, rows_first=True)
    return picture._replace(features=picture.features + places.astype(self.dtype))

  def _start(self, memory, rows):
    h = nn.tanh(self.start(masked_mean(memory.features, memory.valid)))
    batch, *grid = memory.valid.shape
    past = jnp.zeros((batch, rows, *grid), jnp.float32)
    return Cache(jnp.broadcast_to(h[:, None], (batch, rows, self.hidden)), past)

  def _advance(self, inputs, cache, picture):
    h = self.gru(inputs, cache.h)
    weights = self.attend(h, cache.past, picture)
    return Cache(h, cache.past + weights), weights

  def _read_out(self, h, words, found, counts, train):
    counts = counts.mean(1).astype(self.dtype)
    x = self.from_state(h) + self.from_word(words) + self.from_picture(found)
    x = self.drop(x + self.from_counts(counts), train=train)
    return self.word_proj(x.astype(jnp.float32))


Model = CAN
