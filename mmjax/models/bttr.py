"""BTTR: a DenseNet and a Transformer decoder trained in both reading directions.

Reference: Zhao et al., "Handwritten Mathematical Expression Recognition with Bidirectionally
Trained Transformer", ICDAR 2021. With `mask_features=False` the arithmetic is the published one.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules.densenet import DenseNet
from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned
from mmjax.modules.position import cell_positions, word_positions
from mmjax.modules.transformer import DecoderLayer, KeysValues
from mmjax.text.vocabulary import PAD


class Memory(NamedTuple):
  """An encoded picture: features [B, S, D], valid [B, S]; S runs row by row over `grid`."""

  features: Float[Array, "B S D"]
  valid: Bool[Array, "B S"]


class Shared(NamedTuple):
  """What all rows of a picture read while decoding: projected memory of each layer."""

  pictures: tuple[KeysValues, ...]
  valid: Bool[Array, "B S"]


class Family(nn.Module):
  """Sizes and layers that BTTR shares with its descendants.

  Attributes:
    vocabulary_size: words, specials included (113 in the paper).
    width, heads, layers, hidden, dropout: of the decoder.
    growth, encoder_layers, encoder_dropout: of the DenseNet.
    mask_features: make a picture's features independent of its canvas (see `DenseNet`).
    remat: recompute dense layers in the backward pass.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  width: int = 256
  heads: int = 8
  layers: int = 3
  hidden: int = 1024
  dropout: float = 0.3
  growth: int = 24
  encoder_layers: tuple[int, ...] = (16, 16, 16)
  encoder_dropout: float = 0.2
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")

  def setup(self):
    norm = lambda: nn.LayerNorm(
        epsilon=1e-5,
        dtype=self.dtype,
        scale_init=partitioned(nn.initializers.ones, "norm"),
        bias_init=partitioned(nn.initializers.zeros, "norm"),
    )
    self.encoder = DenseNet(
        self.growth,
        tuple(self.encoder_layers),
        self.encoder_dropout,
        mask_features=self.mask_features,
        remat=self.remat,
        dtype=self.dtype,
    )
    self.feature_proj = nn.Dense(
        self.width, dtype=self.dtype, kernel_init=partitioned(fan_in_uniform, None, "embed")
    )
    self.feature_norm = norm()
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(1.0), "vocab", "embed"),
    )
    self.word_norm = norm()
    self.decoder = [
        DecoderLayer(self.width, self.heads, self.hidden, self.dropout, self.dtype)
        for _ in range(self.layers)
    ]
    self.word_proj = nn.Dense(
        self.vocabulary_size,
        kernel_init=partitioned(fan_in_uniform, "embed", "vocab"),
        bias_init=partitioned(bias_uniform(self.width), "vocab"),
    )

  def __call__(
      self,
      images: Real[Array, "B H W C"],
      valid: Bool[Array, "B H W"],
      tokens: Int[Array, "B R T"],
      *,
      train: bool = False,
  ) -> Float[Array, "B R T V"]:
    """Logits of R rows of words for each picture, teacher forced."""
    model: Any = self
    return model.decode(tokens, model.encode(images, valid, train=train), train=train)

  def _embed(self, tokens, positions):
    return self.word_norm(self.word_embed(tokens)) + positions.astype(self.dtype)


class BTTR(Family):
  """Picture of an expression -> LaTeX tokens; attributes as of `Family`."""

  def encode(
      self, images: Real[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Memory:
    """Encodes pictures of white ink on black, 0..255."""
    features, valid = self.encoder(images.astype(self.dtype) / 255, valid, train=train)
    features = self.feature_norm(nn.relu(self.feature_proj(features)))
    features = features + cell_positions(valid, self.width, paired=False).astype(self.dtype)
    b, h, w, d = features.shape
    return Memory(features.reshape(b, h * w, d), valid.reshape(b, h * w))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    length = tokens.shape[-1]
    x = self._embed(tokens, word_positions(length, self.width))
    seen = jnp.tril(jnp.ones((length, length), bool)) & (tokens != PAD)[..., None, :]
    for layer in self.decoder:
      picture = layer.cross_attention.project(memory.features)
      x = layer(x, seen, picture, memory.valid, train=train)
    return self.word_proj(x.astype(jnp.float32))

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[Shared, tuple[KeysValues, ...]]:
    """What `step` needs: the part that rows share, and an empty cache of `length` words a row.

    The leaves of the cache are [B, rows, heads, length, ...]; a search may reorder their rows.
    """
    batch = memory.features.shape[0]
    empty = jnp.zeros((batch, rows, self.heads, length, self.width // self.heads), self.dtype)
    pictures = tuple(la.cross_attention.project(memory.features) for la in self.decoder)
    return Shared(pictures, memory.valid), (KeysValues(empty, empty),) * self.layers

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: tuple[KeysValues, ...],
      shared: Shared,
  ) -> tuple[Float[Array, "B R V"], tuple[KeysValues, ...]]:
    """Logits of the word after `tokens`, which stand at `position` in their rows."""
    table = word_positions(cache[0].keys.shape[3], self.width)
    x = self._embed(tokens[..., None], table[position][None])
    new = []
    for layer, words, picture in zip(self.decoder, cache, shared.pictures):
      x, words = layer.step(x, position, words, picture, shared.valid)
      new.append(words)
    return self.word_proj(x[:, :, 0].astype(jnp.float32)), tuple(new)


Model = BTTR
