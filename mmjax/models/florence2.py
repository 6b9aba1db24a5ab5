"""Florence-2: an encoder that reads a picture and a prompt, a decoder that answers it.

Reference: Xiao et al., 2024, Florence-2: Advancing a unified representation for a variety of
vision tasks.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from mmjax.models.vision_encoder_decoder import Memory, VisionEncoderDecoder
from mmjax.modules.attention_layer import dense, layer_norm
from mmjax.modules.initializers import partitioned

_small_normal = nn.initializers.normal(0.02)


class Florence2(VisionEncoderDecoder):
  """Picture -> words; further attributes as of `VisionEncoderDecoder`; its encoder is a `DaViT`.

  Attributes:
    reader: reads the picture's cells and the prompt.
    places: rows, and columns, that a grid of cells may have.
    prompt: numbers of its words, the start and the end of a text among them.
  """

  reader: Any = None  # a TextEncoder; fields that are inherited have defaults
  places: int = 50
  prompt: tuple[int, ...] = ()

  def setup(self):
    channels = self.encoder.widths[-1]
    embed = lambda features: nn.Embed(
        self.places, features, embedding_init=partitioned(_small_normal, None, "embed")
    )
    self.row_embed, self.column_embed = embed(channels // 2), embed(channels - channels // 2)
    self.project = dense(self.decoder.width, self.dtype, None, "embed", bias=False)
    self.project_norm = layer_norm(1e-5, self.dtype)

  def encode_pixels(self, pixels: Float[Array, "B H W C"], *, train: bool = False) -> Memory:
    """What is read of the mean of a picture's cells, of the cells, and of the prompt."""
    cells = self._placed(self.encoder(pixels, train=train))
    cells = jnp.concatenate([cells.mean(1, keepdims=True), cells], 1)
    cells = self.project_norm(self.project(cells))
    prompt = self.decoder.words(jnp.array(self.prompt, jnp.int32)) * self.decoder.embedding_scale
    prompt = jnp.broadcast_to(prompt, (len(cells), *prompt.shape))
    features = self.reader(jnp.concatenate([cells, prompt.astype(cells.dtype)], 1), train=train)
    return Memory(features, jnp.ones(features.shape[:2], bool))

  def _placed(self, x: Float[Array, "B h w D"]) -> Float[Array, "B S D"]:
    """Cells that know their column, their row, and that theirs is the first picture of a film."""
    h, w, channels = x.shape[1:]
    columns = jnp.broadcast_to(self.column_embed(jnp.arange(w)), (h, w, channels - channels // 2))
    rows = jnp.broadcast_to(self.row_embed(jnp.arange(h))[:, None], (h, w, channels // 2))
    first = jnp.arange(channels) % 2  # sines and cosines of 0
    x = x + jnp.concatenate([columns, rows], -1) + first.astype(x.dtype)
    return x.reshape(len(x), h * w, channels)
