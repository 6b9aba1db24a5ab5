"""Pen strokes of CROHME's training formulas, each stroke told which symbol of the caption it is of.

The files tell which strokes make up which symbol, but not which of several equal symbols of the
caption it is; and their symbols come in an order of their own. That is decided by where each would
stand if the formula were typeset, and formulas are left out whose symbols then do not stand to one
another as the caption says.
"""

import collections
import itertools
import json
import lzma
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from data_pipelines.builders.crohme_composed import rows
from data_pipelines.builders.crohme_composed.rows import (
    Fence,
    Fraction,
    Item,
    Root,
    Row,
    Scripts,
    Sign,
    UndrawableError,
)
from data_pipelines.datasets import SourceError

FILE = "strokes/train.jsonl.xz"
# What the files call symbols of the captions.
LABELS = {
    "<": r"\lt", ">": r"\gt", "'": r"\prime", r"\cdot": ".", r"\cdots": r"\ldots", r"\frac": "-",
}
MANY = "MathBrush"  # a sub-corpus that names one writer for all
DOTS = 3  # symbols `.` that some files have for one row of dots
FLAT = 0.35  # of a fraction's height may what is above it reach below its bar, and the reverse

Strokes = tuple[Float[np.ndarray, "P 2"], ...]


class Written(NamedTuple):
  """A formula as it was written: the strokes of each sign of its row."""

  id: str
  writer: str
  row: Row
  strokes: dict[Sign, Strokes]


def read(directory: str | pathlib.Path, captions: Mapping[str, str]) -> Iterator[Written]:
  """The formulas among `captions` whose symbols can be told apart.

  Args:
    directory: the manual directory of CROHME.
    captions: of the training formulas to read, by id; others in the file are passed over.

  Raises:
    SourceError: the file is missing or damaged; names the line.
  """
  path = pathlib.Path(directory) / FILE
  try:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
      for number, line in enumerate(lines, start=1):
        record = _record(line, f"{path}: line {number}")
        if record["id"] in captions:
          written = _match(record, captions[record["id"]].split())
          if written is not None:
            yield written
  except FileNotFoundError:
    raise SourceError(f"{path} is missing: formulas are composed of its strokes") from None
  except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
    raise SourceError(f"{path} is damaged ({error}): copy it again") from error


def _record(line: str, where: str) -> dict:
  try:
    record = json.loads(line)
    points = [np.asarray(s, np.float64).reshape(-1, 2) for s in record["strokes"]]
    symbols = [(str(label), [points[i] for i in own]) for label, own in record["symbols"]]
    found = {"id": record["id"], "writer": _writer(record), "symbols": symbols}
  except (ValueError, KeyError, TypeError, IndexError) as error:
    raise SourceError(
        f"{where} is no record of strokes ({type(error).__name__}: {error}): it has id, source,"
        " writer, strokes [[x0, y0, x1, y1, ...], ...] and symbols [[label, [stroke, ...]], ...]"
    ) from error
  return found


def _writer(record: dict) -> str:
  """Who wrote it; where a sub-corpus names one writer for all, the sitting that the id names."""
  source, name = record["source"], record["writer"]
  return f"{source} {record['id'].rpartition('-')[0] if source == MANY else name}"


def _match(record: dict, tokens: Sequence[str]) -> Written | None:
  """The formula with its strokes; None where they do not fit the caption."""
  try:
    row = rows.read(tokens)
  except UndrawableError:
    return None
  wanted = list(rows.signs(row))
  labels = [LABELS.get(s.token, s.token) for s in wanted]
  symbols = [(label, tuple(s for s in own if len(s))) for label, own in record["symbols"]]
  symbols = _with_dots([s for s in symbols if s[1]], labels.count(r"\ldots"))
  if collections.Counter(labels) != collections.Counter(label for label, _ in symbols):
    return None
  boxes = np.array([box(strokes) for _, strokes in symbols])
  places = _typeset(row)
  at = np.array([places[s] for s in wanted])
  centres = (boxes[:, :2] + boxes[:, 2:]) / 2
  unit = lambda points: (points - points.min(0)) / np.maximum(np.ptp(points, 0), 1e-9)
  # A long formula is many symbols wide and few rows high: either way an error of one weighs alike.
  weights = np.maximum(np.ptp(at, 0), 0.5)
  here, there = unit(centres) * weights, unit(at) * weights
  strokes: dict[Sign, Strokes] = {}
  for label in set(labels):
    own = [i for i, x in enumerate(labels) if x == label]
    found = [i for i, (x, _) in enumerate(symbols) if x == label]
    cost = ((there[own][:, None] - here[found][None]) ** 2).sum(-1)
    for i, j in zip(*linear_sum_assignment(cost)):
      strokes[wanted[own[i]]] = symbols[found[j]][1]
  if not _stands(row, {sign: box(own) for sign, own in strokes.items()}):
    return None
  return Written(record["id"], record["writer"], row, strokes)


def _with_dots(symbols: list[tuple[str, Strokes]], wanted: int) -> list[tuple[str, Strokes]]:
  r"""Has neighbouring `.` as one `\ldots` as often as the caption has more of these."""
  missing = wanted - sum(label == r"\ldots" for label, _ in symbols)
  dots = sorted((s for s in symbols if s[0] == "."), key=lambda s: box(s[1])[0])
  if missing <= 0 or len(dots) != DOTS * missing:
    return symbols
  merged = [
      (r"\ldots", tuple(p for _, own in dots[i : i + DOTS] for p in own))
      for i in range(0, len(dots), DOTS)
  ]
  return [s for s in symbols if s[0] != "."] + merged


def box(strokes: Strokes) -> Float[np.ndarray, "4"]:
  """Left, top, right, bottom."""
  points = np.concatenate(strokes)
  return np.concatenate([points.min(0), points.max(0)])


def _typeset(row: Row) -> dict[Sign, tuple[float, float]]:
  """Where each sign would stand in print, in sizes of a letter."""
  places: dict[Sign, tuple[float, float]] = {}
  _set_row(row, 0.0, 0.0, 1.0, places)
  return places


def _set_row(row: Row, x: float, y: float, size: float, places: dict) -> tuple[float, float, float]:
  """Places a row from `x` on the line `y`; its right end, top and bottom."""
  top, bottom = y - size / 2, y + size / 2
  for item in row:
    x, high, low = _set_item(item, x, y, size, places)
    top, bottom = min(top, high), max(bottom, low)
  return x, top, bottom


def _extent(row: Row, size: float) -> tuple[float, float, float]:
  """Width, top and bottom of a row on the line 0."""
  return _set_row(row, 0.0, 0.0, size, {})


def _set_item(item: Item, x: float, y: float, size: float, places: dict):
  if isinstance(item, Sign):
    width = size * (2 if item.token in rows.FUNCTIONS | {r"\lim"} else 1)
    places[item] = (x + width / 2, y)
    return x + width, y - size / 2, y + size / 2
  if isinstance(item, Fence):
    places[item.opening] = (x + size / 4, y)
    x, top, bottom = _set_row(item.body, x + size / 2, y, size, places)
    places[item.closing] = (x + size / 4, y)
    return x + size / 2, top, bottom
  if isinstance(item, Root):
    inner = x + size / 2
    if item.index:
      inner = _set_row(item.index, x, y - size / 2, size / 2, places)[0]
    right, top, bottom = _set_row(item.body, inner, y, size, places)
    places[item.sign] = ((x + right) / 2, y)
    return right, top, bottom
  if isinstance(item, Fraction):
    widths, tops, bottoms = zip(
        *(_extent(inner, size) for inner in (item.above, item.below))
    )
    width = max(widths)
    above, below = y - size / 4 - bottoms[0], y + size / 4 - tops[1]
    _set_row(item.above, x + (width - widths[0]) / 2, above, size, places)
    _set_row(item.below, x + (width - widths[1]) / 2, below, size, places)
    places[item.bar] = (x + width / 2, y)
    return x + width, above + tops[0], below + bottoms[1]
  right, top, bottom = _set_item(item.base, x, y, size, places)
  end = right
  for script, down in ((item.sup, top), (item.sub, bottom)):
    if not script:
      continue
    start = right
    if isinstance(item.base, Sign) and item.base.token in rows.WITH_LIMITS:
      start = x
      down += size / 3 if script is item.sub else -size / 3
    reached, high, low = _set_row(script, start, down, size * 0.6, places)
    end, top, bottom = max(end, reached), min(top, high), max(bottom, low)
  return end, top, bottom


def union(boxes: Sequence[Float[np.ndarray, "4"]]) -> Float[np.ndarray, "4"]:
  """The box around boxes."""
  all_of_them = np.array(boxes)
  return np.concatenate([all_of_them[:, :2].min(0), all_of_them[:, 2:].max(0)])


def box_of(row: Row, boxes: Mapping[Sign, Float[np.ndarray, "4"]]) -> Float[np.ndarray, "4"]:
  """The box around a row."""
  return union([boxes[s] for s in rows.signs(row)])


def _stands(row: Row, boxes: Mapping[Sign, Float[np.ndarray, "4"]]) -> bool:
  """Whether a row reads from left to right and its fractions, roots and scripts are in place."""
  middles = []
  for item in row:
    if not _item_stands(item, boxes):
      return False
    base = item.base if isinstance(item, Scripts) else item
    own = union([boxes[s] for s in rows.signs_of(base)])
    middles.append((own[0] + own[2]) / 2)
  return all(a < b for a, b in itertools.pairwise(middles))


def _item_stands(item: Item, boxes: Mapping[Sign, Float[np.ndarray, "4"]]) -> bool:
  middle = lambda b: (b[:2] + b[2:]) / 2
  if isinstance(item, Sign):
    return True
  if isinstance(item, Fence):
    inner = box_of(item.body, boxes)
    inside = boxes[item.opening][0] < middle(inner)[0] < boxes[item.closing][2]
    return inside and _stands(item.body, boxes)
  if isinstance(item, Root):
    sign, body = boxes[item.sign], box_of(item.body, boxes)
    at, reach = middle(body), body[2:] - body[:2]
    inside = (sign[:2] < at).all() and (at < sign[2:] + reach).all()
    fits = inside and reach[1] < 1.5 * (sign[3] - sign[1])
    return bool(fits) and _stands(item.body, boxes) and _stands(item.index, boxes)
  if isinstance(item, Fraction):
    bar, above, below = boxes[item.bar], box_of(item.above, boxes), box_of(item.below, boxes)
    line, slack = middle(bar)[1], FLAT * (below[3] - above[1])
    between = above[3] - slack < line < below[1] + slack
    between &= middle(above)[1] < line < middle(below)[1]
    over = all(bar[0] < middle(b)[0] < bar[2] for b in (above, below))
    return bool(between and over) and _stands(item.above, boxes) and _stands(item.below, boxes)
  base = union([boxes[s] for s in rows.signs_of(item.base)])
  for script, down in ((item.sub, 1), (item.sup, -1)):
    if not script:
      continue
    own = box_of(script, boxes)
    if down * (middle(own)[1] - middle(base)[1]) <= 0 or not _stands(script, boxes):
      return False
    limits = isinstance(item.base, Sign) and item.base.token in rows.WITH_LIMITS
    if not limits and middle(own)[0] < middle(base)[0]:
      return False
  return _item_stands(item.base, boxes)
