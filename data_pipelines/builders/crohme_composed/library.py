"""What is known of handwriting: symbols of many writers, and how they stood to one another.

All lengths are in sizes of the line that a symbol stands on (see `lines`), so a symbol keeps how
large and how far off its line its writer made it.
"""

import collections
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from data_pipelines.builders.crohme_composed import lines, rows
from data_pipelines.builders.crohme_composed.handwriting import Strokes, Written, box, box_of, union
from data_pipelines.builders.crohme_composed.lines import Line
from data_pipelines.builders.crohme_composed.rows import (
    Fence,
    Fraction,
    Item,
    Root,
    Row,
    Sign,
)

Rule = TypeVar("Rule")

TALLEST = 6.0  # sizes; what is larger was matched or fitted wrongly
LOW = frozenset("aceimnorsuvwxz") | {r"\alpha", r"\pi", r"\sigma", r"\infty"}
DEEP = frozenset("gjpqy") | {r"\gamma", r"\mu", r"\beta", r"\phi"}
USUAL = (0.06, 0.95)  # quantiles of sizes and places that are kept
OVERLAP = 0.3  # sizes that a limit above or below may reach beside its symbol
GAP = 0.25  # sizes between neighbours where nothing is known
FEW = 8  # examples that a rule of its own takes


class Piece(NamedTuple):
  """A symbol: x from its left end, y from its line, downwards; what it held, for those that do."""

  writer: str
  strokes: Strokes
  box: Float[np.ndarray, "4"]
  held: Float[np.ndarray, "4"] | None  # of a fence or a root, the box within


class ScriptRule(NamedTuple):
  """Of a script: its size, and where it begins.

  Attributes:
    size: of its line, in sizes of its base's line.
    across: from the right end of the base to the left of the script; where `stacked`, from the
      middle of the one to that of the other.
    down: from the base's top (superscripts) or bottom (subscripts) to the line of the script; where
      `stacked`, to the script's end that faces it.
    stacked: whether it is above or below rather than beside.
  """

  size: float
  across: float
  down: float
  stacked: bool


class FractionRule(NamedTuple):
  """Of a fraction: sizes and gaps above and below, offsets of both as shares of the bar's width,
  by how much the bar is wider than the wider one, where it is, and its strokes."""

  sizes: tuple[float, float]
  gaps: tuple[float, float]
  offsets: tuple[float, float]
  wider: float
  bar_at: float
  bar: Piece


class Library(NamedTuple):
  """See the module.

  Attributes:
    pieces: by symbol and writer; brackets are those of fences only.
    gaps: between neighbours of two kinds, sorted.
    scripts: by ("sub" or "sup", shape of the base).
    fractions, indices: of roots' indices, a script beside the left end of the sign's box.
    writers: with how many symbols each.
  """

  pieces: dict[str, dict[str, list[Piece]]]
  gaps: dict[tuple[str, str], Float[np.ndarray, " N"]]
  scripts: dict[tuple[str, str], list[ScriptRule]]
  fractions: list[FractionRule]
  indices: list[ScriptRule]
  writers: dict[str, int]

  def gaps_between(self, left: str, right: str) -> Float[np.ndarray, " N"]:
    """Gaps between two kinds of neighbours; where few are known, between any letters or any."""
    for kinds in ((left, right), ("letter", "letter")):
      if len(self.gaps.get(kinds, ())) >= FEW:
        return self.gaps[kinds]
    return np.sort(np.concatenate([[GAP], *self.gaps.values()]))

  def scripts_of(self, name: str, base: Item) -> list[ScriptRule]:
    """Rules of the scripts of such a base; where few are known, of high letters or of any."""
    for place in ((name, shape(base)), (name, "high")):
      if len(self.scripts.get(place, ())) >= FEW:
        return self.scripts[place]
    return [r for (of, _), rules in self.scripts.items() if of == name for r in rules]


def shape(item: Item) -> str:
  """What decides where scripts of an item stand."""
  if not isinstance(item, Sign):
    return "tall"
  if item.token in rows.WITH_LIMITS:
    return item.token
  if item.token in LOW:
    return "low"
  return "deep" if item.token in DEEP else "high"


def build(written: Sequence[Written]) -> Library:
  """The library of all formulas."""
  made = _Maker()
  for formula, known in zip(written, lines.fit(written)):
    boxes = {sign: box(strokes) for sign, strokes in formula.strokes.items()}
    for row in lines.all_rows(formula.row):
      if id(row) in known:
        made.row(row, formula, boxes, known)
  return made.library()


class _Maker:
  def __init__(self):
    self.pieces = collections.defaultdict(lambda: collections.defaultdict(list))
    self.gaps = collections.defaultdict(list)
    self.scripts = collections.defaultdict(list)
    self.fractions: list[FractionRule] = []
    self.indices: list[ScriptRule] = []
    self.writers: dict[str, int] = collections.Counter()

  def library(self) -> Library:
    gaps = {kinds: np.sort(found) for kinds, found in self.gaps.items()}
    scripts = {
        place: _usual(rules, lambda r: (r.size, r.down, r.across))
        for place, rules in self.scripts.items()
    }
    fractions = _usual(self.fractions, lambda r: (*r.sizes, *r.gaps, r.wider, r.bar_at))
    pieces = {token: dict(of_writers) for token, of_writers in self.pieces.items()}
    return Library(pieces, gaps, scripts, fractions, self.indices,
                   dict(self.writers))

  def row(self, row: Row, formula: Written, boxes, known: Mapping[int, Line]) -> None:
    """Takes in what stands on the line of a row, also within fences."""
    self._items(row, known[id(row)], formula, boxes, known)

  def _items(self, row: Row, line: Line, formula, boxes, known) -> None:
    for item in row:
      self._item(item, line, formula, boxes, known)
    if line.sure:
      for a, b in itertools.pairwise(row):
        left, right = (union([boxes[s] for s in rows.signs_of(i)]) for i in (a, b))
        self.gaps[rows.kind(a), rows.kind(b)].append((right[0] - left[2]) / line.size)

  def _item(self, item: Item, line: Line, formula, boxes, known) -> None:
    if isinstance(item, Sign):
      self._piece(item, line, formula)
    elif isinstance(item, Fence):
      inner = box_of(item.body, boxes)
      for sign in (item.opening, item.closing):
        self._piece(sign, line, formula, inner)
      if line.sure:
        self.gaps["opening", rows.kind(item.body[0])].append(
            (inner[0] - boxes[item.opening][2]) / line.size)
        self.gaps[rows.kind(item.body[-1]), "closing"].append(
            (boxes[item.closing][0] - inner[2]) / line.size)
      self._items(item.body, line, formula, boxes, known)
    elif isinstance(item, Root):
      self._root(item, line, formula, boxes, known)
    elif isinstance(item, Fraction):
      self._fraction(item, line, formula, boxes, known)
    else:
      self._item(item.base, line, formula, boxes, known)
      base = union([boxes[s] for s in rows.signs_of(item.base)])
      for name, script in (("sub", item.sub), ("sup", item.sup)):
        own = known.get(id(script)) if script else None
        if own is not None and own.sure and line.sure:
          rule = _script(item.base, name, base, box_of(script, boxes), own, line)
          self.scripts[name, shape(item.base)].append(rule)

  def _piece(self, sign: Sign, line: Line, formula: Written, held=None) -> None:
    piece = _piece(sign, line, formula, held)
    if max(piece.box[3] - piece.box[1], piece.box[3], -piece.box[1]) < TALLEST:
      self.pieces[sign.token][formula.writer].append(piece)
      self.writers[formula.writer] += 1

  def _root(self, item: Root, line: Line, formula, boxes, known) -> None:
    inner = known.get(id(item.body), line)
    self._piece(item.sign, inner, formula, box_of(item.body, boxes))
    own = known.get(id(item.index)) if item.index else None
    if own is not None and own.sure and line.sure:
      sign, index = boxes[item.sign], box_of(item.index, boxes)
      across, down = (index[2] - sign[0]) / line.size, (own.y - sign[1]) / line.size
      self.indices.append(ScriptRule(own.size / line.size, across, down, False))

  def _fraction(self, item: Fraction, line: Line, formula, boxes, known) -> None:
    inner = [known.get(id(r)) for r in (item.above, item.below)]
    if not line.sure or not all(i is not None and i.sure for i in inner):
      return
    bar, above, below = boxes[item.bar], box_of(item.above, boxes), box_of(item.below, boxes)
    width, y = bar[2] - bar[0], (bar[1] + bar[3]) / 2
    middle = (bar[0] + bar[2]) / 2
    self.fractions.append(FractionRule(
        sizes=(inner[0].size / line.size, inner[1].size / line.size),
        gaps=((y - above[3]) / line.size, (below[1] - y) / line.size),
        offsets=tuple(((b[0] + b[2]) / 2 - middle) / width for b in (above, below)),
        wider=(width - max(above[2] - above[0], below[2] - below[0])) / line.size,
        bar_at=(y - line.y) / line.size,
        bar=_piece(item.bar, line, formula, None)))


def _usual(rules: list[Rule], measures: Callable[[Rule], tuple[float, ...]]) -> list[Rule]:
  """The rules without those that are extreme in a measure, being matched or fitted wrongly."""
  if not rules:
    return []
  values = np.array([measures(rule) for rule in rules])
  low, high = np.quantile(values, USUAL, axis=0)
  kept = ((values >= low) & (values <= high)).all(1)
  return [rule for rule, keep in zip(rules, kept) if keep]


def _piece(sign: Sign, line: Line, formula: Written, held) -> Piece:
  strokes = formula.strokes[sign]
  origin = np.array([box(strokes)[0], line.y])
  scaled = tuple((s - origin) / line.size for s in strokes)
  inside = None if held is None else (held - np.tile(origin, 2)) / line.size
  return Piece(formula.writer, scaled, box(scaled), inside)


def _script(base: Item, name: str, at, script, own: Line, line: Line) -> ScriptRule:
  size, middle = own.size / line.size, (script[0] + script[2]) / 2
  edge = at[3] if name == "sub" else at[1]
  width = at[2] - at[0]
  limits = isinstance(base, Sign) and base.token in rows.WITH_LIMITS
  facing = script[1] if name == "sub" else script[3]
  beyond = (facing - edge) / line.size * (1 if name == "sub" else -1)
  if limits and at[0] - width / 2 < middle < at[2] and beyond > -OVERLAP:
    across = middle - (at[0] + at[2]) / 2
    return ScriptRule(size, across / line.size, (facing - edge) / line.size, True)
  return ScriptRule(size, (script[0] - at[2]) / line.size, (own.y - edge) / line.size, False)
