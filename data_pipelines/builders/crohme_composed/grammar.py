"""New formulas in the manner of given ones: from a grammar fitted to them, or by other symbols."""

import collections
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.builders.crohme_composed import rows
from data_pipelines.builders.crohme_composed.lines import GREEK
from data_pipelines.builders.crohme_composed.rows import (
    Fence,
    Fraction,
    Item,
    Root,
    Row,
    Scripts,
    Sign,
)

ANY = 0.1  # share of items that are drawn without regard to the one before
DEEPEST = 5  # rows within rows
MOST_ITEMS = 40  # of a row
PATIENCE = 40  # tries for each formula asked for
KEPT = frozenset("d")  # of letters: it stands for the differential
CLASSES = (
    frozenset("0123456789"),
    frozenset("abcefghijklmnopqrstuvwxyz"),
    frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    GREEK,
)
_END = ""


class _Key(NamedTuple):
  """An item without what is inside it."""

  base: str
  sub: bool
  sup: bool


class Grammar:
  """For each kind of row, which item follows which, as often as in the formulas given."""

  def __init__(self, formulas: Sequence[Row]):
    self._next: dict[tuple[str, str], collections.Counter] = collections.defaultdict(
        collections.Counter
    )
    self._all: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for row in formulas:
      self._count(row, "line")
    self._tables: dict = {}

  def _count(self, row: Row, role: str) -> None:
    before = _END
    for item in row:
      key = _key(item)
      self._next[role, before][key] += 1
      self._all[role][key] += 1
      before = key.base
      for inner, of_inner in _inner(item):
        self._count(inner, of_inner)
    self._next[role, before][_END] += 1

  def formula(self, rng: np.random.Generator) -> list[str] | None:
    """Tokens of a formula; None if it came out too deep or too long."""
    return self._row("line", 0, rng)

  def _row(self, role: str, depth: int, rng: np.random.Generator) -> list[str] | None:
    if depth > DEEPEST:
      return None
    tokens: list[str] = []
    before = _END
    for _ in range(MOST_ITEMS):
      key = self._draw(("next", role, before), self._next[role, before], rng)
      if key != _END and rng.random() < ANY:
        key = self._draw(("all", role), self._all[role], rng)
      if key == _END:
        return tokens
      item = self._item(key, depth, rng)
      if item is None:
        return None
      tokens += item
      before = key.base
    return None

  def _item(self, key: _Key, depth: int, rng: np.random.Generator) -> list[str] | None:
    tokens, name = [], key.base
    parts: list[tuple[str, str, str]] = []  # opening, role, closing
    if name == r"\frac":
      tokens, parts = [name], [("{", "above", "}"), ("{", "below", "}")]
    elif name == r"\sqrt":
      tokens, parts = [name], [("{", "body", "}")]
    elif name == "index":
      tokens, parts = [r"\sqrt"], [("[", "index", "]"), ("{", "body", "}")]
    elif name.startswith("fence"):
      opening = name.removeprefix("fence")
      parts = [(opening, "fence", rows.FENCES[opening])]
    else:
      tokens = [name]
    role = name if name in rows.WITH_LIMITS else ""
    parts += [("_ {", f"{role}sub", "}")] * key.sub + [("^ {", f"{role}sup", "}")] * key.sup
    for opening, inner, closing in parts:
      row = self._row(inner, depth + 1, rng)
      if not row:
        return None
      tokens += [*opening.split(), *row, closing]
    return tokens

  def _draw(self, name: tuple, counts: collections.Counter, rng: np.random.Generator):
    if name not in self._tables:
      keys = list(counts)
      self._tables[name] = keys, np.cumsum([counts[k] for k in keys])
    keys, sums = self._tables[name]
    return keys[int(np.searchsorted(sums, rng.random() * sums[-1], "right"))]


def _key(item: Item) -> _Key:
  sub, sup = (bool(item.sub), bool(item.sup)) if isinstance(item, Scripts) else (False, False)
  base = item.base if isinstance(item, Scripts) else item
  if isinstance(base, Sign):
    return _Key(base.token, sub, sup)
  if isinstance(base, Fence):
    return _Key(f"fence{base.opening.token}", sub, sup)
  if isinstance(base, Root):
    return _Key("index" if base.index else r"\sqrt", sub, sup)
  assert isinstance(base, Fraction)
  return _Key(r"\frac", sub, sup)


def _inner(item: Item) -> Iterator[tuple[Row, str]]:
  """The rows inside an item, and which kinds of rows they are."""
  base = item.base if isinstance(item, Scripts) else item
  if isinstance(base, Fence):
    yield base.body, "fence"
  elif isinstance(base, Root):
    if base.index:
      yield base.index, "index"
    yield base.body, "body"
  elif isinstance(base, Fraction):
    yield base.above, "above"
    yield base.below, "below"
  if isinstance(item, Scripts):
    role = base.token if isinstance(base, Sign) and base.token in rows.WITH_LIMITS else ""
    for row, name in ((item.sub, "sub"), (item.sup, "sup")):
      if row:
        yield row, role + name


def compose(
    texts: Sequence[str], count: int, known: frozenset[str], rng: np.random.Generator
) -> list[str]:
  """New formulas about as long as those given; fewer than `count` where the grammar has no more.

  Args:
    texts: the formulas that the grammar is fitted to.
    count: how many to make, all different.
    known: formulas not to make.
  """
  grammar = Grammar([rows.read(text.split()) for text in texts])
  bin_of = lambda text: round(4 * math.log2(len(text.split())))
  wanted = collections.Counter(bin_of(texts[i]) for i in rng.integers(len(texts), size=count))
  found: dict[str, None] = {}
  for _ in range(PATIENCE * count):
    if len(found) == count:
      break
    tokens = grammar.formula(rng)
    if not tokens:
      continue
    text = " ".join(tokens)
    if wanted[bin_of(text)] and text not in found and text not in known:
      wanted[bin_of(text)] -= 1
      found[text] = None
  # The shortest formulas are found first.
  made = list(found)
  return [made[i] for i in rng.permutation(len(made))]


class Substitution:
  """Other digits and letters in a formula, each as likely as the root of how often it occurs."""

  def __init__(self, texts: Sequence[str]):
    counts = collections.Counter(token for text in texts for token in text.split())
    self._choices = []
    for tokens in CLASSES:
      own = sorted(t for t in tokens if counts[t] and t not in KEPT)
      weights = np.sqrt([counts[t] for t in own])
      self._choices.append((own, weights / max(weights.sum(), 1)))

  def __call__(self, text: str, rng: np.random.Generator) -> str:
    """The formula with other symbols: a letter by the same one everywhere, each digit anew."""
    letters: dict[str, str] = {}
    tokens = text.split()
    for i, token in enumerate(tokens):
      for own, weights in self._choices:
        if token in own:
          other = letters.get(token) or own[rng.choice(len(own), p=weights)]
          if not token.isdigit():
            letters[token] = other
          tokens[i] = other
    return " ".join(tokens)
