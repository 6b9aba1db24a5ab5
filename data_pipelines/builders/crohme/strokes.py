"""Pen strokes of InkML files, drawn in the style of the published bitmaps, and their truth.

The bitmaps of train, 2014 and 2016 were measured against the strokes they were drawn from: the
strokes taller than a tenth of the tallest are 28 pixels high on average, the pen is 3 pixels wide,
and 12 pixels are left free on the left and above, 11 on the right and below.
"""

import dataclasses
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mmjax.text.latex import normalise, tokenize

HEIGHT = 28.07  # mean pixels of the strokes that count; the .07 makes up for rounding
COUNTS_FROM = 0.1  # of the tallest stroke
PEN = 3  # pixels
MARGIN = (12, 11)  # pixels left and above, right and below
LONGEST = 4096  # pixels of a side; a formula that would be larger is drawn smaller

# Words of the competition's truth that the published captions write otherwise, or not at all.
SYNONYMS = {
    r"\to": [r"\rightarrow"],
    r"\lt": ["<"],
    r"\gt": [">"],
    r"\lbrack": ["["],
    r"\rbrack": ["]"],
    r"\parallel": ["|", "|"],
    r"\cdotp": [r"\cdot"],
    r"\dots": [r"\ldots"],
    r"\le": [r"\leq"],
    r"\ge": [r"\geq"],
    r"\ne": [r"\neq"],
    r"\lbrace": [r"\{"],
    r"\rbrace": [r"\}"],
    r"\vert": ["|"],
}
DROPPED = frozenset(
    ("$", r"\left", r"\right", r"\big", r"\Big", r"\bigg", r"\Bigg", r"\mbox", r"\mathrm", r"\text")
    + (r"\!", r"\,", r"\;", r"\:", r"\quad", r"\qquad", "~")
)


@dataclasses.dataclass(frozen=True)
class Ink:
  """Strokes as points (x, y), y downwards, and the LaTeX as the file writes it."""

  strokes: tuple[Float[np.ndarray, "P 2"], ...]
  truth: str


def read_inkml(data: bytes) -> Ink:
  """Strokes and truth of an InkML file.

  Raises:
    ValueError: it is none, or has no truth or no strokes; says why.
  """
  if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
    raise ValueError("declares entities, which InkML of CROHME does not")
  try:
    root = ElementTree.fromstring(data)
  except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: its encoding
    raise ValueError(f"no XML ({error})") from error
  if _plain(root.tag) != "ink":
    raise ValueError(f"no InkML: its root is <{_plain(root.tag)}>")
  truth = [a.text or "" for a in root if _plain(a.tag) == "annotation" and a.get("type") == "truth"]
  if not truth or not truth[0].strip(" $\n\r\t"):
    raise ValueError("no annotation of type truth")
  traces = [t for t in root.iter() if _plain(t.tag) == "trace"]
  strokes = [_points(t.text or "", t.get("id", "?")) for t in traces]
  strokes = [s for s in strokes if len(s)]
  if not strokes:
    raise ValueError("no strokes")
  return Ink(tuple(strokes), truth[0])


def _plain(tag: str) -> str:
  return tag.rsplit("}", 1)[-1]


def _points(text: str, name: str) -> Float[np.ndarray, "P 2"]:
  """The first two channels of a trace `x y[ t], x y[ t], ...`."""
  points = [p.split() for p in text.split(",") if p.strip()]
  try:
    values = np.array([(float(p[0]), float(p[1])) for p in points]).reshape(-1, 2)
  except (ValueError, IndexError):
    raise ValueError(f"trace {name} is no list of points") from None
  if not np.isfinite(values).all():
    raise ValueError(f"trace {name} has a point that is not finite")
  return values


def words_of_truth(truth: str) -> tuple[str, ...]:
  """The truth in the form of the published captions.

  Sizes, fonts and spaces go, synonyms become one word, arguments are in braces, a subscript stands
  before its superscript, `\\limits` goes.
  """
  words: list[str] = []
  for word in tokenize(truth):
    if word not in DROPPED:
      words += SYNONYMS.get(word, [word])
  return tuple(_without_braces_round_subscripts(normalise(words)))


def _without_braces_round_subscripts(words: list[str]) -> list[str]:
  """`{ x _ { 1 } } ^ { 2 }` as the captions have it, `x _ { 1 } ^ { 2 }`."""
  opened: list[int] = []
  superfluous: set[int] = set()
  for i, word in enumerate(words):
    if word == "{":
      opened.append(i)
    elif word == "}" and opened:
      start = opened.pop()
      alone = words[start + 2 : start + 4] == ["_", "{"] and _group_end(words, start + 3) == i - 1
      argument = start and words[start - 1] in ("_", "^", "}", "]", r"\sqrt", r"\frac")
      if alone and not argument and words[i + 1 : i + 2] == ["^"]:
        superfluous |= {start, i}
  return [w for i, w in enumerate(words) if i not in superfluous]


def _group_end(words: list[str], start: int) -> int:
  depth = 0
  for i in range(start, len(words)):
    depth += (words[i] == "{") - (words[i] == "}")
    if depth == 0:
      return i
  return -1


def draw(strokes: tuple[Float[np.ndarray, "P 2"], ...]) -> UInt8[np.ndarray, "H W"]:
  """White ink (255) on black."""
  points = np.concatenate(strokes)
  low, high = points.min(0), points.max(0)
  scale = min(_scale(strokes), LONGEST / max((high - low).max(), 1e-9))
  size = np.rint((high - low) * scale).astype(int)
  before, after = (m + PEN // 2 for m in MARGIN)
  canvas = np.zeros((size[1] + 1 + before + after, size[0] + 1 + before + after), np.uint8)
  for stroke in strokes:
    line = np.rint((stroke - low) * scale).astype(np.int32) + before
    cv2.polylines(canvas, [line], False, 255)
    canvas[line[:, 1], line[:, 0]] = 255  # OpenCV draws nothing for a single point
  return cv2.dilate(canvas, np.ones((PEN, PEN), np.uint8))


def _scale(strokes: tuple[Float[np.ndarray, "P 2"], ...]) -> float:
  """Pixels per unit."""
  sizes = np.array([np.ptp(s, axis=0) for s in strokes])
  heights = sizes[:, 1]
  if heights.max() <= 0:  # bars and dots alone: their widths must do
    return HEIGHT / max(sizes[:, 0].max(), 1e-9)
  return HEIGHT / heights[heights > COUNTS_FROM * heights.max()].mean()
