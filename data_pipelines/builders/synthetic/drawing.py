"""Formulas drawn by matplotlib's mathtext and distorted as if by a pen.

A formula is cut where nothing but the line it stands on joins its parts, and mathtext lays out each
part (a fraction, a letter with its scripts). Parts recur, so most are laid out once a process:
mathtext takes about a millisecond a symbol, the rest of a picture about one in all.
"""

import dataclasses
import functools
import re
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextToPath

FONTS = ("dejavusans", "cm", "stix", "stixsans")
SPACED = frozenset(("+", "-", r"\div", "=", "<", r"\leq"))
ARGUMENTS = {r"\frac": 2, r"\sqrt": 1}

# Lengths in hundredths of an em (the unit of the outlines), angles in radians, unless said.
SMOOTH = 12  # longest straight piece of an outline, so that the warp can bend it
COARSE = 0.4  # what an outline may lose when points are left out
MARGIN = 2  # pixels around the ink
FINE = 4  # drawn this much larger, then averaged down
EM = (22.0, 34.0)  # pixels
PEN = (1.0, 3.5)  # added to the width of the outlines' strokes
LETTER = 50.0  # a symbol of this size is moved, turned and resized in full
GAP, WIDE_GAP = (7.0, 16.0), (16.0, 32.0)
SYMBOL_SHIFT, SYMBOL_SCALE, SYMBOL_TURN = 2.3, 0.06, 0.06  # standard deviations
PART_SHIFT, PART_SCALE = 2.0, 0.04
SLANT, TURN, STRETCH = (-0.15, 0.30), 0.02, 0.10
WAVES, WAVE_HEIGHT, WAVE_LENGTH = 3, 2.8, (80.0, 280.0)


@dataclasses.dataclass(frozen=True)
class _Outline:
  """Closed contours, one after another; a symbol is one contour or several (holes)."""

  points: Float[np.ndarray, "P 2"]
  contours: Int[np.ndarray, " C"]  # points of each
  symbols: Int[np.ndarray, " S"]  # contours of each
  sizes: Int[np.ndarray, " S"]  # points of each symbol
  low: Float[np.ndarray, "S 2"]  # the corners of the box around each symbol
  high: Float[np.ndarray, "S 2"]


def draw(
    tokens: Sequence[str], rng: np.random.Generator, height_limit: int, width_limit: int
) -> UInt8[np.ndarray, "H W"]:
  """A handwritten-looking picture, white (255) on black, tight but for a margin of 2 pixels.

  A formula too large for the limits (in pixels) is drawn smaller, never cropped.

  Raises:
    ValueError: the tokens are no formula of the grammar, or a limit leaves no room for ink.
  """
  room = np.array([width_limit, height_limit]) - 2 * MARGIN
  if room.min() < 8:
    raise ValueError(f"limits {height_limit} x {width_limit} are too small: 12 pixels at least")
  font = FONTS[rng.integers(len(FONTS))]
  parts = _parts(tokens)
  outlines = [_outline(font, part) for part in parts]
  points = _distort(_write(parts, outlines, rng), rng)
  points -= points.min(0)
  # A pixel is kept for the pen, which widens the outline by less than that on each side.
  scale = min(rng.uniform(*EM) / 100, *((room - 2) / np.maximum(points.max(0), 1e-3)))
  pen = max(1, round(rng.uniform(*PEN) * scale * FINE))
  tight = np.ceil(points.max(0) * scale - 1e-6).astype(int)  # rounding must not pass the limits
  width, height = tight + 2 + 2 * MARGIN
  fixed = np.round((points * scale + MARGIN + 1) * FINE * 16).astype(np.int32)  # 4 bits of fraction
  contours = np.split(fixed, np.cumsum(np.concatenate([o.contours for o in outlines]))[:-1])
  canvas = np.zeros((height * FINE, width * FINE), np.uint8)
  start = 0
  # One call a symbol: holes are left out, but symbols that overlap must not cancel.
  for count in np.concatenate([o.symbols for o in outlines]):
    cv2.fillPoly(canvas, contours[start : start + count], 255, shift=4)
    start += count
  cv2.polylines(canvas, contours, True, 255, thickness=pen, shift=4)
  return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def _write(
    parts: Sequence[str], outlines: Sequence[_Outline], rng: np.random.Generator
) -> Float[np.ndarray, "P 2"]:
  """The parts side by side on one line, each symbol and each part a little off its place."""
  points = np.concatenate([o.points for o in outlines])
  low, high = (np.concatenate([getattr(o, n) for o in outlines]) for n in ("low", "high"))
  symbols, middle = len(low), (low + high) / 2
  reach = (high - low).max(1)
  # A long symbol (a bar, a root) turned or resized as much as a letter would leave its place, and
  # so would the small ones of a script, moved as far.
  calm, shift = np.minimum(1, LETTER / reach), SYMBOL_SHIFT * np.minimum(1, reach / LETTER)
  scale = 1 + rng.normal(0, SYMBOL_SCALE, symbols) * calm
  turn = rng.normal(0, SYMBOL_TURN, symbols) * calm
  to = middle + rng.normal(0, 1, (symbols, 2)) * shift[:, None]
  each = np.stack([scale * np.cos(turn), scale * np.sin(turn), *middle.T, *to.T])
  cos, sin, x0, y0, x1, y1 = np.repeat(each, np.concatenate([o.sizes for o in outlines]), axis=1)
  x, y = points[:, 0] - x0, points[:, 1] - y0
  x, y = x * cos - y * sin + x1, x * sin + y * cos + y1

  sizes = np.array([len(o.points) for o in outlines])
  starts = np.cumsum(sizes) - sizes
  scale = 1 + rng.normal(0, PART_SCALE, len(parts))
  left, right = np.minimum.reduceat(x, starts) * scale, np.maximum.reduceat(x, starts) * scale
  spaced = np.array([part in SPACED for part in parts])
  spaced[1:] |= spaced[:-1].copy()  # on both sides
  gaps = np.where(spaced, rng.uniform(*WIDE_GAP, len(parts)), rng.uniform(*GAP, len(parts)))
  begin = np.cumsum(gaps) + np.cumsum(right - left) - (right - left)
  down = rng.normal(0, PART_SHIFT, len(parts))
  scale, right_by, down = np.repeat(np.stack([scale, begin - left, down]), sizes, axis=1)
  return np.stack([x * scale + right_by, y * scale + down], 1)


def _parts(tokens: Sequence[str]) -> list[str]:
  """Symbols, fractions and roots with their scripts, as mathtext writes them."""
  parts, i = [], 0
  try:
    while i < len(tokens):
      start, i = i, i + 1
      if tokens[start] == r"\sqrt" and tokens[i] == "[":
        i += 3
      for _ in range(ARGUMENTS.get(tokens[start], 0)):
        i = _after_group(tokens, i)
      while i < len(tokens) and tokens[i] in ("_", "^"):
        i = _after_group(tokens, i + 1)
      # A blank after `_` would be taken for the script; a command's name must end at a letter.
      parts.append("".join(t + " " * t.startswith("\\") for t in tokens[start:i]).rstrip())
  except IndexError:
    raise ValueError(f"a group is not closed or an argument is missing in: {tokens}") from None
  if not parts:
    raise ValueError("there is no token to draw")
  return parts


def _after_group(tokens: Sequence[str], i: int) -> int:
  if tokens[i] != "{":
    raise ValueError(f"expected a brace before token {i} of: {tokens}")
  depth = 0
  while True:
    depth += (tokens[i] == "{") - (tokens[i] == "}")
    i += 1
    if depth == 0:
      return i


@functools.lru_cache(None)
def _mathtext(font: str) -> tuple[TextToPath, FontProperties, dict, list[str]]:
  """mathtext in one font, the outlines of its glyphs used so far, the names of its digits."""
  text, properties = TextToPath(), FontProperties(math_fontfamily=font)
  placed, outlines, _ = text.get_glyphs_mathtext(properties, "$0123456789$")
  return text, properties, outlines, [name for name, *_ in placed]


@functools.lru_cache(None)
def _layout(font: str, part: str) -> tuple[list, list]:
  """Glyphs (name, x, y, scale) and bars of a part."""
  text, properties, outlines, _ = _mathtext(font)
  part = re.sub(r"([_^])\{(\w)\}", r"\1\2", part)  # mathtext is slow to read braces
  placed, _, bars = text.get_glyphs_mathtext(properties, f"${part}$", glyph_map=outlines)
  return placed, bars


@functools.lru_cache(None)
def _outline(font: str, part: str) -> _Outline:
  """A part as mathtext lays it out, upright and sharp, y downwards from the baseline."""
  # All digits are of one width: parts that differ in a renaming of digits share one layout.
  digits = list(dict.fromkeys(c for c in part if c.isdigit()))
  placed, bars = _layout(font, "".join(str(digits.index(c)) if c in digits else c for c in part))
  names = _mathtext(font)[-1]
  meant = {names[i]: names[int(digit)] for i, digit in enumerate(digits)}
  glyphs = [(_glyph(font, meant.get(name, name)), at) for name, *at in placed]
  symbols = [[c * scale + (x, y) for c in glyph] for glyph, (x, y, scale) in glyphs]
  symbols += [[_smooth(np.array(corners[:4]))] for corners, _ in bars]
  contours = [c for s in symbols for c in s]
  whole = [np.concatenate(s) * (1, -1) for s in symbols]
  return _Outline(
    points=np.concatenate(whole),
    contours=np.array([len(c) for c in contours]),
    symbols=np.array([len(s) for s in symbols]),
    sizes=np.array([len(w) for w in whole]),
    low=np.array([w.min(0) for w in whole]),
    high=np.array([w.max(0) for w in whole]))


@functools.lru_cache(None)
def _glyph(font: str, name: str) -> list[Float[np.ndarray, "P 2"]]:
  """The contours of a glyph that was laid out before."""
  _, _, outlines, _ = _mathtext(font)
  return [_smooth(np.asarray(c)) for c in Path(*outlines[name]).to_polygons()]


def _smooth(contour: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "Q 2"]:
  """The closed contour with as few points as show its shape, at most `SMOOTH` apart."""
  contour = cv2.approxPolyDP(contour.astype(np.float32), COARSE, True)[:, 0]
  closed = np.concatenate([contour, contour[:1]])
  steps = np.maximum(np.ceil(np.hypot(*np.diff(closed, axis=0).T) / SMOOTH), 1)
  at = np.concatenate([i + np.arange(n) / n for i, n in enumerate(steps)])
  return np.stack([np.interp(at, np.arange(len(closed)), c) for c in closed.T], 1)


def _distort(
    points: Float[np.ndarray, "P 2"], rng: np.random.Generator
) -> Float[np.ndarray, "P 2"]:
  """All of the formula slanted, stretched, turned and bent by a few long waves."""
  slant, turn = rng.uniform(*SLANT), rng.normal(0, TURN)
  stretch = np.exp(rng.normal(0, STRETCH))
  x, y = points.T
  x, y = (x - slant * y) * stretch, y + turn * x
  for _ in range(WAVES):
    angle, phase_x, phase_y = rng.uniform(0, 2 * np.pi, 3)
    along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / rng.uniform(*WAVE_LENGTH)
    x, y = x + WAVE_HEIGHT * np.sin(along + phase_x), y + WAVE_HEIGHT * np.sin(along + phase_y)
  return np.stack([x, y], 1)
