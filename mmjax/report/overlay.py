"""Attention drawn over the picture it looks at."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Tint of a cell by how strongly it is looked at: none, half, most.
_STRENGTH = (0.0, 0.5, 1.0)
_TINT = ((255, 255, 255), (255, 196, 84), (240, 96, 48))


def on_paper(picture: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
  """The picture as dark ink on white; one that is mostly black is inverted, others are kept."""
  return 255 - picture if np.median(picture) == 0 else picture


def overlay(
  picture: UInt8[np.ndarray, "H W"], attention: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "H W 3"]:
  """The picture on paper, tinted where the attention is.

  Args:
    picture: grey values.
    attention: weights >= 0 of square cells from the picture's top left corner. Their side is the
      power of two (encoders halve) at which the grid covers the picture; what overhangs at the
      bottom and the right is cut off.

  Returns:
    RGB; the strongest cell has the full tint, unless the attention is spread so evenly that it
    points nowhere: then all of it stays faint.
  """
  height, width = picture.shape
  rows, columns = attention.shape
  side = 2 ** int(np.ceil(np.log2(max(height / rows, width / columns))))
  full = max(attention.max(), 4 * attention.mean(), np.finfo(np.float32).tiny)
  cells = (attention / full).astype(np.float32)
  size = (max(columns * side, width), max(rows * side, height))
  strength = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
  tint = np.stack([np.interp(strength, _STRENGTH, channel) for channel in zip(*_TINT)], axis=-1)
  return (tint * (on_paper(picture)[..., None] / 255)).round().astype(np.uint8)
