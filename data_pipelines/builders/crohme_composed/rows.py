r"""Formulas as rows of what a pen writes: symbols, fractions, roots, fences, and their scripts."""

import dataclasses
from collections.abc import Iterator, Sequence

from mmjax.text import latex_tree
from mmjax.text.latex_tree import Command, Group, Node, Scripted, Symbol

FENCES = {"(": ")", "[": "]", r"\{": r"\}"}
OPERATORS = frozenset(("+", "-", r"\times", r"\div", r"\pm", r"\cdot", "/"))
RELATIONS = frozenset((
    "=", "<", ">", r"\leq", r"\geq", r"\neq", r"\rightarrow", r"\in"))
FUNCTIONS = frozenset((r"\sin", r"\cos", r"\tan", r"\log"))
WITH_LIMITS = frozenset((r"\sum", r"\int", r"\lim"))
MARKS = frozenset((",", ".", "!", r"\prime", "'", r"\ldots", r"\cdots"))


class UndrawableError(ValueError):
  """A formula has something that is no row of symbols, fractions, roots and scripts."""


@dataclasses.dataclass(slots=True, eq=False)
class Sign:
  """A symbol that is written by itself; of a fraction the bar, of a root its sign."""

  token: str


@dataclasses.dataclass(slots=True, eq=False)
class Fraction:
  bar: Sign
  above: "Row"
  below: "Row"


@dataclasses.dataclass(slots=True, eq=False)
class Root:
  sign: Sign
  index: "Row"  # empty where there is none
  body: "Row"


@dataclasses.dataclass(slots=True, eq=False)
class Fence:
  opening: Sign
  body: "Row"
  closing: Sign


@dataclasses.dataclass(slots=True, eq=False)
class Scripts:
  """An item with scripts; either may be empty."""

  base: "Item"
  sub: "Row"
  sup: "Row"


Item = Sign | Fraction | Root | Fence | Scripts
Row = list[Item]


def read(tokens: Sequence[str]) -> Row:
  """The row of a formula.

  Raises:
    UndrawableError: it is malformed, or has commands that are none of ours.
  """
  try:
    return _row(latex_tree.parse(tokens).items)
  except latex_tree.MalformedError as error:
    raise UndrawableError(str(error)) from error


def _row(nodes: Sequence[Node]) -> Row:
  found: Row = []
  for node in _opened(nodes):
    found.append(_item(node))
  return _fenced(found)


def _opened(nodes: Sequence[Node]) -> Iterator[Node]:
  """The nodes without braces that only hold them together."""
  for node in nodes:
    if isinstance(node, Group):
      yield from _opened(node.items)
    else:
      yield node


def _item(node: Node) -> Item:
  if isinstance(node, Symbol):
    return Sign(node.token)
  if isinstance(node, Command) and node.name == r"\frac":
    above, below = node.arguments
    return Fraction(Sign("-"), _row(above.items), _row(below.items))
  if isinstance(node, Command) and node.name == r"\sqrt":
    index = _row(node.arguments[0].items) if len(node.arguments) == 2 else []
    return Root(Sign(r"\sqrt"), index, _row(node.arguments[-1].items))
  if isinstance(node, Scripted):
    return _scripts(node)
  what = node.name if isinstance(node, Command) else type(node).__name__
  raise UndrawableError(f"no rule draws {what}")


def _scripts(node: Scripted) -> Item:
  rows: dict[str, Row] = {"_": [], "^": []}
  for script in node.scripts:
    if script.mark == "'":
      rows["^"].append(Sign("'"))
    elif script.argument is not None:
      rows[script.mark] += _row(script.argument.items)
  base = _row([node.base])
  if not base:  # a script of nothing: a prime in braces
    if rows["_"] or len(rows["^"]) != 1:
      raise UndrawableError("no rule draws a script of nothing")
    return rows["^"][0]
  if len(base) > 1:
    raise UndrawableError("no rule draws the script of a group")
  return Scripts(base[0], rows["_"], rows["^"]) if rows["_"] or rows["^"] else base[0]


def _fenced(row: Row) -> Row:
  """The row with each pair of brackets and what is between them as one item."""
  out: Row = []
  starts: list[int] = []
  for item in row:
    end = item.base if isinstance(item, Scripts) else item
    if isinstance(end, Sign) and end.token in FENCES.values() and starts:
      start = starts[-1]
      opening = out[start]
      assert isinstance(opening, Sign)
      if FENCES[opening.token] == end.token and len(out) > start + 1:
        starts.pop()
        fence = Fence(opening, out[start + 1 :], end)
        out[start:] = [Scripts(fence, item.sub, item.sup) if isinstance(item, Scripts) else fence]
        continue
    if isinstance(item, Sign) and item.token in FENCES:
      starts.append(len(out))
    out.append(item)
  return out


def signs(row: Row) -> Iterator[Sign]:
  """All that is written, in the order of the tokens."""
  for item in row:
    yield from signs_of(item)


def signs_of(item: Item) -> Iterator[Sign]:
  """All that is written of an item."""
  if isinstance(item, Sign):
    yield item
  elif isinstance(item, Fraction):
    yield item.bar
    yield from signs(item.above)
    yield from signs(item.below)
  elif isinstance(item, Root):
    yield item.sign
    yield from signs(item.index)
    yield from signs(item.body)
  elif isinstance(item, Fence):
    yield item.opening
    yield from signs(item.body)
    yield item.closing
  else:
    yield from signs_of(item.base)
    yield from signs(item.sub)
    yield from signs(item.sup)


def rows_of(item: Item) -> list[Row]:
  """The rows within an item that are no fence's, which stand on a line of their own."""
  if isinstance(item, Fraction):
    return [item.above, item.below]
  if isinstance(item, Root):
    return [item.index, item.body]
  if isinstance(item, Scripts):
    return [*rows_of(item.base), item.sub, item.sup]
  return rows_in(item.body) if isinstance(item, Fence) else []


def rows_in(row: Row) -> list[Row]:
  """The rows directly within a row."""
  return [inner for item in row for inner in rows_of(item) if inner]


def items_on_line(row: Row) -> Iterator[Item]:
  """The items that stand on the line of a row itself, also within fences."""
  for item in row:
    yield item
    base = item.base if isinstance(item, Scripts) else item
    if isinstance(base, Fence):
      yield from items_on_line(base.body)


def on_line(row: Row) -> Iterator[Sign]:
  """The symbols that stand on the line of a row itself; neither brackets nor bars of fractions."""
  for item in items_on_line(row):
    base = item.base if isinstance(item, Scripts) else item
    if isinstance(base, Sign):
      yield base


def kind(item: Item) -> str:
  """What decides the space beside an item."""
  base = item.base if isinstance(item, Scripts) else item
  if isinstance(base, Fraction):
    return "fraction"
  if isinstance(base, Root):
    return "root"
  if isinstance(base, Fence):
    return "fence"
  assert isinstance(base, Sign)  # scripts of scripts are no formula
  return kind_of(base.token)


def kind_of(token: str) -> str:
  """What decides the space beside a symbol."""
  if token in FENCES or token in FENCES.values() or token == "|":
    return "bracket"
  for name, tokens in (
      ("operator", OPERATORS), ("relation", RELATIONS), ("function", FUNCTIONS),
      ("limits", WITH_LIMITS), ("mark", MARKS)):
    if token in tokens:
      return name
  return "digit" if token.isdigit() else "letter"
