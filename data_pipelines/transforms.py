"""Sizes of pictures after scaling, the scaling itself, and the pixels of encoded pictures."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

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


_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True)
class Resize:
  """How a picture gets the size that is planned for it.

  Attributes:
    rule: "fit" keeps proportions, and the sizes differ (`scaled_sizes`); "squash" brings each
      picture to the canvas, whatever its proportions (Xu et al., 2015, in its usual
      implementation; CLIP features); "crop" brings the shorter side to `shorter` and cuts the
      canvas out of the middle (He et al., 2016, in evaluation); "own" is what `own` does.
    canvas: height and width under all rules but "fit".
    shorter: side under "crop"; 0: the larger one of the canvas.
    how: "area" averages areas, by OpenCV; "bilinear" and "bicubic" are Pillow's, with its
      smoothing, which torchvision has and published weights expect.
    own: picture -> picture of the size of the canvas.
  """

  rule: str = "fit"
  canvas: tuple[int, int] = (256, 256)
  shorter: int = 0
  how: str = "area"
  own: Callable[[np.ndarray], np.ndarray] | None = None

  def __post_init__(self):
    if self.rule == "own" and self.own:
      return
    if self.rule not in ("fit", "squash", "crop"):
      raise ValueError(f"no rule {self.rule!r} to resize by: use fit, squash or crop")
    if self.how != "area" and self.how not in _PILLOW:
      raise ValueError(f"no interpolation {self.how!r}: use area, {', '.join(_PILLOW)}")
    if self.shorter and self.shorter < max(self.canvas):
      raise ValueError(
          f"pictures whose shorter side is {self.shorter} do not fill a canvas of {self.canvas}:"
          f" set the side to {max(self.canvas)} or more"
      )


FIT = Resize()


def bring_to_size(
    picture: UInt8[np.ndarray, "H W *C"],
    height: int,
    width: int,
    rule: Resize,
    place: tuple[float, float] = (0.5, 0.5),
) -> UInt8[np.ndarray, "h w *c"]:
  """`picture` at its planned size, by `rule`; `place` is that of a "crop"."""
  if rule.own:
    return rule.own(picture)
  if rule.rule == "crop":
    return crop_to_canvas(picture, rule, place)
  return resize(picture, height, width, rule.how)


def resize(
    picture: UInt8[np.ndarray, "H W *C"], height: int, width: int, how: str = "area"
) -> UInt8[np.ndarray, "h w *C"]:
  """`picture` at another size; see `Resize.how`."""
  if picture.shape[:2] == (height, width):
    return picture
  if how != "area":
    return np.asarray(Image.fromarray(picture).resize((width, height), _PILLOW[how]))
  # Areas are averaged when it shrinks; there is nothing to average when it grows.
  method = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LINEAR
  return cv2.resize(picture, (width, height), interpolation=method)


def crop_to_canvas(
    picture: UInt8[np.ndarray, "H W *C"], rule: Resize, place: tuple[float, float] = (0.5, 0.5)
) -> UInt8[np.ndarray, "h w *C"]:
  """`picture` by the rule "crop".

  Sides and offsets are rounded as torchvision does. `place` is that of the canvas: 0 at the top or
  the left, 1 opposite.
  """
  (height, width), (h, w) = picture.shape[:2], rule.canvas
  shorter = rule.shorter or max(rule.canvas)
  if height <= width:
    picture = resize(picture, shorter, int(shorter * width / height), rule.how)
  else:
    picture = resize(picture, int(shorter * height / width), shorter, rule.how)
  top, left = (round((n - m) * at) for n, m, at in zip(picture.shape, (h, w), place))
  return picture[top : top + h, left : left + w]


def decode(data: bytes, name: str, channels: int = 1) -> UInt8[np.ndarray, "H W *C"]:
  """An encoded picture as grey values [H, W], or with 3 channels as RGB [H, W, 3].

  The orientation that a camera may have noted is not heeded: the stored sizes are those of the
  pixels.

  Raises:
    ValueError: it does not decode; names it.
  """
  colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
  try:
    flags = colour | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  except cv2.error:  # raised on empty bytes
    picture = None
  if picture is None:
    raise ValueError(f"picture of record {name} does not decode: prepare the data set again")
  return picture
