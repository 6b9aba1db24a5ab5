r"""LaTeX formulas as trees that keep every token: `write(parse(tokens))` gives back the tokens.

A formula is a bare `Group`; its items are symbols, groups, commands with arguments, items with
scripts, generalised fractions and arrays. Nothing is interpreted beyond that: which braces are
redundant, or where a script of a sum stands, is for those who read the tree. Parsing and walking
keep a stack of their own, since models write formulas far deeper than Python recurses.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any


class MalformedError(ValueError):
  """The tokens are no formula."""


@dataclasses.dataclass(slots=True)
class Symbol:
  """A token that stands for itself; font and size switches are among them."""

  token: str

  def parts(self) -> "list[Part]":
    return [self.token]


@dataclasses.dataclass(slots=True)
class Group:
  r"""A run of items.

  `opening` and `closing` are the tokens around it: `{ }`, `[ ]` for an optional argument,
  `\left ( \right )` in one or two tokens each, or none, as for a whole formula, for an argument
  without braces, and for a cell of an array.
  """

  items: "list[Node]"
  opening: tuple[str, ...] = ()
  closing: tuple[str, ...] = ()

  def parts(self) -> "list[Part]":
    return [*self.opening, *self.items, *self.closing]


@dataclasses.dataclass(slots=True)
class Command:
  r"""A command and its arguments; those written in brackets are optional ones: `\sqrt [ 3 ] x`."""

  name: str
  arguments: list[Group]

  def parts(self) -> "list[Part]":
    return [self.name, *self.arguments]


@dataclasses.dataclass(slots=True)
class Script:
  r"""`_` or `^` (also `\sb`, `\sp`) with its argument; or `'`, `\limits`, `\nolimits` with none."""

  mark: str
  argument: Group | None = None

  def parts(self) -> "list[Part]":
    return [self.mark] if self.argument is None else [self.mark, self.argument]


@dataclasses.dataclass(slots=True)
class Scripted:
  """An item with its scripts in the order written; a script of nothing has a bare, empty base."""

  base: "Node"
  scripts: list[Script]

  def parts(self) -> "list[Part]":
    return [self.base, *self.scripts]


@dataclasses.dataclass(slots=True)
class Infix:
  r"""`above \over below` (`\atop`, `\choose`, ...): all of the group around it."""

  name: str
  above: Group
  below: Group

  def parts(self) -> "list[Part]":
    return [self.above, self.name, self.below]


@dataclasses.dataclass(slots=True)
class Array:
  r"""An environment: cells by rows, and the tokens that ended all rows but the last.

  `opening` holds `\begin`, the name and the columns where written; a `\\` after the last row gives
  a last row of one empty cell.
  """

  name: str
  rows: list[list[Group]]
  breaks: list[str]
  opening: tuple[str, ...]
  closing: tuple[str, ...]

  def parts(self) -> "list[Part]":
    out: list[Part] = [*self.opening]
    for number, row in enumerate(self.rows):
      for column, cell in enumerate(row):
        out += ["&", cell] if column else [cell]
      out += self.breaks[number : number + 1]
    return [*out, *self.closing]


Node = Symbol | Group | Command | Scripted | Infix | Array
Part = str | Node | Script

_LEAVES = (str, Symbol)

SUB, SUP = ("_", r"\sb"), ("^", r"\sp")
LIMITS = (r"\limits", r"\nolimits")
ROW_BREAKS = (r"\\", r"\cr", r"\tabularnewline")
INFIXES = (r"\over", r"\atop", r"\choose", r"\brace", r"\brack")
ACCENTS = (
  r"\hat", r"\widehat", r"\bar", r"\vec", r"\dot", r"\ddot", r"\dddot", r"\tilde", r"\widetilde",
  r"\check", r"\breve", r"\acute", r"\grave", r"\mathring")
FONTS = (
  r"\mathrm", r"\mathbf", r"\mathit", r"\mathsf", r"\mathtt", r"\mathcal", r"\mathbb",
  r"\mathfrak", r"\mathscr", r"\mathnormal", r"\boldsymbol", r"\bm")
TEXTS = (
  r"\text", r"\mbox", r"\hbox", r"\vbox", r"\textrm", r"\textbf", r"\textit", r"\textsf",
  r"\texttt", r"\textnormal", r"\textup", r"\fbox")
# Arguments of commands: m for one in braces or a single item, o for one in brackets.
ARGUMENTS = dict.fromkeys(
  (*ACCENTS, *FONTS, *TEXTS, r"\overline", r"\underline", r"\overbrace", r"\underbrace",
   r"\overrightarrow", r"\overleftarrow", r"\boxed", r"\textcircled", r"\operatorname",
   r"\operatorname*", r"\mathop", r"\mathrel", r"\mathbin", r"\mathord", r"\mathopen",
   r"\mathclose", r"\mathpunct", r"\hspace", r"\vspace", r"\label", r"\phantom", r"\hphantom",
   r"\vphantom", r"\smash", r"\llap", r"\rlap", r"\pmod", r"\ensuremath", r"\substack"), "m"
) | dict.fromkeys(
  (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\binom", r"\overset", r"\underset", r"\stackrel",
   r"\rule", r"\textcolor"), "mm"
) | dict.fromkeys(
  (r"\sqrt", r"\xrightarrow", r"\xleftarrow", r"\xlongequal"), "om"
) | {r"\raisebox": "moom", r"\makebox": "oom", r"\framebox": "oom", r"\multicolumn": "mmm"}
# Environments whose name is followed by a group of columns.
WITH_COLUMNS = ("array", "tabular", "alignedat")

_SCRIPTS = frozenset(SUB + SUP)
_MARKS = frozenset((*LIMITS, "'"))
_BREAKS = frozenset(ROW_BREAKS)
_INFIXES = frozenset(INFIXES)
_RIGHT = "a right fence"  # no token: the delimiter differs


class _Run:
  """An open group; `closer` is the token that ends it, None for the whole formula's."""

  __slots__ = ("buildrels", "closer", "infix", "items", "opening")

  def __init__(self, closer: str | None, opening: tuple[str, ...] = ()):
    self.closer, self.opening = closer, opening
    self.items: list[Node] = []
    self.infix: tuple[str, list[Node]] | None = None
    self.buildrels = 0

  def ended(self) -> list[Node]:
    if self.infix is None:
      return self.items
    name, above = self.infix
    return [Infix(name, Group(above), Group(self.items))]


class _Call:
  """A command, or a script mark, that still waits for arguments; `missing` says of which kinds."""

  __slots__ = ("arguments", "missing", "name")

  def __init__(self, name: str, missing: str):
    self.name, self.missing = name, missing
    self.arguments: list[Group] = []


class _Open:
  """An array whose rows are being read; the cell is the run above it on the stack."""

  __slots__ = ("breaks", "name", "opening", "rows")

  def __init__(self, name: str, opening: tuple[str, ...]):
    self.name, self.opening = name, opening
    self.rows: list[list[Group]] = [[]]
    self.breaks: list[str] = []


def parse(tokens: Sequence[str]) -> Group:
  """The tree of a formula.

  Args:
    tokens: as `latex.tokenize` gives them, or of a caption file.

  Raises:
    MalformedError: braces, fences or environments that do not match, a missing argument, a second
      subscript or superscript, two fractions in one group.
  """
  return _Parser(tokens).formula()


def write(tree: Part) -> list[str]:
  """The tokens of a tree."""
  out = []
  stack = [iter((tree,))]
  while stack:
    for part in stack[-1]:
      if isinstance(part, str):
        out.append(part)
      elif isinstance(part, Symbol):
        out.append(part.token)
      else:
        stack.append(iter(part.parts()))
        break
    else:
      stack.pop()
  return out


def compounds(tree: Part) -> list[Node | Script]:
  """The tree's nodes and scripts but for its symbols, each before those inside it."""
  out: list[Any] = [] if isinstance(tree, _LEAVES) else [tree]
  for part in out:  # which grows on the way
    inner = part.items if part.__class__ is Group else part.parts()
    out += [p for p in inner if not isinstance(p, _LEAVES)]
  return out


class _Parser:
  """One pass over the tokens with a stack of what is open."""

  def __init__(self, tokens: Sequence[str]):
    self.tokens = tokens
    self.at = 0  # of the token being read
    self.stack: list[_Run | _Call | _Open] = [_Run(None)]

  def formula(self) -> Group:
    count = len(self.tokens)
    while self.at < count:
      self._read(self.tokens[self.at])
      self.at += 1
    run = self.stack[-1]
    if len(self.stack) > 1 or not isinstance(run, _Run):
      raise MalformedError(
        f"{len(self.stack) - 1} braces, fences, environments or commands are open at the end")
    return Group(run.ended())

  def _wrong(self, what: str) -> MalformedError:
    token = self.tokens[self.at] if self.at < len(self.tokens) else "the end"
    return MalformedError(f"token {self.at + 1} ({token}): {what}")

  def _read(self, token: str) -> None:
    top = self.stack[-1]
    call = isinstance(top, _Call)
    if isinstance(top, _Call) and top.missing[0] == "o":
      if token == "[":
        self.stack.append(_Run("]", ("[",)))
        return
      top.missing = top.missing.lstrip("o")
    if token == "{":
      self.stack.append(_Run("}", ("{",)))
    elif isinstance(top, _Run) and token == top.closer:
      self._close((token,))
    elif token in _SCRIPTS:
      self._open_script(token)
    elif token in ARGUMENTS:
      self.stack.append(_Call(token, ARGUMENTS[token]))
    elif token[:1] != "\\":
      if token == "}":
        raise self._wrong("no brace is open here, or an argument is missing")
      if token == "'" and not call:
        self._scripted().scripts.append(Script(token))
      elif token == "&" and self._ends_cell():
        self._end_cell()
      else:
        self._deliver(Symbol(token))
    else:
      self._read_command(token)

  def _read_command(self, token: str) -> None:
    top = self.stack[-1]
    if token in _MARKS:
      if not isinstance(top, _Run):
        raise self._wrong("limits where an argument should be")
      self._scripted().scripts.append(Script(token))
    elif token in _BREAKS and self._ends_cell():
      self._end_cell()
      array = self.stack[-2]
      assert isinstance(array, _Open)
      array.breaks.append(token)
      array.rows.append([])
    elif token in _INFIXES and isinstance(top, _Run):
      self._infix(top, token)
    elif token[:6] == r"\begin" and token[6:7] in ("", "{"):
      self._begin(token)
    elif token[:4] == r"\end" and token[4:5] in ("", "{"):
      self._end(token)
    elif token[:5] == r"\left" and not token[5:6].isalpha():
      self.stack.append(_Run(_RIGHT, self._fence(token, 5)))
    elif token[:6] == r"\right" and not token[6:7].isalpha():
      if not isinstance(top, _Run) or top.closer != _RIGHT:
        raise self._wrong(r"no \left is open here, or an argument is missing")
      self._close(self._fence(token, 6))
    else:
      if token == r"\buildrel" and isinstance(top, _Run):
        top.buildrels += 1
      self._deliver(Symbol(token))

  def _infix(self, run: _Run, token: str) -> None:
    if token == r"\over" and run.buildrels:
      run.buildrels -= 1
      run.items.append(Symbol(token))
      return
    if run.infix is not None:
      raise self._wrong("the group has a fraction of this kind already; put one of them in braces")
    run.infix = token, run.items
    run.items = []

  def _fence(self, token: str, name: int) -> tuple[str, ...]:
    r"""Tokens of `\left` or `\right` with its delimiter, which may be joined or the next token."""
    if len(token) > name:
      return (token,)
    self.at += 1
    if self.at >= len(self.tokens):
      raise self._wrong(f"{token} has no delimiter")
    return token, self.tokens[self.at]

  def _close(self, closing: tuple[str, ...]) -> None:
    run = self.stack.pop()
    assert isinstance(run, _Run)
    group = Group(run.ended(), run.opening, closing)
    top = self.stack[-1]
    if isinstance(top, _Call) and run.closer != _RIGHT:
      self._give(top, group)
    else:
      self._deliver(group)

  def _deliver(self, node: Node) -> None:
    """Hands a finished item to the run or the command that waits for it."""
    top = self.stack[-1]
    if isinstance(top, _Run):
      top.items.append(node)
    else:
      assert isinstance(top, _Call)
      self._give(top, Group([node]))

  def _give(self, call: _Call, argument: Group) -> None:
    """Adds an argument, and goes on as long as that finishes a command."""
    while True:
      call.arguments.append(argument)
      call.missing = call.missing[1:]
      if call.missing:
        return
      self.stack.pop()
      top = self.stack[-1]
      if call.name in _SCRIPTS:
        assert isinstance(top, _Run)
        last = top.items[-1]
        assert isinstance(last, Scripted)
        last.scripts.append(Script(call.name, argument))
        return
      node = Command(call.name, call.arguments)
      if isinstance(top, _Run):
        top.items.append(node)
        return
      assert isinstance(top, _Call)
      call, argument = top, Group([node])

  def _scripted(self) -> Scripted:
    """The last item of the run, made ready to take scripts; at the start of a run, of nothing."""
    top = self.stack[-1]
    assert isinstance(top, _Run)
    items = top.items
    if not items:
      items.append(Scripted(Group([]), []))
    elif not isinstance(items[-1], Scripted):
      items[-1] = Scripted(items[-1], [])
    last = items[-1]
    assert isinstance(last, Scripted)
    return last

  def _open_script(self, token: str) -> None:
    if not isinstance(self.stack[-1], _Run):
      raise self._wrong("a script where an argument should be")
    same = SUB if token in SUB else SUP
    if any(script.mark in same for script in self._scripted().scripts):
      raise self._wrong("two scripts of one kind")
    self.stack.append(_Call(token, "m"))

  def _in_cell(self) -> bool:
    return len(self.stack) > 1 and isinstance(self.stack[-2], _Open)

  def _ends_cell(self) -> bool:
    """Whether an `&` or row break ends a cell here rather than stand for itself."""
    if isinstance(self.stack[-1], _Call):
      raise self._wrong("the end of a cell where an argument should be")
    return self._in_cell()

  def _end_cell(self) -> None:
    run, array = self.stack[-1], self.stack[-2]
    assert isinstance(run, _Run) and isinstance(array, _Open)
    array.rows[-1].append(Group(run.ended()))
    self.stack[-1] = _Run(None)

  def _name(self, token: str, command: int) -> tuple[str, list[str]]:
    r"""Name of the environment of a `\begin` or `\end`, and the tokens that say it."""
    if len(token) > command:
      return token[command + 1 : -1], [token]
    return "".join(self._raw()), [token, *self.tokens[self._raw_start : self.at + 1]]

  def _raw(self) -> list[str]:
    """The tokens in the braces that follow; `at` moves to the closing one."""
    self.at += 1
    start = self._raw_start = self.at
    depth = 0
    while self.at < len(self.tokens):
      token = self.tokens[self.at]
      depth += (token == "{") - (token == "}")
      if not depth:
        break
      self.at += 1
    if self.at >= len(self.tokens) or self.at == start:
      raise self._wrong("a name or columns in braces are missing")
    return list(self.tokens[start + 1 : self.at])

  def _begin(self, token: str) -> None:
    name, opening = self._name(token, 6)
    if name.rstrip("*") in WITH_COLUMNS:
      if [*self.tokens[self.at + 1 : self.at + 2]] == ["["]:
        end = next((i for i in range(self.at, len(self.tokens)) if self.tokens[i] == "]"), None)
        if end is None:
          raise self._wrong("a bracket is left open")
        opening += self.tokens[self.at + 1 : end + 1]
        self.at = end
      self._raw()
      opening += self.tokens[self._raw_start : self.at + 1]
    self.stack += [_Open(name, tuple(opening)), _Run(None)]

  def _end(self, token: str) -> None:
    if not self._in_cell():
      raise self._wrong(r"no \begin is open here, or an argument is missing")
    name, closing = self._name(token, 4)
    array = self.stack[-2]
    assert isinstance(array, _Open)
    if name != array.name:
      raise self._wrong(f"the environment that is open is {array.name}, not {name}")
    self._end_cell()
    del self.stack[-2:]
    self._deliver(Array(name, array.rows, array.breaks, array.opening, tuple(closing)))
