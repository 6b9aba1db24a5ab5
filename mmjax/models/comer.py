"""CoMER: BTTR whose attention is refined by where it has already looked.

Reference: Zhao and Gao, "CoMER: Modeling Coverage for Transformer-based Handwritten Mathematical
Expression Recognition", ECCV 2022. With `mask_features=False` the arithmetic is the published one.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.models.bttr import Family, Shared
from mmjax.modules.initializers import partitioned
from mmjax.modules.position import cell_positions, word_positions
from mmjax.modules.refinement import Coverage, Refinement, attention_images
from mmjax.modules.transformer import KeysValues, Refine
from mmjax.text.vocabulary import PAD


class Memory(NamedTuple):
  """An encoded picture, as a map of cells."""

  features: Float[Array, "B h w D"]
  valid: Bool[Array, "B h w"]


class Cache(NamedTuple):
  """What a hypothesis has written, and the sums of its past attention at each refined layer."""

  words: tuple[KeysValues, ...]
  past: tuple[Float[Array, "B R h w C"], ...]


class CoMER(Family):
  """Picture of an expression -> LaTeX tokens.

  Attributes (further ones as of `Family`):
    coverage: past attention that refines the present one: of this layer ("self"), of the layer
      below ("cross"), both as published, or () for the paper's baseline.
    coverage_channels: of the refinement module, which all layers but the first share.
  """

  coverage: tuple[Coverage, ...] = ("self", "cross")
  coverage_channels: int = 32

  def __post_init__(self):
    super().__post_init__()
    unknown = set(self.coverage) - {"self", "cross"}
    if unknown:
      raise ValueError(f"coverage names {sorted(unknown)}; there are: self, cross")

  def setup(self):
    super().setup()
    self.position_norm = nn.LayerNorm(
        epsilon=1e-5,
        dtype=self.dtype,
        scale_init=partitioned(nn.initializers.ones, "norm"),
        bias_init=partitioned(nn.initializers.zeros, "norm"),
    )
    if self.coverage:
      self.refinement = Refinement(self.heads, self.coverage_channels, self.dtype)

  def encode(
      self, images: Real[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Memory:
    """Encodes pictures of white ink on black, 0..255."""
    features, valid = self.encoder(images.astype(self.dtype) / 255, valid, train=train)
    features = self.feature_proj(features)
    features = features + cell_positions(valid, self.width, paired=True).astype(self.dtype)
    return Memory(self.feature_norm(features), valid)

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    length = tokens.shape[-1]
    x = self._embed(tokens, word_positions(length, self.width))
    seen = jnp.tril(jnp.ones((length, length), bool)) & (tokens != PAD)[..., None, :]
    pictures, valid = self._project(memory)
    below = None
    for layer, picture in zip(self.decoder, pictures):

      def refine(now, below=below):
        maps = self._images(below, now, memory)
        return self.refinement(jnp.cumsum(maps, 2) - maps, memory.valid, train=train)

      words = layer.self_attention.project(x)
      refined: Refine | None = refine if self.coverage and below is not None else None
      x, below = layer.attend(x, words, seen, picture, valid, train=train, refine=refined)
    return self.word_proj(x.astype(jnp.float32))

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[tuple[Shared, Memory], Cache]:
    """As in BTTR; a step takes as long at the end of a text as at its start."""
    batch, h, w, _ = memory.features.shape
    empty = jnp.zeros((batch, rows, self.heads, length, self.width // self.heads), self.dtype)
    nothing = jnp.zeros((batch, rows, h, w, self.heads * len(self.coverage)), jnp.float32)
    refined = self.layers - 1 if self.coverage else 0
    cache = Cache((KeysValues(empty, empty),) * self.layers, (nothing,) * refined)
    return (Shared(*self._project(memory)), memory), cache

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: Cache,
      shared: tuple[Shared, Memory],
  ) -> tuple[Float[Array, "B R V"], Cache]:
    """Logits of the word after `tokens`, which stand at `position` in their rows."""
    projected, memory = shared
    table = word_positions(cache.words[0].keys.shape[3], self.width)
    x = self._embed(tokens[..., None], table[position][None])
    all_words, all_past = [], []
    below = None
    for i, (layer, picture) in enumerate(zip(self.decoder, projected.pictures)):

      def refine(now, i=i, below=below):
        past = cache.past[i - 1]
        all_past.append(past + self._images(below, now, memory)[:, :, 0])
        return self.refinement(past[:, :, None], memory.valid, train=False)

      words, seen = layer.append(x, position, cache.words[i])
      refined: Refine | None = refine if self.coverage and below is not None else None
      x, below = layer.attend(
          x, words, seen, picture, projected.valid, train=False, refine=refined
      )
      all_words.append(words)
    logits = self.word_proj(x[:, :, 0].astype(jnp.float32))
    return logits, Cache(tuple(all_words), tuple(all_past))

  def _project(self, memory):
    b, h, w, d = memory.features.shape
    features = memory.features.reshape(b, h * w, d)
    pictures = tuple(layer.cross_attention.project(features) for layer in self.decoder)
    return pictures, memory.valid.reshape(b, h * w)

  def _images(self, below, now, memory):
    return attention_images(below, now, self.coverage, memory.valid.shape[1:])

  def _embed(self, tokens, positions):
    return self.position_norm(super()._embed(tokens, positions))


Model = CoMER
