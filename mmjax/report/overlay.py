"""Attention drawn over the picture it looks at."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

# Tint of a cell by how strongly it is looked at: none, half, most.
_STRENGTH = (0.0, 0.5, 1.0)
_TINT = ((255, 255, 255), (255, 196, 84), (240, 96, 48))
_HEAT = ((8, 12, 40, 150), (255, 170, 40, 90), (255, 70, 20, 150))  # over a photograph: RGBA
_HEAT_LEVELS = 48
_HEAT_SCALE = 6  # pixels of a cell, so that browsers blend them smoothly


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
  cells = _strength(attention)
  size = (max(columns * side, width), max(rows * side, height))
  strength = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
  tint = np.stack([np.interp(strength, _STRENGTH, channel) for channel in zip(*_TINT)], axis=-1)
  return (tint * (on_paper(picture)[..., None] / 255)).round().astype(np.uint8)


def heat(attention: Float[np.ndarray, "h w"]) -> Image.Image:
  """A see-through picture to lay over a photograph that the cells cover: dark where nobody looks.

  It is small, a palette of few colours, and meant to be stretched over the photograph; its strength
  is that of `overlay`.
  """
  rows, columns = (side * _HEAT_SCALE for side in attention.shape)
  strength = cv2.resize(_strength(attention), (columns, rows), interpolation=cv2.INTER_CUBIC)
  levels = (strength.clip(0, 1) * (_HEAT_LEVELS - 1)).round().astype(np.uint8)
  steps = np.linspace(0, 1, _HEAT_LEVELS)
  palette = np.stack([np.interp(steps, _STRENGTH, c) for c in zip(*_HEAT)], 1).round()
  image = Image.fromarray(levels)
  image.putpalette(palette.astype(np.uint8).tobytes(), "RGBA")
  return image


def _strength(attention: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
  full = max(attention.max(), 4 * attention.mean(), np.finfo(np.float32).tiny)
  return (attention / full).astype(np.float32)
