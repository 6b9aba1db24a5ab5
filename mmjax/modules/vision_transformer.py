"""The vision transformer that classifies ImageNet, as timm stores it."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.clip import Block, layer_norm
from mmjax.modules.convolution import Picture, check_sides, standardise
from mmjax.modules.initializers import fan_in_uniform, partitioned

EPSILON = 1e-6  # of the layer norms
exact_gelu = functools.partial(jax.nn.gelu, approximate=False)


class VisionTransformer(nn.Module):
  """Patches and a class token through a Transformer: the patches after the last norm.

  Parameters stand under `patches`, `token`, `positions`, `block_0`, ... `block_11`, `norm_out` and
  `classifier`; e.g. `(block_(9|10|11)/|norm_out)` picks the last three layers.

  Reference: Dosovitskiy et al., 2021. CLIP's towers differ (mmjax.modules.clip): a norm before the
  layers, the quick GELU, no bias of the patches.

  Attributes:
    patch: side of a patch in pixels.
    width: channels; a multiple of 64.
    layers: of the Transformer.
    classes: of the classifier.
    batch_statistics: changes nothing: there is no batch norm.
    picture_size: side of the pictures in pixels.
    dtype: of the computation.
  """

  patch: int
  width: int = 768
  layers: int = 12
  classes: int = 1000
  batch_statistics: bool = False
  picture_size: int = 224
  dtype: DTypeLike = jnp.float32

  mean = (0.5,) * 3
  deviation = (0.5,) * 3

  @property
  def features(self) -> int:
    """Channels of the result."""
    return self.width

  @property
  def stride(self) -> int:
    return self.patch

  def setup(self):
    spread = nn.initializers.normal(0.02)
    self.patches = nn.Conv(
        self.width,
        (self.patch, self.patch),
        strides=self.patch,
        padding="VALID",
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        bias_init=partitioned(nn.initializers.zeros, "embed"),
    )
    self.token = self.param("token", partitioned(spread, "embed"), (self.width,))
    cells = (self.picture_size // self.patch) ** 2
    shape = (1 + cells, self.width)
    self.positions = self.param("positions", partitioned(spread, None, "embed"), shape)
    self.blocks = [
        Block(self.width, self.dtype, exact_gelu, EPSILON, name=f"block_{i}")
        for i in range(self.layers)
    ]
    self.norm_out = layer_norm(self.dtype, "norm_out", EPSILON)
    self.classifier = nn.Dense(
        self.classes,
        dtype=self.dtype,
        kernel_init=partitioned(nn.initializers.lecun_normal(), "embed", None),
        bias_init=partitioned(nn.initializers.zeros, None),
    )

  def __call__(self, image: Picture, *, train: bool = False) -> Float[Array, "B h w D"]:
    """Features of pictures.

    Args:
      image: [B, H, W, 3] red, green, blue, 0..255; H = W = `picture_size`.
      train: changes nothing.

    Returns:
      [B, h, w, D]; h = H / patch.

    Raises:
      ValueError: pictures of another size.
    """
    side = self.picture_size // self.patch
    return self._tokens(image)[:, 1:].reshape(len(image), side, side, self.width)

  def logits(self, image: Picture, *, train: bool = False) -> Float[Array, "B classes"]:
    """Scores of the ImageNet classes."""
    return self.classifier(self._tokens(image)[:, 0]).astype(jnp.float32)

  def _tokens(self, image: Picture) -> Float[Array, "B T D"]:
    check_sides(image, self.patch, self.picture_size)
    x = self.patches(standardise(image, self.mean, self.deviation, self.dtype))
    x = x.reshape(len(x), -1, self.width)
    token = jnp.broadcast_to(self.token.astype(x.dtype), (len(x), 1, self.width))
    x = jnp.concatenate([token, x], 1) + self.positions.astype(x.dtype)
    everything = jnp.ones((x.shape[1],) * 2, bool)
    for block in self.blocks:
      x = block(x, everything)
    return self.norm_out(x)
