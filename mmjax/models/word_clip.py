"""A published CLIP that reads captions in a vocabulary of words, and tells sound from damaged ones.

Its byte-pair encoding never crosses a blank, so the pieces of a caption are those of its words one
after the other: a table of each word's pieces makes the text that its own tokenizer would, inside a
compiled step.

Reference: Radford et al., 2021, Learning transferable visual models from natural language
supervision; the head for grammar is that of Cho et al., 2022, Fine-grained image captioning with
CLIP reward.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.models.small_clip import Read, unit
from mmjax.modules import clip
from mmjax.modules.initializers import partitioned
from mmjax.modules.prenorm import dense

PROMPT_WORDS = 3  # "A photo depicts": they have the last rows of the table
NOTHING = -1  # behind the pieces of a word


class Tower(nn.Module):
  """Pictures -> their vectors, as one cell each: what is kept of a frozen encoder."""

  features: int
  width: int
  layers: int | tuple[int, ...]
  patch: int
  dtype: DTypeLike = jnp.float32

  def setup(self):
    if isinstance(self.layers, int):
      self.visual = clip.VisionTransformer(
          self.width, self.layers, self.patch, self.features, self.dtype)  # fmt: skip
    else:
      self.visual = clip.ModifiedResNet(
          self.width, tuple(self.layers), self.features, self.dtype)  # fmt: skip

  def __call__(
      self, images: Real[Array, "B H W 3"], *, train: bool = False
  ) -> Float[Array, "B 1 1 E"]:
    """Encodes red, green, blue pixels, 0..255; it is never trained."""
    del train
    return self.visual(clip.standardise(images)).pooled[:, None, None]


class WordClip(nn.Module):
  """Pictures and texts as unit vectors; the interface of `mmjax.models.small_clip`.

  Attributes:
    vocabulary_size: words, specials included.
    features: E, of the space that pictures and texts share.
    picture_size: side of its square pictures in pixels.
    image_width, image_layers, patch: see `mmjax.modules.clip.CLIP`.
    text_words: numbers of pieces; the last two begin and end a text.
    text_width, text_layers: of the text's Transformer.
    text_length: pieces of a text, start and end included; what is longer is cut.
    pieces: most of a word.
    prompt: whether texts are read behind "A photo depicts".
    dtype: of the computation.
  """

  vocabulary_size: int
  features: int = 512
  picture_size: int = 224
  image_width: int = 768
  image_layers: int | tuple[int, ...] = 12
  patch: int = 32
  text_words: int = 49_408
  text_width: int = 512
  text_layers: int = 12
  text_length: int = 77
  pieces: int = 8
  prompt: bool = False
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.encoder = Tower(
        self.features, self.image_width, self.image_layers, self.patch, self.dtype)
    self.textual = clip.TextTransformer(
        self.text_words, self.text_width, self.text_layers, 0, self.dtype)
    self.text_proj = dense(self.features, jnp.float32, None, None, "embed", bias=False)
    self.grammar_hidden = dense(self.features, jnp.float32, None, None, "embed", bias=False)
    self.grammar_out = dense(2, jnp.float32, None, "embed", None, bias=False)
    start = nn.initializers.constant(math.log(1 / 0.07))
    self.logit_scale = self.param("logit_scale", partitioned(start), ())
    rows = self.vocabulary_size + PROMPT_WORDS
    self.table = self.variable(
        "constants", "pieces", lambda: jnp.full((rows, self.pieces), NOTHING, jnp.int32))

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
    return self.encode_features(self.encoder(images), train=train)

  def encode_features(
      self, features: Real[Array, "B h w E"], *, train: bool = False
  ) -> Float[Array, "B E"]:
    """Unit vectors of pictures from what the encoder made of them."""
    del train
    return unit(features.astype(jnp.float32).mean((1, 2)))

  def read(
      self, tokens: Int[Array, "*B L"], lengths: Int[Array, "*B"], *, train: bool = False
  ) -> Read:
    """Unit vectors and grammar of texts; `tokens` are without start and end."""
    del train
    *shape, size = tokens.shape
    rows = self.rows(tokens.reshape(-1, size), lengths.reshape(-1))
    end = self.textual(rows).astype(jnp.float32)
    grammar = self.grammar_out(nn.relu(self.grammar_hidden(end)))
    vectors = unit(self.text_proj(end))
    return Read(vectors.reshape(*shape, -1), grammar.reshape(*shape, 2))

  def rows(self, tokens: Int[Array, "B L"], lengths: Int[Array, "B"]) -> Int[Array, "B T"]:
    """Texts as `mmjax.text.clip_bpe.Tokenizer.rows` has them: start, pieces, end, zeros."""
    count, size = tokens.shape
    there = jnp.arange(size) < lengths[:, None]
    if self.prompt:
      before = self.vocabulary_size + jnp.arange(PROMPT_WORDS)
      before = jnp.broadcast_to(before, (count, PROMPT_WORDS))
      tokens = jnp.concatenate([before, tokens], 1)
      there = jnp.pad(there, [(0, 0), (PROMPT_WORDS, 0)], constant_values=True)
    pieces = jnp.asarray(self.table.value)[tokens]  # [B, L, P]
    kept = ((pieces != NOTHING) & there[..., None]).reshape(count, -1)
    place = jnp.cumsum(kept, 1)  # the start has the first place
    last, row = self.text_length - 1, jnp.arange(count)
    place = jnp.where(kept & (place < last), place, self.text_length)  # outside: dropped
    out = jnp.zeros((count, self.text_length), jnp.int32).at[:, 0].set(self.text_words - 2)
    out = out.at[row[:, None], place].set(pieces.reshape(count, -1), mode="drop")
    return out.at[row, jnp.minimum(kept.sum(1) + 1, last)].set(self.text_words - 1)

  def temperature(self) -> Float[Array, ""]:
    """The learned factor of cosines."""
    return jnp.exp(self.logit_scale)


Model = WordClip
