"""The captioning Transformer of CLIP rewards: pre-norm encoder and decoder on the cells of CLIP.

Reference: Cho et al., 2022, Fine-grained image captioning with CLIP reward; its layers are those of
Luo's self-critical captioning code, which are Rush's annotated Transformer.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules import encoders
from mmjax.modules.captioner import Captioner
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.norm import UnbiasedLayerNorm
from mmjax.modules.position import word_positions
from mmjax.modules.prenorm import XAVIER, Layer, dense
from mmjax.modules.transformer import KeysValues
from mmjax.text.vocabulary import PAD


class Memory(NamedTuple):
  """An encoded picture: features [B, S, D], valid [B, S]; S runs row by row over its cells."""

  features: Float[Array, "B S D"]
  valid: Bool[Array, "B S"]


class Shared(NamedTuple):
  """What all rows of a picture read while decoding: projected memory of each layer."""

  pictures: tuple[KeysValues, ...]
  valid: Bool[Array, "B S"]


class ClipRewardCaptioner(Captioner):
  """Cells of a picture -> words.

  The published network has one number for start, end and padding; ours has three, of which start
  and padding are never written (see `mmjax.convert.clip_reward_captioner`).

  Attributes:
    vocabulary_size: words, specials included.
    encoder_name: see `mmjax.modules.encoders`; the published network reads cells of CLIP's residual
      network that were stored before, as `encode_features` does.
    width, heads, layers, hidden: of encoder and decoder.
    dropout: of attention, layers and words.
    feature_dropout: of the projected cells.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  encoder_name: str = "efficientnet_lite0"
  width: int = 512
  heads: int = 8
  layers: int = 6
  hidden: int = 2048
  dropout: float = 0.1
  feature_dropout: float = 0.5
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")

  def setup(self):
    layers = lambda crosses: [
        Layer(self.width, self.heads, self.hidden, self.dropout, self.dtype, crosses)
        for _ in range(self.layers)
    ]
    self.encoder = encoders.build(self.encoder_name, dtype=self.dtype)
    self.feature_proj = dense(self.width, self.dtype, None, None, "embed")
    self.picture, self.picture_norm = layers(False), UnbiasedLayerNorm(dtype=self.dtype)
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(XAVIER, "vocab", "embed"),
    )
    self.decoder, self.decoder_norm = layers(True), UnbiasedLayerNorm(dtype=self.dtype)
    self.word_proj = dense(self.vocabulary_size, jnp.float32, None, "embed", "vocab")
    self.drop, self.feature_drop = Dropout(self.dropout), Dropout(self.feature_dropout)

  def encode_features(self, features: Real[Array, "B h w D"], *, train: bool = False) -> Memory:
    """Encodes the cells of pictures, which get no positions."""
    x = features.reshape(len(features), -1, features.shape[-1]).astype(self.dtype)
    x = self.feature_drop(nn.relu(self.feature_proj(x)), train=train)[:, None]  # one row a picture
    everything = jnp.ones((x.shape[2],) * 2, bool)
    for layer in self.picture:
      x = layer(x, everything, train=train)
    x = self.picture_norm(x)[:, 0]
    return Memory(x, jnp.ones(x.shape[:2], bool))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    length = tokens.shape[-1]
    x = self.drop(self._embed(tokens, word_positions(length, self.width)), train=train)
    seen = jnp.tril(jnp.ones((length, length), bool)) & (tokens != PAD)[..., None, :]
    for layer in self.decoder:
      picture = layer.cross_attention.project(memory.features)
      x = layer(x, seen, picture, memory.valid, train=train)
    return self.word_proj(self.decoder_norm(x).astype(jnp.float32))

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
    return self.word_proj(self.decoder_norm(x[:, :, 0]).astype(jnp.float32)), tuple(new)

  def _embed(self, tokens, positions):
    return self.word_embed(tokens) * self.width**0.5 + positions.astype(self.dtype)


Model = ClipRewardCaptioner
