"""Pix2Struct's patches of a picture, as a sheet of bytes that goes where pictures go."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from mmjax.modules.patch_encoder import sheet_size


def sheet(
    picture: UInt8[np.ndarray, "H W 3"], patches: int, patch: tuple[int, int], *, normalise: bool
) -> UInt8[np.ndarray, "S w 3"]:
  """The picture resized to at most `patches` patches and cut up (Lee et al., 2023).

  A line of the result holds the float32 numbers of a patch: see `sheet_size`.

  Args:
    picture: of any size.
    patches: rows of the sheet; those behind the picture's patches are 0.
    patch: height and width of a patch.
    normalise: the picture has mean 0 and deviation 1 before it is resized.
  """
  pixels = picture.astype(np.float32)
  if normalise:
    least = 1 / math.sqrt(pixels.size)
    pixels = (pixels - pixels.mean()) / max(pixels.std(), least)
  rows, columns = grid(picture.shape[:2], patches, patch)
  height, width = patch
  size = (columns * width, rows * height)
  resized = [Image.fromarray(c).resize(size, Image.Resampling.BILINEAR)
             for c in pixels.transpose(2, 0, 1)]  # fmt: skip
  cells = np.stack([np.asarray(c) for c in resized], -1)
  cells = cells.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
  cells = cells.reshape(rows * columns, -1)
  high, wide = sheet_size(patches, cells.shape[1])
  out: Float[np.ndarray, "S n"] = np.zeros((high, wide * 3 // 4), "<f4")
  at = np.arange(len(cells))
  out[at, 0], out[at, 1] = at // columns + 1, at % columns + 1
  out[at, 2 : 2 + cells.shape[1]] = cells
  return out.view(np.uint8).reshape(high, wide, 3)


def grid(size: tuple[int, int], patches: int, patch: tuple[int, int]) -> tuple[int, int]:
  """Rows and columns of patches of a picture of `size`: as many as proportions allow."""
  (h, w), (height, width) = size, patch
  scale = math.sqrt(patches * (height / h) * (width / w))
  count = lambda side, unit: max(min(int(scale * side / unit), patches), 1)
  return count(h, height), count(w, width)
