r"""Symbol-layout graphs of formulas: which symbols there are, and where each stands to another.

A node is a symbol, known by its absolute path from the first one: `O` followed by the relations on
the way, so that in `x ^ { 2 } + y` the symbols are O, OSup, OR and ORR. This is the form that the
CROHME competitions compare (symLG, Mahdavi et al., ICDAR 2019) and follows their converter: scripts
stand at the last symbol of their base; a fraction is its bar, `-`; the index of a root is above it;
fences are symbols in the row; fonts, spaces and braces leave no trace. Where the converter knows no
rule, ours are: an accent or line is a node with what it covers inside it; an array holds its rows,
a row its cells, a cell its content; a script of nothing stands at a symbol without a name.
"""

import dataclasses

from mmjax.text import latex_tree
from mmjax.text.latex_tree import Array, Command, Group, Infix, Node, Script, Scripted, Symbol

RIGHT, ABOVE, BELOW, SUB, SUP, INSIDE = "R", "Above", "Below", "Sub", "Sup", "Inside"
ROW, CELL = "Row", "Cell"

# Scripts of these are limits: they stand above and below.
_WITH_LIMITS = frozenset((
  r"\sum", r"\prod", r"\coprod", r"\bigcup", r"\bigcap", r"\bigoplus", r"\bigotimes", r"\bigodot",
  r"\bigvee", r"\bigwedge", r"\bigsqcup", r"\biguplus", r"\lim", r"\limsup", r"\liminf", r"\max",
  r"\min", r"\sup", r"\inf", r"\det", r"\gcd", r"\Pr"))
_LIMIT_COMMANDS = frozenset((r"\mathop", r"\operatorname*", r"\overbrace", r"\underbrace"))
# Names of one symbol.
SYNONYMS = {
  "<": r"\lt", ">": r"\gt", r"\le": r"\leq", r"\ge": r"\geq", r"\ne": r"\neq",
  r"\to": r"\rightarrow", r"\gets": r"\leftarrow", r"\dots": r"\ldots", r"\ast": "*",
  r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\vert": "|",
  r"\lvert": "|", r"\rvert": "|", r"\Vert": r"\|", r"\lVert": r"\|", r"\rVert": r"\|",
  r"\land": r"\wedge", r"\lor": r"\vee", r"\lnot": r"\neg", "'": r"\prime", r"\owns": r"\ni"}
NO_SYMBOL = frozenset((
  "", "~", r"\,", r"\;", r"\:", r"\!", r"\>", "\\ ", "\\", r"\quad", r"\qquad", r"\enspace",
  r"\thinspace", r"\displaystyle", r"\textstyle", r"\scriptstyle", r"\scriptscriptstyle", r"\rm",
  r"\bf", r"\it", r"\cal", r"\sf", r"\tt", r"\mit", r"\boldmath", r"\tiny", r"\scriptsize",
  r"\footnotesize", r"\small", r"\normalsize", r"\large", r"\Large", r"\big", r"\Big", r"\bigg",
  r"\Bigg", r"\bigl", r"\Bigl", r"\biggl", r"\Biggl", r"\bigr", r"\Bigr", r"\biggr", r"\Biggr",
  r"\bigm", r"\Bigm", r"\nonumber"))
SEEN_THROUGH = frozenset((
  *latex_tree.FONTS, *latex_tree.TEXTS, r"\operatorname", r"\operatorname*", r"\mathop",
  r"\mathrel", r"\mathbin", r"\mathord", r"\mathopen", r"\mathclose", r"\mathpunct", r"\smash",
  r"\llap", r"\rlap", r"\ensuremath"))
LEFT_OUT = frozenset((
  r"\hspace", r"\vspace", r"\label", r"\phantom", r"\hphantom", r"\vphantom", r"\rule"))
FRACTIONS = frozenset((r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"))
_NAMED_FRACTIONS = {r"\binom": r"\binom", r"\choose": r"\binom", r"\atop": r"\atop",
                    r"\brace": r"\brace", r"\brack": r"\brack"}


@dataclasses.dataclass(frozen=True)
class Quirks:
  r"""What CROHME's converter does and a reader would not; all off unless asked for.

  Attributes:
    capital_gamma: `\Gamma` is taken for `\gamma`.
    root_twice: the second symbol under a root has an edge from the root, too, besides that from
      its left neighbour; so a wrong one counts as one error more.
    inline_limits: scripts of `\sum`, `\lim` and the like stand above and below only where
      `\limits` is written, as in formulas within a line; and so do those of any other symbol with
      `\limits`. Without the quirk `\limits` changes nothing.
  """

  capital_gamma: bool = False
  root_twice: bool = False
  inline_limits: bool = False


NO_QUIRKS = Quirks()


@dataclasses.dataclass(slots=True)
class Layout:
  """A graph; `symbols` gives each path its symbol, `edges` are (path from, path to, relation)."""

  symbols: dict[str, str]
  edges: set[tuple[str, str, str]]


def layout(tree: Group, quirks: Quirks = NO_QUIRKS) -> Layout:
  """The symbol-layout graph of a formula.

  Args:
    tree: of `latex_tree.parse`.
    quirks: of the competition's converter, to be reproduced.
  """
  return _Drawing(quirks).of(tree)


@dataclasses.dataclass(slots=True)
class _Pending:
  """Scripts that wait for the base that stands before them in the queue."""

  scripts: list[Script]
  limits: bool  # whether the base takes limits, whatever its last symbol
  before: str | None  # path of the symbol before the base


class _Drawing:
  """Places symbols run by run; `runs` has what stands in each relation to a symbol placed."""

  def __init__(self, quirks: Quirks):
    self.quirks = quirks
    self.symbols: dict[str, str] = {}
    self.edges: set[tuple[str, str, str]] = set()
    self.runs: dict[tuple[str, str], list[Node]] = {}
    self.start: tuple[str, str] | None = None  # what the run's first symbol stands in relation to
    self.at: str | None = None  # path of the symbol of the run placed last

  def of(self, tree: Group) -> Layout:
    self._run(None, tree.items)
    while self.runs:
      start = next(iter(self.runs))
      self._run(start, self.runs.pop(start))
    return Layout(self.symbols, self.edges)

  def _run(self, start: tuple[str, str] | None, nodes: list[Node]) -> None:
    """Places a run whose first symbol stands in a relation to one, or is the formula's first."""
    self.start, self.at = start, None
    queue: list[Node | _Pending] = [*reversed(nodes)]
    count = 0
    while queue:
      before = self.at
      queue.extend(reversed(self._place(queue.pop())))
      if self.at != before:
        count += 1
        if (self.quirks.root_twice and count == 2 and self.at is not None
            and start is not None and start[1] == INSIDE and self.symbols[start[0]] == r"\sqrt"):
          self.edges.add((start[0], self.at, INSIDE))

  def _symbol(self, name: str) -> None:
    """Places the next symbol of the run."""
    name = SYNONYMS.get(name, name)
    if name == r"\Gamma" and self.quirks.capital_gamma:
      name = r"\gamma"
    parent = self.start if self.at is None else (self.at, RIGHT)
    if parent is None:
      self.at = "O"
      self.symbols["O"] = name
    else:
      self.at = self._add(name, *parent)

  def _add(self, name: str, parent: str, relation: str) -> str:
    """Adds a symbol in a relation to another; its path."""
    path = parent + relation
    self.symbols[path] = name
    self.edges.add((parent, path, relation))
    return path

  def _hang(self, relation: str, *nodes: Node) -> None:
    """Has nodes placed later, in a relation to the symbol placed last."""
    assert self.at is not None
    self.runs.setdefault((self.at, relation), []).extend(nodes)

  def _place(self, node: "Node | _Pending") -> "list[Node | _Pending]":
    """Places a node's own symbol; gives back what goes on in the same row."""
    if isinstance(node, Symbol):
      if node.token not in NO_SYMBOL:
        self._symbol(node.token)
    elif isinstance(node, Group):
      return [*_fence(node.opening), *node.items, *_fence(node.closing)]
    elif isinstance(node, Scripted):
      base = node.base
      limits = isinstance(base, Command) and base.name in _LIMIT_COMMANDS
      return [base, _Pending(node.scripts, limits, self.at)]
    elif isinstance(node, _Pending):
      self._scripts(node)
    elif isinstance(node, Infix):
      self._symbol("-" if node.name == r"\over" else _NAMED_FRACTIONS[node.name])
      self._hang(ABOVE, node.above)
      self._hang(BELOW, node.below)
    elif isinstance(node, Array):
      self._array(node)
    else:
      return self._command(node)
    return []

  def _scripts(self, pending: _Pending) -> None:
    if self.at == pending.before:
      self._symbol("")
    assert self.at is not None
    written = {s.mark for s in pending.scripts}
    if self.quirks.inline_limits:
      limits = r"\limits" in written
    else:
      limits = pending.limits or self.symbols[self.at] in _WITH_LIMITS
    for script in pending.scripts:
      if script.mark == "'":  # primes come first, wherever they were written
        self._hang(SUP, Symbol(script.mark))
    for script in pending.scripts:
      if script.argument is not None:
        sub = script.mark in latex_tree.SUB
        self._hang((BELOW if sub else ABOVE) if limits else (SUB if sub else SUP), script.argument)

  def _array(self, node: Array) -> None:
    self._symbol(node.name)
    assert self.at is not None
    row, to_row = self.at, INSIDE
    for cells in node.rows[:-1] if node.rows[-1] == [Group([])] else node.rows:
      row = self._add("row", row, to_row)
      cell, to_cell = row, INSIDE
      for content in cells:
        cell = self._add("cell", cell, to_cell)
        self.runs[cell, INSIDE] = content.items
        to_cell = CELL
      to_row = ROW

  def _command(self, node: Command) -> "list[Node | _Pending]":
    name, arguments = node.name, node.arguments
    if name in SEEN_THROUGH:
      return [arguments[-1]]
    if name in LEFT_OUT:
      return []
    if name in (r"\stackrel", r"\overset", r"\underset"):
      mark = "_" if name == r"\underset" else "^"
      scripts = [Script(r"\limits"), Script(mark, arguments[0])]
      return [arguments[1], _Pending(scripts, True, self.at)]
    if name in FRACTIONS or name in _NAMED_FRACTIONS:
      self._symbol(_NAMED_FRACTIONS.get(name, "-"))
      self._hang(ABOVE, arguments[0])
      self._hang(BELOW, arguments[1])
      return []
    self._symbol(name)
    if name.startswith(r"\x"):  # arrows that grow with what is above and below
      for argument in arguments:
        self._hang(BELOW if argument.opening == ("[",) else ABOVE, argument)
    else:
      for argument in arguments[:-1]:
        self._hang(ABOVE, *argument.items)
      self._hang(INSIDE, arguments[-1])
    return []


def _fence(tokens: tuple[str, ...]) -> list[Symbol]:
  r"""The delimiter of a `\left` or `\right`; braces and brackets of arguments are none."""
  joined = "".join(tokens)
  for name in (r"\left", r"\right"):
    if joined.startswith(name):
      delimiter = joined.removeprefix(name)
      return [] if delimiter == "." else [Symbol(delimiter)]
  return []
