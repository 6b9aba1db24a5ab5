"""Sizes of pictures after scaling, and the scaling itself."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

cv2.setNumThreads(1)  # OpenCV's own threads fight the loader's


def limit_factors(
    sizes: Int[np.ndarray, "N 2"], low: tuple[int, int], high: tuple[int, int]
) -> Float[np.ndarray, "N"]:
  """Factors that bring pictures under `high` or, failing that need, up to `low` (height, width).

  min(high / size) where that is under 1; else max(low / size) where that is over 1; else 1.
  (Zhao and Gao, 2022, CoMER's size rule.)
  """
  shrink = (np.asarray(high) / sizes).min(-1)
  enlarge = (np.asarray(low) / sizes).max(-1)
  return np.where(shrink < 1, shrink, np.maximum(enlarge, 1))


def scaled_sizes(
    sizes: Int[np.ndarray, "N 2"],
    factors: Float[np.ndarray, "N"],
    *,
    low: tuple[int, int],
    high: tuple[int, int],
) -> Int[np.ndarray, "N 2"]:
  """Heights and widths after scaling by `factors`, never over `high`, never under 1."""
  scaled = sizes * factors[:, None]
  scaled = scaled * limit_factors(scaled, low, high)[:, None]
  return np.clip(np.rint(scaled), 1, high).astype(np.int32)


def resize(picture: UInt8[np.ndarray, "H W"], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
  """`picture` at another size: areas are averaged when it shrinks, interpolated when it grows."""
  if picture.shape == (height, width):
    return picture
  how = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LINEAR
  return cv2.resize(picture, (width, height), interpolation=how)


def decode_grey(data: bytes, name: str) -> UInt8[np.ndarray, "H W"]:
  """An encoded picture as grey values.

  Raises:
    ValueError: it does not decode; names it.
  """
  picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
  if picture is None:
    raise ValueError(f"picture of record {name} does not decode: prepare the data set again")
  return picture
