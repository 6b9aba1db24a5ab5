"""Random changes of training pictures that leave the planned sizes alone."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from data_pipelines.transforms import Resize, bring_to_size

CELL = 16  # pixels between the points that elastic distortion moves on their own
MOST_MOVED = 0.25  # of the narrower side: how far turns and slants may move the ends of the other
THINNEST = 0.5  # of a pixel on each side; more would break thin strokes


@dataclasses.dataclass(frozen=True)
class Augment:
  """The greatest changes; each picture draws its own up to these, 0 is none.

  Attributes:
    rotate: degrees, either way; less for long formulas (see `MOST_MOVED`).
    shear: sideways shift for each pixel of height; less for tall formulas.
    elastic: pixels by which ink wanders, on a random smooth field (Simard et al., 2003).
    stroke: pixels by which strokes widen on each side; they thin by at most `THINNEST`.
    brightness: share of the range of values that is added or taken.
    contrast: share by which differences from the mean grow or shrink.
    crop: share of each side that is cut off, at random places; proportions stay.
    flip: whether every other picture is mirrored.
  """

  rotate: float = 0.0
  shear: float = 0.0
  elastic: float = 0.0
  stroke: float = 0.0
  brightness: float = 0.0
  contrast: float = 0.0
  crop: float = 0.0
  flip: bool = False

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value < 0:
        raise ValueError(f"augment.{field.name} is {value}: give 0 or more")
    for name in ("brightness", "contrast", "crop"):
      if getattr(self, name) >= 1:
        raise ValueError(f"augment.{name} is {getattr(self, name)}: it is a share, under 1")

  @property
  def any(self) -> bool:
    return self != UNCHANGED


UNCHANGED = Augment()


def augmented(
    picture: UInt8[np.ndarray, "H W *C"],
    h: int,
    w: int,
    rule: Resize,
    a: Augment,
    draw: np.random.Generator,
) -> UInt8[np.ndarray, "h w *C"]:
  """`picture` brought to h x w by `rule` and changed at random; the same for the same `draw`."""
  if a.crop:
    picture = _window(picture, a.crop, draw)
  if a.flip and draw.random() < 0.5:
    picture = np.ascontiguousarray(picture[:, ::-1])
  place = tuple(draw.random(2)) if a.crop and rule.rule == "crop" else (0.5, 0.5)
  picture = np.ascontiguousarray(bring_to_size(picture, h, w, rule, place))
  if a.rotate or a.shear or a.elastic:
    picture = _warp(picture, a, draw)
  if a.stroke:
    picture = change_strokes(picture, max(draw.uniform(-a.stroke, a.stroke), -THINNEST))
  if a.brightness or a.contrast:
    picture = change_tones(
        picture,
        draw.uniform(-a.brightness, a.brightness),
        draw.uniform(-a.contrast, a.contrast),
    )
  return picture


def _window(
    picture: UInt8[np.ndarray, "H W *C"], most: float, draw: np.random.Generator
) -> UInt8[np.ndarray, "h w *C"]:
  share = 1 - draw.uniform(0, most)
  sides = [max(1, round(n * share)) for n in picture.shape[:2]]
  top, left = (int(draw.integers(0, n - m + 1)) for n, m in zip(picture.shape, sides))
  return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def background(picture: UInt8[np.ndarray, "H W *C"]) -> Float[np.ndarray, "*C"]:
  """The middle value along the edges: black under white ink, the paper's under dark ink."""
  edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
  return np.median(np.concatenate(edges), axis=0)


def _warp(
    picture: UInt8[np.ndarray, "H W *C"], a: Augment, draw: np.random.Generator
) -> UInt8[np.ndarray, "H W *C"]:
  """Turned, slanted and distorted, in one sampling of the picture."""
  height, width = picture.shape[:2]
  photograph = picture.ndim == 3
  most, slanted = np.radians(a.rotate), a.shear
  if not photograph:  # a long formula would have to be made too small
    most = min(most, np.arctan(MOST_MOVED * min(height, width) / max(height, width)))
    slanted = min(slanted, MOST_MOVED * width / height)
  angle, slant = draw.uniform(-most, most), draw.uniform(-slanted, slanted)
  turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  linear = turn @ [[1, slant], [0, 1]]
  if not photograph:  # made smaller, so that no ink leaves the picture
    corners = np.abs(linear) @ [width, height]
    linear *= min(1.0, *(np.array([width, height]) / corners))
  centre = (np.array([width, height]) - 1) / 2
  back = np.linalg.inv(linear)
  x, y = np.arange(width) - centre[0], np.arange(height) - centre[1]
  across = back[0, 0] * x + back[0, 1] * y[:, None] + centre[0]
  down = back[1, 0] * x + back[1, 1] * y[:, None] + centre[1]
  if a.elastic:
    field = elastic_field(height, width, a.elastic, draw)
    across, down = across + field[..., 0], down + field[..., 1]
  border = cv2.BORDER_REFLECT_101 if photograph else cv2.BORDER_CONSTANT
  value = () if photograph else float(background(picture))
  return cv2.remap(
      picture,
      across.astype(np.float32),
      down.astype(np.float32),
      cv2.INTER_LINEAR,
      borderMode=border,
      borderValue=value,
  )


def elastic_field(
    height: int, width: int, most: float, draw: np.random.Generator
) -> Float32[np.ndarray, "H W 2"]:
  """Displacements (across, down) of up to about `most` pixels, near none along the edges."""
  rows, columns = max(3, height // CELL + 2), max(3, width // CELL + 2)
  points = draw.uniform(-most, most, (rows, columns, 2)).astype(np.float32)
  points[[0, -1]] = points[:, [0, -1]] = 0
  return cv2.resize(points, (width, height), interpolation=cv2.INTER_CUBIC)


def change_strokes(
    picture: UInt8[np.ndarray, "H W *C"], pixels: float
) -> UInt8[np.ndarray, "H W *C"]:
  """Strokes widened by `pixels` on each side, or thinned; parts of a pixel are blended in."""
  light_ink = background(picture).mean() < 128
  grow = cv2.dilate if light_ink == (pixels > 0) else cv2.erode
  kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
  whole, part = divmod(abs(pixels), 1)
  if whole:
    picture = grow(picture, kernel, iterations=int(whole))
  if part:
    picture = cv2.addWeighted(picture, 1 - part, grow(picture, kernel), part, 0)
  return picture


def change_tones(
    picture: UInt8[np.ndarray, "H W *C"], brightness: float, contrast: float
) -> UInt8[np.ndarray, "H W *C"]:
  """Values v -> mean + (v - mean) (1 + contrast) + 255 brightness, within their range."""
  mean = picture.mean()
  table = mean + (np.arange(256) - mean) * (1 + contrast) + 255 * brightness
  return cv2.LUT(picture, np.clip(np.rint(table), 0, 255).astype(np.uint8))
