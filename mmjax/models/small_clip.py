"""A small CLIP on the features of a picture encoder, with words of its own vocabulary.

Reference: Radford et al., 2021, Learning transferable visual models from natural language
supervision; the head for grammar is that of Cho et al., 2022, Fine-grained image captioning with
CLIP reward.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules import encoders
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.norm import UnbiasedLayerNorm
from mmjax.modules.position import word_positions
from mmjax.modules.prenorm import Layer, dense
from mmjax.text.vocabulary import EOS


class Read(NamedTuple):
  """What the text tower makes of texts: unit vectors, and logits of (damaged, sound)."""

  vectors: Float[Array, "*B E"]
  grammar: Float[Array, "*B 2"]


class Scale(nn.Module):
  """A learned factor that begins at 1 / 0.07 and stays at most 100."""

  @nn.compact
  def __call__(self) -> Float[Array, ""]:
    start = nn.initializers.constant(math.log(1 / 0.07))
    return jnp.exp(jnp.minimum(self.param("logarithm", partitioned(start), ()), math.log(100)))


class SmallClip(nn.Module):
  """Pictures and texts as unit vectors that are near each other where they fit.

  The picture's vector is a projection of the mean of its cells; the text's is one of the state at
  its end, which has looked at all words.

  Attributes:
    vocabulary_size: words, specials included.
    encoder_name: see `mmjax.modules.encoders`.
    features: E, of the space that they share.
    width, heads, layers, hidden: of the text's Transformer.
    dropout: of the text's Transformer and of the picture's mean.
    dtype: of the computation; parameters, norms' statistics and vectors are float32.
  """

  vocabulary_size: int
  encoder_name: str = "efficientnet_lite0"
  features: int = 256
  width: int = 256
  heads: int = 4
  layers: int = 3
  hidden: int = 512
  dropout: float = 0.1
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")

  def setup(self):
    self.encoder = encoders.build(self.encoder_name, dtype=self.dtype)
    self.cell_norm = UnbiasedLayerNorm(dtype=self.dtype)
    self.cell_proj = dense(self.features, jnp.float32, None, None, "embed", bias=False)
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(0.02), "vocab", "embed"),
    )
    self.words = [
        Layer(self.width, self.heads, self.hidden, self.dropout, self.dtype, crosses=False)
        for _ in range(self.layers)
    ]
    self.word_norm = UnbiasedLayerNorm(dtype=self.dtype)
    self.text_proj = dense(self.features, jnp.float32, None, None, "embed", bias=False)
    self.grammar_hidden = dense(self.width, jnp.float32, None, None, "embed", bias=False)
    self.grammar_out = dense(2, jnp.float32, None, "embed", None, bias=False)
    self.scale = Scale()
    self.drop = Dropout(self.dropout)

  def __call__(
      self,
      images: Real[Array, "B H W 3"],
      valid: Bool[Array, "B H W"],
      tokens: Int[Array, "B L"],
      lengths: Int[Array, "B"],
  ) -> tuple[Float[Array, "B E"], Read, Float[Array, ""]]:
    """Vectors of pictures, texts as read, and the factor of their cosines."""
    return self.encode(images, valid), self.read(tokens, lengths), self.temperature()

  def encode(
      self, images: Real[Array, "B H W 3"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Float[Array, "B E"]:
    """Unit vectors of pictures of red, green, blue, 0..255, that fill their canvas."""
    del valid
    return self.encode_features(self.encoder(images, train=train), train=train)

  def encode_features(
      self, features: Real[Array, "B h w D"], *, train: bool = False
  ) -> Float[Array, "B E"]:
    """Unit vectors of pictures from their cells."""
    x = features.astype(jnp.float32).mean((1, 2))
    x = self.drop(self.cell_norm(x), train=train)
    return unit(self.cell_proj(x.astype(jnp.float32)))

  def read(
      self, tokens: Int[Array, "*B L"], lengths: Int[Array, "*B"], *, train: bool = False
  ) -> Read:
    """Unit vectors and grammar of texts; `tokens` are without start and end."""
    *shape, size = tokens.shape
    tokens, lengths = tokens.reshape(-1, size), lengths.reshape(-1)
    at = jnp.arange(size + 1)
    words = jnp.where(at == lengths[:, None], EOS, jnp.pad(tokens, [(0, 0), (0, 1)]))
    x = self.word_embed(words) * self.width**0.5 + word_positions(size + 1, self.width)
    x = self.drop(x.astype(self.dtype), train=train)[:, None]  # one row a text
    there = (at <= lengths[:, None])[:, None, None]  # [B, 1, 1, L + 1]
    seen = jnp.broadcast_to(there, (len(x), 1, size + 1, size + 1))
    for layer in self.words:
      x = layer(x, seen, train=train)
    end = jnp.take_along_axis(x[:, 0], lengths[:, None, None], 1)[:, 0]
    end = self.word_norm(end).astype(jnp.float32)
    grammar = self.grammar_out(nn.relu(self.grammar_hidden(end)))
    vectors = unit(self.text_proj(end))
    return Read(vectors.reshape(*shape, -1), grammar.reshape(*shape, 2))

  def temperature(self) -> Float[Array, ""]:
    """The learned factor of cosines."""
    return self.scale()


def unit(x: Float[Array, "*B E"]) -> Float[Array, "*B E"]:
  """`x` at length 1; a vector of zeros stays one."""
  return x / jnp.maximum(jnp.linalg.norm(x + 1e-12, axis=-1, keepdims=True), 1e-6)


Model = SmallClip
