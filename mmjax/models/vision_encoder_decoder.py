"""Any vision encoder with any text decoder, as the models of the Hugging Face hub combine them."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules.attention_layer import dense
from mmjax.modules.davit import DaViT
from mmjax.modules.patch_encoder import PatchEncoder
from mmjax.modules.swin import Swin
from mmjax.modules.text_decoder import TextDecoder
from mmjax.modules.transformer import KeysValues
from mmjax.modules.vit import ViT


class Memory(NamedTuple):
  """An encoded picture as the decoder's layers look at it."""

  features: Float[Array, "B S E"]
  valid: Bool[Array, "B S"]


class Shared(NamedTuple):
  """What all rows of a picture read while decoding: keys and values of each layer."""

  pictures: tuple[KeysValues, ...]
  valid: Bool[Array, "B S"]


class VisionEncoderDecoder(nn.Module):
  """Picture -> words.

  Attributes:
    encoder: pixels to features.
    decoder: words and features to logits.
    projection: channels of a linear layer between the two; 0 for none.
    rescale: pixels 0..255 are multiplied by it,
    mean, deviation: then centred and divided by these, a number a channel.
    dtype: of the projection; the parts have their own.
  """

  encoder: ViT | Swin | PatchEncoder | DaViT
  decoder: TextDecoder
  projection: int = 0
  rescale: float = 1 / 255
  mean: tuple[float, ...] = (0.0, 0.0, 0.0)
  deviation: tuple[float, ...] = (1.0, 1.0, 1.0)
  dtype: DTypeLike = jnp.float32

  def setup(self):
    if self.projection:
      self.project = dense(self.projection, self.dtype, None, "embed")

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
    """Encodes pictures 0..255 that have been resized to the encoder's size.

    `valid` is not looked at: these encoders see the whole canvas, padding included.
    """
    del valid
    return self.encode_pixels(self.standardised(images), train=train)

  def standardised(self, images: Real[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """The pixels that the encoder takes, of pictures 0..255."""
    pixels = images.astype(jnp.float32) * self.rescale
    return (pixels - jnp.array(self.mean)) / jnp.array(self.deviation)

  def encode_pixels(self, pixels: Float[Array, "B H W C"], *, train: bool = False) -> Memory:
    """Encodes pictures whose pixels are standardised already."""
    features = self._join(self.encoder(pixels, train=train))
    return Memory(features, jnp.ones(features.shape[:2], bool))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    pictures = self.decoder.project(memory.features, train=train)
    return self.decoder(tokens, pictures, memory.valid, train=train)

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[Shared, tuple[KeysValues, ...]]:
    """What `step` needs: the part that rows share, and an empty cache of `length` words a row.

    The leaves of the cache are [B, rows, heads, length, ...]; a search may reorder their rows.
    """
    pictures = self.decoder.project(memory.features, train=False)
    cache = self.decoder.empty(memory.features.shape[0], rows, length)
    return Shared(pictures, memory.valid), cache

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: tuple[KeysValues, ...],
      shared: Shared,
  ) -> tuple[Float[Array, "B R V"], tuple[KeysValues, ...]]:
    """Logits of the word after `tokens`, which stand at `position` in their rows."""
    return self.decoder.step(tokens, position, cache, shared.pictures, shared.valid)

  def _join(self, features):
    return self.project(features) if self.projection else features
