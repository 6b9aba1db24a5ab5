"""DenseNet and a recurrent decoder whose coverage passes through a convolution of all scores.

Reference: the PyTorch recognizer of H. Wang ("Pytorch-Handwritten-Mathematical-Expression-
Recognition"), after Zhang et al., 2018. With `mask_features=False` the arithmetic is the published
one, save that the first state, random there, is zero.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules.coverage import context, linear, masked_softmax
from mmjax.modules.densenet import zero_padding
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm
from mmjax.modules.recurrent import GRU


class Memory(NamedTuple):
  """An encoded picture, and the state that a text starts with."""

  features: Float[Array, "B h w C"]
  valid: Bool[Array, "B h w"]
  start: Float[Array, "B H"]


class Picture(NamedTuple):
  """What does not change from word to word."""

  features: Float[Array, "B h w C"]
  projected: Float[Array, "B h w A"]
  valid: Bool[Array, "B h w"]


class Cache(NamedTuple):
  """State of a hypothesis, its last attention, and the sum of what `coverage` made of it."""

  h: Float[Array, "B R H"]
  last: Float[Array, "B R h w"]
  past: Float[Array, "B R h w"]


def convolution(features: int, channels: int, dtype: DTypeLike, **options) -> nn.Conv:
  """A 3x3 convolution of so many `channels` that starts as PyTorch's does."""
  return nn.Conv(
      features,
      (3, 3),
      padding=1,
      dtype=dtype,
      kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
      bias_init=partitioned(bias_uniform(9 * channels), "embed"),
      **options,
  )


def pointwise(features: int, dtype: DTypeLike, name: str) -> nn.Dense:
  """A 1x1 convolution without bias."""
  init = partitioned(fan_in_uniform, None, "embed")
  return nn.Dense(features, use_bias=False, dtype=dtype, kernel_init=init, name=name)


class DenseLayer(nn.Module):
  """BN -> ReLU -> conv 1x1 -> BN -> ReLU -> conv 3x3; returns the new channels only."""

  growth: int
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x, valid, train: bool):  # positional: rematerialisation needs it static
    norm = lambda name: BatchNorm(dtype=self.dtype, name=name)
    x = nn.relu(norm("norm1")(x, valid, train=train))
    x = pointwise(4 * self.growth, self.dtype, "conv1")(x)
    x = nn.relu(norm("norm2")(x, valid, train=train))
    return convolution(self.growth, 4 * self.growth, self.dtype, use_bias=False, name="conv2")(
        zero_padding(x, valid)
    )


class PreactivationDenseNet(nn.Module):
  """The first three blocks of DenseNet-121 on a picture and its mask (Huang et al., 2017).

  Pooling drops odd rows and columns, unlike `mmjax.modules.densenet`.

  Attributes:
    growth, layers, mask_features, remat, dtype: as there.
  """

  growth: int = 32
  layers: tuple[int, ...] = (6, 12, 24)
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  @property
  def channels(self) -> int:
    """Of the features."""
    channels = 2 * self.growth
    for depth in self.layers[:-1]:
      channels = (channels + depth * self.growth) // 2
    return channels + self.layers[-1] * self.growth

  @nn.compact
  def __call__(
      self, images: Float[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool
  ) -> tuple[Float[Array, "B h w D"], Bool[Array, "B h w"]]:
    """Features at a stride of 16 for three blocks, and which cells are real.

    As published (`mask_features` off), those at 16 i <= the picture's height count as real.
    """
    published = jnp.pad(valid, ((0, 0), (1, 0), (1, 0)), mode="edge")

    def mask():
      return valid if self.mask_features else None

    x = jnp.concatenate([images, valid[..., None]], -1).astype(self.dtype)
    x = nn.Conv(
        2 * self.growth,
        (7, 7),
        strides=2,
        padding=3,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name="conv0",
    )(zero_padding(x, mask()))
    valid = valid[:, ::2, ::2]
    norm = lambda name: BatchNorm(dtype=self.dtype, name=name)
    x = zero_padding(nn.relu(norm("norm0")(x, mask(), train=train)), mask())
    x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    valid = valid[:, ::2, ::2]
    layer = nn.remat(DenseLayer, static_argnums=(3,)) if self.remat else DenseLayer
    for block, depth in enumerate(self.layers):
      for i in range(depth):
        new = layer(self.growth, self.dtype, name=f"dense{block + 1}_{i}")(x, mask(), train)
        x = jnp.concatenate([x, new], -1)
      if block < len(self.layers) - 1:
        x = nn.relu(norm(f"trans{block + 1}_norm")(x, mask(), train=train))
        x = pointwise(x.shape[-1] // 2, self.dtype, f"trans{block + 1}_conv")(x)
        b, h, w, c = x.shape
        x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
        valid = valid[:, 1::2, 1::2]  # of a cell that a tight canvas has, the last row is real
    x = nn.relu(norm("norm5")(x, mask(), train=train))
    if not self.mask_features:
      stride = 2 ** (len(self.layers) + 1)
      valid = published[:, ::stride, ::stride][:, : x.shape[1], : x.shape[2]]
    return x, valid


class DenseAttention(nn.Module):
  """Picture of an expression -> LaTeX tokens, left to right.

  Attributes:
    vocabulary_size: words, specials included (112 as published).
    hidden: channels of states, words and attention; the last layer has half of them.
    dropout: of the words, and before the last layer.
    growth, encoder_layers: of the encoder.
    mask_features: make the answer independent of the canvas: padding is zeroed before every
      convolution and left out of batch statistics.
    remat: recompute dense layers and decoder steps in the backward pass.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  hidden: int = 256
  dropout: float = 0.5
  growth: int = 32
  encoder_layers: tuple[int, ...] = (6, 12, 24)
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  def setup(self):
    size, half = self.hidden, self.hidden // 2
    self.encoder = PreactivationDenseNet(
        self.growth, tuple(self.encoder_layers), self.mask_features, self.remat, self.dtype
    )
    channels = self.encoder.channels
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        size,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(1.0), "vocab", "embed"),
    )
    self.word_gru, self.picture_gru = GRU(size, dtype=self.dtype), GRU(size, dtype=self.dtype)
    self.state = linear(size, size, self.dtype)
    self.cells = linear(size, channels, self.dtype)
    self.coverage = convolution(1, 1, self.dtype)
    self.past = linear(size, 1, self.dtype)
    self.mix = convolution(size, size, self.dtype)
    self.mix_norm = BatchNorm(dtype=self.dtype)
    self.cell_score = linear(1, size, self.dtype)
    self.from_state = linear(half, size, self.dtype)
    self.from_word = linear(half, size, self.dtype)
    self.from_picture = linear(half, channels, self.dtype)
    self.word_proj = linear(self.vocabulary_size, half, jnp.float32)
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
    start = jnp.zeros((features.shape[0], self.hidden), self.dtype)
    return Memory(features, valid, start)

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another.

    In training they share batch statistics, which every word updates, as published.
    """
    words = self.drop(self.word_embed(tokens), train=train)
    picture = self._project(memory)
    cache = self._start(memory, tokens.shape[1])
    inputs = self.word_gru.read(words)
    if self.is_initializing():  # the scan below cannot create what it carries
      self._advance(inputs[:, :, 0], cache, picture, train)

    def advance(model, cache, inputs):
      cache, found = model._advance(inputs, cache, picture, train)
      return cache, (cache.h, cache.last, found)

    steps = nn.scan(
        nn.remat(advance) if self.remat else advance,
        variable_broadcast="params" if train else ("params", "batch_stats"),
        variable_carry="batch_stats" if train else False,
        split_rngs={"params": False},
        in_axes=2,
        out_axes=2,
    )
    _, (states, weights, contexts) = steps(self, cache, inputs)
    self.sow("intermediates", "picture", weights.reshape(*tokens.shape, -1))
    return self._read_out(states, words, contexts, train)

  def init_cache(self, memory: Memory, rows: int, length: int) -> tuple[Picture, Cache]:
    """What `step` needs: the part that rows share, and the rows' states; of any length."""
    return self._project(memory), self._start(memory, rows)

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: Cache,
      shared: Picture,
  ) -> tuple[Float[Array, "B R V"], Cache]:
    """Logits of the word after `tokens`."""
    words = self.word_embed(tokens)
    cache, found = self._advance(self.word_gru.read(words), cache, shared, False)
    return self._read_out(cache.h, words, found, False), cache

  def _project(self, memory):
    return Picture(memory.features, self.cells(memory.features), memory.valid)

  def _start(self, memory, rows):
    batch, *grid = memory.valid.shape
    nothing = jnp.zeros((batch, rows, *grid), jnp.float32)
    h = jnp.broadcast_to(memory.start[:, None], (batch, rows, self.hidden))
    return Cache(h.astype(self.dtype), nothing, nothing)

  def _advance(self, inputs, cache, picture, train):
    b, r, *grid = cache.past.shape
    h = self.word_gru(inputs, cache.h)
    images = cache.last.reshape(b * r, *grid, 1).astype(self.dtype)
    past = cache.past + self.coverage(images).reshape(cache.past.shape).astype(jnp.float32)
    x = self.state(h)[:, :, None, None] + picture.projected[:, None]
    x = x + self.past(past[..., None].astype(self.dtype))
    valid = jnp.repeat(picture.valid, r, 0)
    mask = valid if self.mask_features else None
    x = self.mix(zero_padding(x.reshape(b * r, *grid, self.hidden), mask))
    x = nn.tanh(self.mix_norm(zero_padding(x, valid), mask, train=train))
    weights = masked_softmax(self.cell_score(x).reshape(cache.past.shape), picture.valid)
    found = context(weights, picture.features)
    h = self.picture_gru(self.picture_gru.read(found), h)
    return Cache(h, weights, past), found

  def _read_out(self, h, words, found, train):
    x = self.from_state(h) + self.from_word(words) + self.from_picture(found)
    return self.word_proj(self.drop(x, train=train).astype(jnp.float32))


Model = DenseAttention
