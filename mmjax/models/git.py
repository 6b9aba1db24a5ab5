"""GIT: a picture's cells and the words of its caption in one sequence.

Reference: Wang et al., 2022, GIT: A generative image-to-text transformer for vision and language.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mmjax.models.vision_encoder_decoder import Memory, VisionEncoderDecoder
from mmjax.modules.attention_layer import layer_norm


class GIT(VisionEncoderDecoder):
  """Picture -> words; further attributes as of `VisionEncoderDecoder`.

  The decoder has no attention to a picture: see `TextDecoder.cross`.

  Attributes:
    projection_epsilon: of the norm behind the projection.
  """

  projection_epsilon: float = 1e-5

  def setup(self):
    super().setup()
    self.project_norm = layer_norm(self.projection_epsilon, self.dtype)

  def picture_logits(self, memory: Memory) -> Float[Array, "B S V"]:
    """Logits at the picture's cells, which training does not look at."""
    return self.decoder.through(memory.features, train=False)[1].astype(jnp.float32)

  def _join(self, features):
    return self.project_norm(super()._join(features))
