r"""Formulas as the trees that SAN writes, and trees as formulas.

A tree is a list of rows, each with its parent before it. A row is a symbol; `<eos>`, which ends a
chain; or `struct`, which follows a symbol with structures and names them. Each of those opens a
chain whose first row has the relation for its parent's word; what follows the symbol at its own
level is the chain of the relation `right`. So `x ^ { 2 } + y` is

  1 x 0 <sos>;  2 struct 1 x (sup right);  3 2 2 sup;  4 <eos> 3 2;  5 + 2 right;  6 y 5 +;
  7 <eos> 6 y

Reference: Yuan et al., "Syntax-Aware Network for Handwritten Mathematical Expression Recognition",
CVPR 2022. Theirs are `\frac` (above, below), `\sqrt` (L-sup, inside) and scripts (sub, sup; below,
above of `\sum`). Ours have other commands of one or two arguments too, as `\overline` (inside); a
`\left(` in one word is a symbol.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from mmjax.text import latex, latex_tree
from mmjax.text.vocabulary import UnknownWordError

END, START, OPEN = "<eos>", "<sos>", "struct"
EOS, SOS, STRUCT = range(3)  # their numbers
RELATIONS = ("above", "below", "sub", "sup", "L-sup", "inside", "right")
ABOVE, BELOW, SUB, SUP, LEFT_SUP, INSIDE, RIGHT = RELATIONS

# Relation, opening and closing token of each argument, by the kinds of a command's arguments.
_ARGUMENTS = {
  "m": ((INSIDE, "{", "}"),),
  "om": ((LEFT_SUP, "[", "]"), (INSIDE, "{", "}")),
  "mm": ((ABOVE, "{", "}"), (BELOW, "{", "}")),
}
_PUBLISHED = (r"\frac", r"\sqrt")
_PRIME, _LEFT, _RIGHT = "'", r"\left", r"\right"
_Todo = str | tuple[int, frozenset[str]]  # a token, or a row with the scripts of the base before it


class InexpressibleError(ValueError):
  """A formula that is no tree of this kind; `reason` is the same for the same cause."""

  def __init__(self, reason: str, at: int, token: str):
    super().__init__(f"token {at + 1} ({token}): {reason}")
    self.reason = reason


class Row(NamedTuple):
  """A node; parents are counted from 1, and 0 is the root."""

  word: str
  parent: int
  parent_word: str
  relations: tuple[str, ...] = ()  # of a `struct`, in their order


def is_symbol(word: str) -> bool:
  """Whether a word can be a row: it stands for itself, or has arguments that are relations."""
  if word in ("{", "}", *latex_tree.SUB, *latex_tree.SUP, *latex_tree.LIMITS, *latex_tree.INFIXES):
    return False
  if word.startswith((r"\begin", r"\end")) or word in (_LEFT, _RIGHT):
    return False
  return latex_tree.ARGUMENTS.get(word, "m") in _ARGUMENTS


def _fences(word: str, name: str) -> bool:
  """Whether a word is `name` joined with its delimiter."""
  return word.startswith(name) and not word[len(name) : len(name) + 1].isalpha()


def rows_of(tokens: Sequence[str], *, compat: bool = False) -> list[Row]:
  r"""The tree of a formula.

  Args:
    tokens: of the formula; whatever `latex.normalise` makes equal has the same tree, so that
      `\limits` and redundant braces are lost.
    compat: label as the published generator did: arguments in the order they are written in, a `_`
      behind another structure is `above` unless of `\sum`, and only what it could read.

  Raises:
    InexpressibleError: an array, a group that is no argument, a script of nothing.
  """
  if compat:
    return _Reader(tokens, published=True).rows()
  return _Reader(latex.normalise(tokens), published=False).rows()


@dataclasses.dataclass(slots=True)
class _Chain:
  """A chain that is being read."""

  parent: int  # of the next row
  parent_word: str
  closing: str = ""
  symbol: int = 0  # the last one, and its `struct`; 0 where there is none
  struct: int = 0
  awaited: tuple[tuple[str, str, str], ...] = ()  # arguments that the symbol still waits for


class _Reader:
  """One pass over the tokens with a stack of the chains that are open."""

  def __init__(self, tokens: Sequence[str], *, published: bool):
    self._tokens, self._published = tokens, published
    self._at = 0
    self._rows: list[Row] = []
    self._chains = [_Chain(0, START)]

  def rows(self) -> list[Row]:
    for token in self._tokens:
      self._read(token)
      self._at += 1
    if len(self._chains) > 1 or self._chains[0].awaited:
      raise self._cannot("braces or arguments that do not match")
    self._end(self._chains[0])
    return self._rows

  def _cannot(self, reason: str) -> InexpressibleError:
    token = self._tokens[self._at] if self._at < len(self._tokens) else "the end"
    return InexpressibleError(reason, self._at, token)

  def _read(self, token: str) -> None:
    chain = self._chains[-1]
    if chain.awaited:
      self._argument(chain, token)
    elif token == chain.closing:
      self._end(self._chains.pop())
    elif token in ("_", "^"):
      self._script(chain, token)
    elif token == "{":
      raise self._cannot("a group that is no argument")
    elif token == "}":
      raise self._cannot("braces or arguments that do not match")
    elif token != r"\limits":
      self._symbol(chain, token)

  def _argument(self, chain: _Chain, token: str) -> None:
    (relation, opening, closing), *rest = chain.awaited
    if token != opening and opening == "[":
      (relation, opening, closing), *rest = rest
    if token != opening:
      raise self._cannot("braces or arguments that do not match")
    chain.awaited = tuple(rest)
    self._open(chain, relation)
    self._chains.append(_Chain(chain.struct, relation, closing))

  def _script(self, chain: _Chain, token: str) -> None:
    if not chain.symbol:
      raise self._cannot("a script of nothing")
    of_sum = self._rows[chain.symbol - 1].word == r"\sum"
    if token == "^":
      relation = ABOVE if of_sum else SUP
    elif self._published and chain.struct and not of_sum:
      relation = ABOVE
    else:
      relation = BELOW if of_sum else SUB
    if chain.struct and relation in self._rows[chain.struct - 1].relations and not self._published:
      raise self._cannot("two scripts of one kind")
    chain.awaited = ((relation, "{", "}"),)

  def _symbol(self, chain: _Chain, token: str) -> None:
    if not (self._published or is_symbol(token)):
      raise self._cannot(token)
    if chain.struct:
      self._open(chain, RIGHT)
      chain.parent, chain.parent_word, chain.struct = chain.struct, RIGHT, 0
    self._rows.append(Row(token, chain.parent, chain.parent_word))
    chain.symbol = chain.parent = len(self._rows)
    chain.parent_word = token
    if not self._published or token in _PUBLISHED:
      chain.awaited = _ARGUMENTS.get(latex_tree.ARGUMENTS.get(token, ""), ())

  def _open(self, chain: _Chain, relation: str) -> None:
    """Adds a relation to the last symbol's structures."""
    if not chain.struct:
      self._rows.append(Row(OPEN, chain.parent, chain.parent_word))
      chain.struct = len(self._rows)
    row = self._rows[chain.struct - 1]
    there = {*row.relations, relation}
    relations = tuple(r for r in RELATIONS if r in there)
    self._rows[chain.struct - 1] = row._replace(relations=relations)

  def _end(self, chain: _Chain) -> None:
    if not chain.struct:
      self._rows.append(Row(END, chain.parent, chain.parent_word))


def latex_of(rows: Sequence[Row]) -> list[str]:
  r"""The formula of a tree: subscripts before superscripts, arguments in braces.

  Never raises on trees that a model wrote, whatever they are, and always gives a formula that
  `latex_tree.parse` reads: an argument that is missing is empty, a structure of no symbol is one of
  an empty group, and structures that no LaTeX has (`inside` of a letter) stand behind the symbol.
  """
  return _Writer(rows).tokens()


class _Writer:
  """Writes chains with a stack of what is still to come: tokens, and chains to be written."""

  def __init__(self, rows: Sequence[Row]):
    self._rows = rows
    self._next: dict[int, int] = {}  # the row that goes on from a symbol
    self._chains: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(rows, 1):
      if row.parent and rows[row.parent - 1].word == OPEN:
        self._chains[row.parent][row.parent_word].append(number)
      else:
        self._next[row.parent] = number

  def tokens(self) -> list[str]:
    out: list[str] = []
    todo: list[_Todo] = [(self._next.get(0, 0), frozenset())]
    while todo:
      item = todo.pop()
      if isinstance(item, str):
        out.append(item)
      else:
        todo.extend(reversed(self._item(*item)))
    return _without_lone_fences(out)

  def _item(self, number: int, marks: frozenset[str]) -> list[_Todo]:
    """A symbol with its structures, and the chain that goes on behind it.

    `marks` are the scripts that stand before, at the base that a prime would belong to.
    """
    row = self._rows[number - 1] if number else Row(END, 0, START)
    if row.word == END:
      return []
    head, struct = (["{", "}"], number) if row.word == OPEN else ([row.word], 0)
    follower = self._next.get(number, 0) if not struct else 0
    if follower and self._rows[follower - 1].word == OPEN:
      struct, follower = follower, 0
    chains = dict(self._chains.get(struct, {}))
    right = chains.pop(RIGHT, [])

    structures: list[_Todo] = []
    for relation, opening, closing in _ARGUMENTS.get(latex_tree.ARGUMENTS.get(row.word, ""), ()):
      content = chains.pop(relation, None)
      if content is not None or opening == "{":
        structures += [opening, *self._argument(opening, content or []), closing]
    if LEFT_SUP in chains:
      structures += ["[", *_chains(chains[LEFT_SUP]), "]"]
    if INSIDE in chains:
      structures += ["{", *_chains(chains[INSIDE]), "}"]
    own = set()
    for mark, relations in (("_", (SUB, BELOW)), ("^", (SUP, ABOVE))):
      first, second = (chains.get(r) for r in relations)
      if first is not None and second is not None:
        structures += [mark, "{", *_chains(first), "{", *_chains(second), "}", "}"]
      elif first is not None or second is not None:
        structures += [mark, "{", *_chains(first or second or []), "}"]
      own |= {mark} if first or second else set()
    if row.word != _PRIME:
      marks = frozenset(own)
    elif marks & own:  # they would be second scripts of the base
      head, marks = ["{", "}", _PRIME], frozenset(own)
    else:
      marks |= own
    behind = right or ([follower] if follower else [])
    return [*head, *structures, *((n, marks) for n in behind)]

  def _argument(self, opening: str, numbers: list[int]) -> list[_Todo]:
    """An argument, in braces where it has a bracket or fence that would disturb its brackets."""
    if opening == "{" or not any(map(self._has_bracket, numbers)):
      return _chains(numbers)
    return ["{", *_chains(numbers), "}"]

  def _has_bracket(self, number: int) -> bool:
    todo = [number]
    while todo:
      number = todo.pop()
      word = self._rows[number - 1].word
      if word == "]" or word.startswith((_LEFT, _RIGHT)) or LEFT_SUP in self._chains[number]:
        return True
      todo += [n for numbers in self._chains[number].values() for n in numbers]
      todo += [self._next[number]] if number in self._next else []
    return False


def _chains(numbers: list[int]) -> list[_Todo]:
  """What stands in braces of its own."""
  return [(number, frozenset()) for number in numbers]


def _without_lone_fences(tokens: list[str]) -> list[str]:
  """The delimiter alone where a fence lacks its partner within its group."""
  out = list(tokens)
  left: list[list[int]] = [[]]  # places of open fences, by groups

  def bare(places: list[int], name: str) -> None:
    for at in places:
      out[at] = out[at].removeprefix(name)

  for at, token in enumerate(tokens):
    if token == "{":
      left.append([])
    elif token == "}":
      bare(left.pop(), _LEFT)
    elif _fences(token, _LEFT):
      left[-1].append(at)
    elif _fences(token, _RIGHT):
      if left[-1]:
        left[-1].pop()
      else:
        bare([at], _RIGHT)
  bare(left[0], _LEFT)
  return out


@dataclasses.dataclass(frozen=True)
class TreeWords:
  """Numbers of rows' words: 0 `<eos>`, 1 `<sos>`, 2 `struct`, the symbols, then `RELATIONS`."""

  symbols: tuple[str, ...]

  @classmethod
  def from_words(cls, words: Iterable[str]) -> "TreeWords":
    """Those words of a vocabulary that can be rows."""
    return cls(tuple(word for word in words if is_symbol(word)))

  def __len__(self) -> int:
    return len(self.all)

  @property
  def all(self) -> tuple[str, ...]:
    return (END, START, OPEN, *self.symbols, *RELATIONS)

  def encode(self, rows: Sequence[Row]) -> Int32[np.ndarray, "n 4"]:
    """Word, parent, parent's word, and relations as bits (1 `above`, 2 `below`, ...) of each row.

    Raises:
      UnknownWordError: a symbol is not among them.
    """
    numbers = {word: number for number, word in enumerate(self.all)}
    unknown = sorted({row.word for row in rows} - numbers.keys())
    if unknown:
      raise UnknownWordError(f"not among the tree's {len(self)} words: {unknown[:5]}")
    bits = lambda relations: sum(1 << RELATIONS.index(r) for r in relations)
    encoded = [(numbers[r.word], r.parent, numbers[r.parent_word], bits(r.relations)) for r in rows]
    return np.array(encoded, np.int32).reshape(-1, 4)

  def decode(self, encoded: Int32[np.ndarray, "n 4"]) -> list[Row]:
    """The rows of their numbers."""
    words = self.all
    names = lambda bits: tuple(r for i, r in enumerate(RELATIONS) if bits >> i & 1)
    return [Row(words[w], int(p), words[q], names(bits)) for w, p, q, bits in encoded]
