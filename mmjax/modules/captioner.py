"""What captioners share: pictures become features, features become what a decoder reads."""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Real


class Captioner(nn.Module):
  """A model with an `encoder` of pictures, `encode_features` and `decode`."""

  def __call__(
      self,
      images: Real[Array, "B H W 3"],
      valid: Bool[Array, "B H W"],
      tokens: Int[Array, "B R T"],
      *,
      train: bool = False,
  ) -> Float[Array, "B R T V"]:
    """Logits of R rows of words for each picture, teacher forced."""
    return self.decode(tokens, self.encode(images, valid, train=train), train=train)

  def encode(
      self, images: Real[Array, "B H W 3"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Any:
    """Encodes pictures of 0..255, which fill their canvas: `valid` is not looked at."""
    return self.encode_features(self.encoder(images, train=train), train=train)
