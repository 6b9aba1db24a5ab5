"""Tokens by longest match: several patterns, of which the one that reaches furthest wins."""

import re
from collections.abc import Sequence

# A class, an escaped character, a group's opening, a repeat, or any other character.
_SYMBOL = re.compile(r"\[\^?(?:\\.|[^\\\]])+\]|\\.|\(\?:|\{\d+(?:,\d+)?\}|.", re.DOTALL)
_REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Scanner:
  """A deterministic automaton of several regular expressions.

  Python's `re` takes the first alternative that matches, a generated lexer the longest match and
  the first pattern of equals; this is the latter. The automaton is that of Glushkov (1961): a
  state is the set of places in the patterns that the text read so far may have come to. States
  are made when a text first reaches them.

  Args:
    patterns: in Python's syntax, made of characters, escapes, classes, `(?:...)`, `|`, `*`, `+`,
      `?`, `{m}` and `{m,n}`.
  """

  def __init__(self, patterns: Sequence[str]):
    self._atoms: list[str] = []  # what each place reads; an empty one ends a pattern
    self._follow: list[set[int]] = []
    self._ends: dict[int, int] = {}  # the place at the end of a pattern: its number
    start: set[int] = set()
    for number, pattern in enumerate(patterns):
      end = len(self._atoms)
      self._new_place("")
      self._ends[end] = number
      nullable, first, last = _Reader(pattern, self._new_place, self._link).whole()
      if nullable:
        raise ValueError(f"pattern {pattern!r} matches the empty text; have it read a character")
      self._link(last, {end})
      start |= first
    kinds = {atom: i for i, atom in enumerate(dict.fromkeys(filter(None, self._atoms)))}
    self._tests = [re.compile(atom, re.DOTALL).match for atom in kinds]
    self._kinds = [kinds.get(atom, -1) for atom in self._atoms]
    self._signatures: dict[str, int] = {}
    self._states: dict[frozenset[int], _State] = {}
    self.start = self._state(frozenset(start))

  def match(self, text: str, start: int) -> tuple[int, int]:
    """The longest match that begins at `start`: its pattern's number and its end.

    (-1, start) where no pattern matches.
    """
    state, found, end = self.start, -1, start
    for i in range(start, len(text)):
      state = state[text[i]]
      if state.pattern >= 0:
        found, end = state.pattern, i + 1
      if state.final:
        break
    return found, end

  def step(self, places: frozenset[int], char: str) -> "_State":
    """The state after one more character."""
    signature = self._signatures.get(char)
    if signature is None:
      signature = sum(1 << i for i, test in enumerate(self._tests) if test(char))
      self._signatures[char] = signature
    kinds = self._kinds
    reached: set[int] = set()
    for place in places:
      if kinds[place] >= 0 and signature >> kinds[place] & 1:
        reached |= self._follow[place]
    return self._state(frozenset(reached))

  def _state(self, places: frozenset[int]) -> "_State":
    if places not in self._states:
      pattern = min((self._ends[p] for p in places if p in self._ends), default=-1)
      self._states[places] = _State(self, places, pattern)
    return self._states[places]

  def _new_place(self, atom: str) -> int:
    self._atoms.append(atom)
    self._follow.append(set())
    return len(self._atoms) - 1

  def _link(self, before: set[int], after: set[int]) -> None:
    for place in before:
      self._follow[place] |= after


class _State(dict[str, "_State"]):
  """Where each character leads; a character that is new here asks the scanner."""

  __slots__ = ("final", "pattern", "places", "scanner")

  def __init__(self, scanner: Scanner, places: frozenset[int], pattern: int):
    self.scanner = scanner
    self.places = places
    self.pattern = pattern  # of the match that ends here, -1 if none does
    self.final = all(p in scanner._ends for p in places)  # nothing longer can match

  def __missing__(self, char: str) -> "_State":
    self[char] = state = self.scanner.step(self.places, char)
    return state


_Part = tuple[bool, set[int], set[int]]  # may be empty; its first places; its last places


class _Reader:
  """Recursive descent over one pattern; makes its places and links them."""

  def __init__(self, pattern, new_place, link):
    self.pattern = pattern
    self.symbols = _SYMBOL.findall(pattern)
    self.at = 0
    self.new_place = new_place
    self.link = link

  def whole(self) -> _Part:
    part = self.alternatives()
    if self.at < len(self.symbols):
      raise ValueError(f"pattern {self.pattern!r}: a group is closed that was not opened")
    return part

  def peek(self) -> str:
    return self.symbols[self.at] if self.at < len(self.symbols) else ""

  def alternatives(self) -> _Part:
    nullable, first, last = self.sequence()
    while self.peek() == "|":
      self.at += 1
      other = self.sequence()
      nullable, first, last = nullable or other[0], first | other[1], last | other[2]
    return nullable, first, last

  def sequence(self) -> _Part:
    part: _Part = (True, set(), set())
    while self.peek() not in ("", "|", ")"):
      part = self.then(part, self.repeated())
    return part

  def then(self, a: _Part, b: _Part) -> _Part:
    self.link(a[2], b[1])
    return a[0] and b[0], a[1] | b[1] if a[0] else a[1], a[2] | b[2] if b[0] else b[2]

  def repeated(self) -> _Part:
    start = self.at
    part = self.single()
    end, symbol = self.at, self.peek()
    if symbol in _REPEATS:
      least, most = _REPEATS[symbol]
    elif symbol.startswith("{") and len(symbol) > 1:
      least, most = (int(n) for n in (symbol[1:-1].split(",") * 2)[:2])
    else:
      return part
    after = self.at + 1
    if most is None:
      self.link(part[2], part[1])
    whole = (part[0] or least == 0, part[1], part[2])
    for i in range(1, most or 1):  # a repeat is copies, each read anew
      self.at = start
      part = self.single()
      whole = self.then(whole, (part[0] or least <= i, part[1], part[2]))
    assert self.at == end
    self.at = after
    return whole

  def single(self) -> _Part:
    symbol = self.peek()
    self.at += 1
    if symbol == "(?:":
      part = self.alternatives()
      if self.peek() != ")":
        raise ValueError(f"pattern {self.pattern!r}: a group is not closed")
      self.at += 1
      return part
    place = {self.new_place(symbol)}
    return False, place, place
