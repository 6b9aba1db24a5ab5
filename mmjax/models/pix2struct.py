"""Pix2Struct: patches of a picture that keeps its proportions, and a T5 that looks at them.

Reference: Lee et al., 2023, Pix2Struct: Screenshot parsing as pretraining for visual language
understanding.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from mmjax.models.vision_encoder_decoder import Memory, VisionEncoderDecoder


class Pix2Struct(VisionEncoderDecoder):
  """Picture -> words; attributes as of `VisionEncoderDecoder`.

  Its pictures are sheets of `mmjax.convert.hub.patches`: a row of bytes for each patch.
  """

  def standardised(self, images: Real[Array, "B S W 3"]) -> Float[Array, "B S P"]:
    """Row, column and numbers of each patch, of sheets of bytes."""
    numbers = images.astype(jnp.uint8).reshape(*images.shape[:2], -1, 4)
    patches = jax.lax.bitcast_convert_type(numbers, jnp.float32)
    return patches[..., : 2 + self.encoder.depth]

  def encode_pixels(self, pixels: Float[Array, "B S P"], *, train: bool = False) -> Memory:
    """Encodes patches, with row and column before their numbers."""
    return Memory(self.encoder(pixels, train=train), pixels[..., 0] > 0)
