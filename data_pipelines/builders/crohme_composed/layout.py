"""Writes a formula with symbols and habits of a `Library`."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from data_pipelines.builders.crohme_composed import rows
from data_pipelines.builders.crohme_composed.handwriting import Strokes
from data_pipelines.builders.crohme_composed.library import (
    Library,
    Piece,
    ScriptRule,
)
from data_pipelines.builders.crohme_composed.rows import (
    Fence,
    Fraction,
    Item,
    Root,
    Row,
    Scripts,
    Sign,
)

CANDIDATES = 12  # fences, roots and limits to choose the best fitting of
MISFIT = 0.6  # sum of logarithms of the stretches: others' samples are tried above it
TIGHTEST = -0.02  # sizes between neighbours: what is tighter was so for its own two symbols
SPREAD = 0.22  # of the quantiles of spaces in one formula around that of the formula
SCALE, TURN = 0.05, 0.025  # standard deviations, of a symbol: a share, radians
SMALLEST = 0.22  # of scripts in scripts, in sizes of the formula


class Block:
  """Strokes about a line at y = 0 with their box; x as it comes."""

  def __init__(self, strokes: Sequence[Float[np.ndarray, "P 2"]]):
    self.strokes = list(strokes)
    points = np.concatenate(self.strokes)
    self.left, self.top = points.min(0)
    self.right, self.bottom = points.max(0)

  def moved(self, x: float, y: float) -> "Block":
    return Block([s + (x, y) for s in self.strokes])

  @property
  def middle(self) -> float:
    return (self.left + self.right) / 2

  @property
  def width(self) -> float:
    return self.right - self.left


def joined(blocks: Sequence[Block]) -> Block:
  """All blocks as one."""
  return Block([s for block in blocks for s in block.strokes])


class Hand:
  """One writer, and how wide this formula is written; who helps out where they have no sample."""

  def __init__(self, library: Library, rng: np.random.Generator):
    self.library, self.rng = library, rng
    names = list(library.writers)
    counts = np.array([library.writers[n] for n in names], float)
    self.writer = names[rng.choice(len(names), p=counts / counts.sum())]
    self.wide = rng.uniform(0.1, 0.9)
    self._writers: dict[str, str] = {}

  def pieces(self, token: str) -> list[Piece]:
    """Samples of a symbol, of one writer throughout the formula."""
    of_writers = self.library.pieces[token]
    if token not in self._writers:
      others = list(of_writers)
      one = self.writer if self.writer in of_writers else others[self.rng.integers(len(others))]
      self._writers[token] = one
    return of_writers[self._writers[token]]

  def everyones(self, token: str) -> list[Piece]:
    """Samples of a symbol, of any one writer."""
    of_writers = self.library.pieces[token]
    return of_writers[self.one(list(of_writers))]

  def one(self, items: Sequence):
    return items[int(self.rng.integers(len(items)))]

  def gap(self, left: str, right: str) -> float:
    """A space between neighbours of two kinds, in sizes."""
    found = self.library.gaps_between(left, right)
    at = np.clip(self.wide + self.rng.normal(0, SPREAD), 0.03, 0.97)
    return max(float(np.quantile(found, at)), TIGHTEST)

  def script(self, name: str, base: Item) -> ScriptRule:
    return self.one(self.library.scripts_of(name, base))

  def shaken(self, strokes: Strokes) -> list[Float[np.ndarray, "P 2"]]:
    """A sample a little larger or smaller and turned, about its middle."""
    points = np.concatenate(strokes)
    middle = (points.min(0) + points.max(0)) / 2
    scale = np.exp(self.rng.normal(0, SCALE))
    turn = self.rng.normal(0, TURN) * min(1, 1 / max(np.ptp(points, 0).max(), 1e-9))
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[cos, sin], [-sin, cos]])
    return [(s - middle) @ matrix + middle for s in strokes]


def write(row: Row, library: Library, rng: np.random.Generator) -> list[Float[np.ndarray, "P 2"]]:
  """Strokes of a formula, y downwards, in sizes of its line."""
  return _row(row, 1.0, Hand(library, rng)).strokes


def can_write(row: Row, library: Library) -> bool:
  """Whether there is a sample of every symbol, and an example of every way to place them."""
  return all(s.token in library.pieces for s in rows.signs(row)) and _can_place(row, library)


def _can_place(row: Row, library: Library) -> bool:
  for item in rows.items_on_line(row):
    if isinstance(item, Scripts):
      for name, script in (("sub", item.sub), ("sup", item.sup)):
        if script and not library.scripts_of(name, item.base):
          return False
      item = item.base
    if (isinstance(item, Fraction) and not library.fractions) or (
        isinstance(item, Root) and item.index and not library.indices):
      return False
  return all(_can_place(inner, library) for inner in rows.rows_in(row))


def _row(row: Row, size: float, hand: Hand) -> Block:
  blocks: list[Block] = []
  right = 0.0
  for number, item in enumerate(row):
    block = _item(item, size, hand)
    gap = hand.gap(rows.kind(row[number - 1]), rows.kind(item)) * size if number else 0.0
    block = block.moved(right + gap - block.left, 0)
    right = max(right, block.right)
    blocks.append(block)
  return joined(blocks)


def _item(item: Item, size: float, hand: Hand) -> Block:
  if isinstance(item, Sign):
    piece = hand.one(hand.pieces(item.token))
    return Block([s * size for s in hand.shaken(piece.strokes)])
  if isinstance(item, Fence):
    return _fence(item, size, hand)
  if isinstance(item, Root):
    return _root(item, size, hand)
  if isinstance(item, Fraction):
    return _fraction(item, size, hand)
  base = _item(item.base, size, hand)
  parts = [base]
  for name, script in (("sub", item.sub), ("sup", item.sup)):
    if script:
      parts.append(_script(hand.script(name, item.base), name, base, script, size, hand))
  return joined(parts)


def _script(
    rule: ScriptRule, name: str, base: Block, script: Row, size: float, hand: Hand
) -> Block:
  block = _row(script, max(rule.size * size, SMALLEST), hand)
  edge = base.bottom if name == "sub" else base.top
  if rule.stacked:
    facing = block.top if name == "sub" else block.bottom
    return block.moved(
        base.middle + rule.across * size - block.middle, edge + rule.down * size - facing
    )
  return block.moved(base.right + rule.across * size - block.left, edge + rule.down * size)


def _fence(item: Fence, size: float, hand: Hand) -> Block:
  body = _row(item.body, size, hand)
  opening, closing = (
      _held(sign, body, size, hand, (False, True)) for sign in (item.opening, item.closing)
  )
  first = hand.gap("opening", rows.kind(item.body[0])) * size
  last = hand.gap(rows.kind(item.body[-1]), "closing") * size
  return joined([
      opening.moved(body.left - first - opening.right, 0),
      body,
      closing.moved(body.right + last - closing.left, 0),
  ])


def _held(
    sign: Sign, body: Block, size: float, hand: Hand, stretched: tuple[bool, bool]
) -> Block:
  """A sample that held something as large as the body, stretched (x, y) to hold the body itself."""
  wanted = np.array([body.width, body.bottom - body.top]) / size
  axes = np.array(stretched)

  def misfit(piece: Piece) -> float:
    if piece.held is None:
      return np.inf
    had = piece.held[2:] - piece.held[:2]
    return float((np.abs(np.log(np.maximum(had, 0.05) / np.maximum(wanted, 0.05))) * axes).sum())

  piece = min((hand.one(hand.pieces(sign.token)) for _ in range(CANDIDATES)), key=misfit)
  if misfit(piece) > MISFIT:
    piece = min((hand.one(hand.everyones(sign.token)) for _ in range(3 * CANDIDATES)), key=misfit)
  strokes = hand.shaken(piece.strokes)
  if piece.held is None:
    return Block([s * size for s in strokes])
  had = np.maximum(piece.held[2:] - piece.held[:2], 0.05)
  scale = np.where(axes, np.maximum(wanted, 0.05) / had, 1.0)
  to = np.array([body.left, body.top]) / size
  move = np.where(axes, to - piece.held[:2] * scale, 0.0)
  return Block([(s * scale + move) * size for s in strokes])


def _root(item: Root, size: float, hand: Hand) -> Block:
  body = _row(item.body, size, hand)
  sign = _held(item.sign, body, size, hand, (True, True))
  if not item.index:
    return joined([sign, body])
  rule = hand.one(hand.library.indices)
  index = _row(item.index, max(rule.size * size, SMALLEST), hand)
  at = (sign.left + rule.across * size - index.right, sign.top + rule.down * size)
  return joined([index.moved(*at), sign, body])


def _fraction(item: Fraction, size: float, hand: Hand) -> Block:
  rule = hand.one(hand.library.fractions)
  above, below = (
      _row(r, max(s * size, SMALLEST), hand) for r, s in zip((item.above, item.below), rule.sizes)
  )
  width = max(above.width, below.width, 0.2 * size) + rule.wider * size
  width = max(width, 0.4 * size)
  line = rule.bar_at * size
  length = max(rule.bar.box[2], 0.05)
  # Stretched in its length alone: a long bar is no more bent than a short one.
  bar = Block([s * (width / length, size) for s in rule.bar.strokes])
  bar = bar.moved(-bar.left, line - (bar.top + bar.bottom) / 2)
  parts = [bar]
  for block, gap, offset, sign in (
      (above, rule.gaps[0], rule.offsets[0], -1), (below, rule.gaps[1], rule.offsets[1], 1)):
    free = (width - block.width) / 2
    x = bar.middle + np.clip(offset * width, -max(free, 0) - 0.1, max(free, 0) + 0.1) - block.middle
    edge = block.bottom if sign < 0 else block.top
    parts.append(block.moved(x, line + sign * max(gap, 0.02) * size - edge))
  return joined(parts)
