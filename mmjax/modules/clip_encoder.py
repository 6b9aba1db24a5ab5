"""CLIP's picture towers without the pooled vector, as encoders of captioning models."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules import clip
from mmjax.modules.convolution import Picture, check_sides, standardise


class ClipEncoder(nn.Module):
  """A picture tower of `mmjax.modules.clip`: the cells before they are pooled.

  Parameters stand under `visual`: `conv1` to `conv3` and `bn1` to `bn3` (the stem), `layer1_0`, ...
  `layer4_2` of the residual network; `patches`, `token`, `positions`, `norm_in`, `block_0`, ...
  `norm_out` of the vision transformer. E.g. `visual/layer[34]_` picks the last two stages.

  Attributes:
    layers: four numbers for the residual network, one for the vision transformer.
    width: of the vision transformer, or channels of the residual network's stem.
    patch: side in pixels of the vision transformer's patches.
    batch_statistics: in training use the statistics of the batch and let the running ones move;
      off: the running ones always. The vision transformer has none.
    picture_size: side in pixels that the published weights were trained on; the vision transformer
      takes no other.
    dtype: of the computation.
  """

  layers: int | tuple[int, ...]
  width: int
  patch: int = 0
  batch_statistics: bool = False
  picture_size: int = 224
  dtype: DTypeLike = jnp.float32

  mean = clip.MEAN
  deviation = clip.DEVIATION

  @property
  def features(self) -> int:
    """Channels of the result."""
    if isinstance(self.layers, int):
      return self.width
    return self.width * 2 ** (len(self.layers) - 1) * clip.EXPANSION

  @property
  def stride(self) -> int:
    return self.patch if isinstance(self.layers, int) else 32

  def setup(self):
    if isinstance(self.layers, int):
      self.visual = clip.VisionTransformer(self.width, self.layers, self.patch, 0, self.dtype)
    else:
      self.visual = clip.ModifiedResNet(self.width, tuple(self.layers), 0, self.dtype)

  def __call__(self, image: Picture, *, train: bool = False) -> Float[Array, "B h w D"]:
    """Features of pictures.

    Args:
      image: [B, H, W, 3] red, green, blue, 0..255.
      train: see `batch_statistics`.

    Returns:
      [B, h, w, D]; h = H / stride.

    Raises:
      ValueError: sides that the tower does not take.
    """
    transformer = isinstance(self.layers, int)
    check_sides(image, self.stride, self.picture_size if transformer else None)
    x = standardise(image, self.mean, self.deviation, self.dtype)
    if transformer:
      cells = self.visual(x).grid[:, 1:]
    else:
      cells = self.visual(x, train=train and self.batch_statistics).grid
    return cells.reshape(len(x), image.shape[1] // self.stride, -1, self.features)
