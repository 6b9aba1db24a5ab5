"""WAP: a convolutional encoder and a conditional GRU that attends with coverage.

References: Zhang et al., "Watch, attend and parse", Pattern Recognition 2017 (VGG), and
"Multi-scale attention with dense encoder", ICPR 2018 (DenseNet, without its second scale). Dropout
is inverted here, and biases that only ever add up are one.
"""

from typing import Literal, NamedTuple

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
from mmjax.modules.densenet import DenseNet, max_pool, zero_padding
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm
from mmjax.modules.recurrent import GRU
from mmjax.text.vocabulary import SOS

EPSILON = 1e-4  # of batch norms


class Memory(NamedTuple):
  """An encoded picture, as a map of cells."""

  features: Float[Array, "B h w C"]
  valid: Bool[Array, "B h w"]


class Cache(NamedTuple):
  """State of a hypothesis, and the sum of its attention."""

  h: Float[Array, "B R H"]
  past: Float[Array, "B R h w"]


class VGG(nn.Module):
  """Blocks of four times conv 3x3 -> BN -> ReLU, a 2x2 maximum after each.

  Attributes:
    block_channels: of each block (32, 64, 64, 128 as published).
    dropout: after the first three convolutions of the last block.
    mask_features, dtype: as in `DenseNet`.
  """

  block_channels: tuple[int, ...] = (32, 64, 64, 128)
  dropout: float = 0.2
  mask_features: bool = False
  dtype: DTypeLike = jnp.float32

  @property
  def channels(self) -> int:
    """Of the features."""
    return self.block_channels[-1]

  @nn.compact
  def __call__(
      self, images: Float[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool
  ) -> tuple[Float[Array, "B h w D"], Bool[Array, "B h w"]]:
    """Features at a stride of 16 for four blocks, and which cells are real."""
    x = images.astype(self.dtype)
    for block, channels in enumerate(self.block_channels):
      mask = valid if self.mask_features else None
      for i in range(4):
        x = nn.Conv(
            channels,
            (3, 3),
            padding=1,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
            name=f"conv{block + 1}_{i}",
        )(zero_padding(x, mask))
        norm = BatchNorm(EPSILON, dtype=self.dtype, name=f"norm{block + 1}_{i}")
        x = nn.relu(norm(x, mask, train=train))
        if block == len(self.block_channels) - 1 and i < 3:
          x = Dropout(self.dropout)(x, train=train)
      x = max_pool(zero_padding(x, mask))
      valid = valid[:, ::2, ::2]
    return x, valid


class WAP(nn.Module):
  """Picture of an expression -> LaTeX tokens, left to right.

  Attributes:
    vocabulary_size: words, specials included.
    encoder_name: "densenet" (2018) or "vgg" (2017).
    hidden, embedding: channels of states and of words.
    attention, coverage_channels, kernel: channels of the attention, of its coverage maps, and the
      side of their convolution (512, 512, 11 with the DenseNet, 128, 128, 5 with the VGG).
    dropout: before the last layer.
    growth, encoder_layers: of the DenseNet.
    encoder_dropout: of either.
    mask_features: make a picture's features independent of its canvas (see `DenseNet`).
    remat: recompute dense layers and decoder steps in the backward pass.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  encoder_name: Literal["densenet", "vgg"] = "densenet"
  hidden: int = 256
  embedding: int = 256
  attention: int = 512
  coverage_channels: int = 512
  kernel: int = 11
  dropout: float = 0.2
  growth: int = 24
  encoder_layers: tuple[int, ...] = (16, 16, 16)
  encoder_dropout: float = 0.2
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    if self.encoder_name not in ("densenet", "vgg"):
      raise ValueError(f"encoder_name is {self.encoder_name!r}; there are: densenet, vgg")

  def setup(self):
    options = dict(mask_features=self.mask_features, dtype=self.dtype)
    if self.encoder_name == "vgg":
      self.encoder = VGG(dropout=self.encoder_dropout, **options)
    else:
      self.encoder = DenseNet(
          self.growth,
          tuple(self.encoder_layers),
          self.encoder_dropout,
          final_norm=False,
          epsilon=EPSILON,
          remat=self.remat,
          **options,
      )
    channels = self.encoder.channels
    self.start = linear(self.hidden, channels, self.dtype)
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.embedding,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(0.01), "vocab", "embed"),
    )
    # Its candidate is tanh(W x + b + r (U h)), that of the second tanh(W c + r (U h + b)).
    self.word_gru = GRU(self.hidden, hidden_bias=False, dtype=self.dtype)
    self.picture_gru = GRU(self.hidden, input_bias=False, dtype=self.dtype)
    self.attend = CoverageAttention(
        self.hidden,
        channels,
        self.attention,
        self.coverage_channels,
        self.kernel,
        hidden_bias=False,
        dtype=self.dtype,
    )
    self.from_state = linear(self.embedding, self.hidden, self.dtype)
    self.from_word = linear(self.embedding, self.embedding, self.dtype)
    self.from_picture = linear(self.embedding, channels, self.dtype)
    self.word_proj = linear(self.vocabulary_size, self.embedding // 2, jnp.float32)
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
    return Memory(*self.encoder(images.astype(self.dtype) / 255, valid, train=train))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    words = self._embed(tokens)
    picture = self.attend.project(memory.features, memory.valid)

    def advance(model, cache, inputs):
      cache, weights, found = model._advance(inputs, cache, picture, memory.features)
      return cache, (cache.h, weights, found)

    steps = nn.scan(
        nn.remat(advance) if self.remat else advance,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=2,
        out_axes=2,
    )
    start = self._start(memory, tokens.shape[1])
    _, (states, weights, found) = steps(self, start, self.word_gru.read(words))
    self.sow("intermediates", "picture", weights.reshape(*tokens.shape, -1))
    return self._read_out(states, words, found, train)

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[tuple[Memory, Projected], Cache]:
    """What `step` needs: the part that rows share, and the rows' states; of any length."""
    picture = self.attend.project(memory.features, memory.valid)
    return (memory, picture), self._start(memory, rows)

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: Cache,
      shared: tuple[Memory, Projected],
  ) -> tuple[Float[Array, "B R V"], Cache]:
    """Logits of the word after `tokens`."""
    memory, picture = shared
    words = self._embed(tokens)
    inputs = self.word_gru.read(words)
    cache, _, found = self._advance(inputs, cache, picture, memory.features)
    return self._read_out(cache.h, words, found, False), cache

  def _embed(self, tokens):
    """As published, a text starts with a word of zeros."""
    return jnp.where((tokens == SOS)[..., None], 0, self.word_embed(tokens))

  def _start(self, memory, rows):
    h = nn.tanh(self.start(masked_mean(memory.features, memory.valid)))
    batch, *grid = memory.valid.shape
    past = jnp.zeros((batch, rows, *grid), jnp.float32)
    return Cache(jnp.broadcast_to(h[:, None], (batch, rows, self.hidden)), past)

  def _advance(self, inputs, cache, picture, features):
    h = self.word_gru(inputs, cache.h)
    weights = self.attend(h, cache.past, picture)
    found = context(weights, features)
    h = self.picture_gru(self.picture_gru.read(found), h)
    return Cache(h, cache.past + weights), weights, found

  def _read_out(self, h, words, found, train):
    x = self.from_state(h) + self.from_word(words) + self.from_picture(found)
    x = x.reshape(*x.shape[:-1], -1, 2).max(-1)
    return self.word_proj(self.drop(x, train=train).astype(jnp.float32))


Model = WAP
