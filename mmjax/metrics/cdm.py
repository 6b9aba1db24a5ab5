r"""Character detection matching: printed formulas compared symbol by symbol where they stand.

Both sides are typeset with a colour of its own for each symbol; the boxes of the colours are
matched one to one, and matches of unlike symbols, or of symbols that have moved, are dropped (Wang
et al., CVPR 2025, "Image Over Text: Transforming Formula Recognition Evaluation with Character
Detection Matching"; costs and thresholds are those of their code). We differ in the split into
symbols, which follows our tree, and in drawing no random numbers.
"""

import dataclasses
import itertools
import re
import shutil
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from mmjax.metrics import formula_pairs, formula_renderer
from mmjax.metrics.measured import Measured, NotAvailableError, Scores
from mmjax.text import latex, latex_tree, symbol_layout
from mmjax.text.latex_tree import Array, Command, Group, Infix, Node, Script, Scripted, Symbol

_PROGRAMS = ("pdflatex", "pdftoppm")
_PREAMBLE = "\\usepackage{xcolor}\n"
_BATCH = 16  # formulas in one run of TeX
_GAP = 15  # between two values of a colour's channel
_VALUES = 255 // _GAP + 1  # of a channel; the last colour is the paper's white
_TOKEN_COST, _POSITION_COST, _ORDER_COST = 1.0, 0.05, 0.15
_LIKE = 0.05  # cost of tokens that look the same
_PIXELS = 20.0  # that a symbol may be off where its neighbours say it is
_ROUNDS = 5  # groups of symbols that have moved together
_TRIALS = 50  # pairs of matches that may set the move of a group

_LOOKALIKES = symbol_layout.SYNONYMS | {
  r"\dot": ".", r"\cdot": ".", r"\cdotp": ".", r"\ldotp": ".", r"\mid": "|", r"\top": "T",
  r"\slash": "/", r"\colon": ":", r"\parallel": r"\|", r"\dag": r"\dagger",
  r"\ddag": r"\ddagger", r"\neg": r"\lnot"}
_DOTS = {r"\ldots": ".", r"\dots": ".", r"\cdots": r"\cdot"}
_OPERATORS = dict.fromkeys(
  (rf"\{name}" for name in (
    "arccos", "arcsin", "arctan", "arg", "cos", "cosh", "cot", "coth", "csc", "deg", "dim", "exp",
    "hom", "ker", "lg", "ln", "log", "sec", "sin", "sinh", "tan", "tanh")), r"\operatorname"
) | dict.fromkeys(
  (rf"\{name}" for name in ("det", "gcd", "inf", "lim", "max", "min", "Pr", "sup")),
  r"\operatorname*")
_SIZED = re.compile(r"\\[bB]igg?[lrm]?")


@dataclasses.dataclass(frozen=True)
class Boxes:
  """Where the symbols of a formula stand.

  Attributes:
    tokens: of the N symbols that left ink.
    boxes: [N, 4] left, top, right, bottom, in pixels.
    size: width and height of the picture, in pixels.
  """

  tokens: tuple[str, ...]
  boxes: Float[np.ndarray, "N 4"]
  size: tuple[int, int]


def measure(
    references: Sequence[Sequence[str]], hypotheses: Sequence[str | None], processes: int = 1
) -> Measured:
  """F1 of symbols that stand where they should.

  Samples none of whose references can be typeset are left out, as in the paper's code. Of several
  references the best counts.

  Args:
    references: for each sample one or more strings of LaTeX.
    hypotheses: one such string for each sample, or None where it was dropped; that, and one that
      cannot be typeset, scores 0.
    processes: that typeset and compare at the same time.

  Returns:
    Statistics whose scores (0..1) are `cdm`: mean F1; `exprate_cdm`: share of formulas with all
    symbols right.

  Raises:
    ValueError: no samples, lengths that differ, a sample without reference, or no reference that
      can be typeset.
    NotAvailableError: pdflatex or pdftoppm is not installed.
  """
  formula_pairs.check(references, hypotheses)
  missing = [p for p in _PROGRAMS if not shutil.which(p)]
  if missing:
    raise NotAvailableError(
      f"CDM needs {' and '.join(missing)}; on Debian: apt-get install texlive-latex-extra "
      "poppler-utils")
  formulas = list(dict.fromkeys(
    [f for sample in references for f in sample] + [h for h in hypotheses if h is not None]))
  batches = [formulas[i : i + _BATCH] for i in range(0, len(formulas), _BATCH)]
  located = formula_renderer.map_over(locate, batches, processes)
  boxes = dict(zip(formulas, itertools.chain.from_iterable(located)))
  jobs = [([b for r in sample if (b := boxes[r]) is not None],
           None if hypothesis is None else boxes[hypothesis])
          for sample, hypothesis in zip(references, hypotheses)]
  statistics = np.array([*formula_renderer.map_over(_row, jobs, processes)], np.float64)
  if not statistics[:, 0].any():
    raise ValueError(
      f"none of {len(references)} references can be typeset; the first is {references[0][0]!r}")
  return Measured(statistics, _summarise)


def locate(formulas: Sequence[str]) -> list[Boxes | None]:
  """The symbols of formulas; None where a formula has none, or cannot be typeset."""
  coloured = [_coloured(formula) for formula in formulas]
  bodies = [body for body, tokens in coloured if tokens]
  pages = iter(formula_renderer.typeset(bodies, _PROGRAMS, _PREAMBLE, smooth=False))
  out = []
  for _, tokens in coloured:
    page = next(pages) if tokens else None
    out.append(None if page is None else _boxes(page, tokens))
  return out


def f1(reference: Boxes, hypothesis: Boxes) -> float:
  """Share of symbols, of both sides together, that have a like one in the right place."""
  tokens = _token_cost(reference.tokens, hypothesis.tokens)
  positions, orders = (
    np.abs(a[:, None] - b[None]).mean(-1) for a, b in (
      (reference.boxes / (reference.size * 2), hypothesis.boxes / (hypothesis.size * 2)),
      (_order(len(reference.tokens)), _order(len(hypothesis.tokens)))))
  cost = _TOKEN_COST * tokens + _POSITION_COST * positions + _ORDER_COST * orders
  from scipy import optimize  # JAX brings it; slow to import

  rows, columns = optimize.linear_sum_assignment(cost)
  centres = [(side[:, :2] + side[:, 2:]) / 2 for side in (
    reference.boxes[rows], hypothesis.boxes[columns])]
  right = _unmoved(*centres) & (tokens[rows, columns] < 1)
  return 2 * float(right.sum()) / (len(reference.tokens) + len(hypothesis.tokens))


def _row(pair: tuple[list[Boxes], Boxes | None]) -> list[float]:
  """Statistics of a sample: whether it counts, F1, whether that is 1."""
  references, hypothesis = pair
  if not references:
    return [0.0, 0.0, 0.0]
  best = 0.0 if hypothesis is None else max(f1(r, hypothesis) for r in references)
  return [1.0, best, float(best == 1)]


def _order(count: int) -> Float[np.ndarray, "N 1"]:
  return np.arange(count)[:, None] / count


def _look(token: str) -> str:
  token = _LOOKALIKES.get(token, token)
  return re.sub(r"^\\(wide|var)", r"\\", token)


def _token_cost(first: Sequence[str], second: Sequence[str]) -> Float[np.ndarray, "M N"]:
  """0 for the same token, little for one that looks like it, 1 for any other."""
  same, like = (
    np.array([form(t) for t in first])[:, None] == np.array([form(t) for t in second])[None]
    for form in (str, _look))
  return np.where(same, 0.0, np.where(like, _LIKE, 1.0))


def _unmoved(
    first: Float[np.ndarray, "N 2"], second: Float[np.ndarray, "N 2"]
) -> Bool[np.ndarray, " N"]:
  """Which points fit one of a few moves and scalings that groups of points share."""
  fitting = np.zeros(len(first), bool)
  if len(first) <= 2:
    return ~fitting
  for _ in range(_ROUNDS):
    rest = np.flatnonzero(~fitting)
    if len(rest) <= 2:
      break
    fitting[rest[_largest_group(first[rest], second[rest])]] = True
  return fitting


def _largest_group(
    first: Float[np.ndarray, "N 2"], second: Float[np.ndarray, "N 2"]
) -> Bool[np.ndarray, " N"]:
  """The most points that one move and scaling, set by two of them, brings close."""
  pairs = np.stack(np.triu_indices(len(first), 1), -1)
  if len(pairs) > _TRIALS:
    pairs = pairs[np.random.default_rng(0).choice(len(pairs), _TRIALS, replace=False)]
  best, least = np.zeros(len(first), bool), np.inf
  for pair in pairs:
    a, b = first[pair], second[pair]
    move = b.mean(0) - a.mean(0)
    spans = [np.linalg.norm(p - p.mean(0), axis=1).mean() for p in (a, b)]
    centre = first.mean(0)
    placed = spans[1] / (spans[0] + 1e-10) * (first - centre) + centre + move
    off = np.linalg.norm(placed - second, axis=1)
    near = off < _PIXELS
    total = float(np.square(off).sum())
    if (near.sum(), -total) > (best.sum(), -least):
      best, least = near, total
  return best


def _boxes(page: Image.Image, tokens: Sequence[str]) -> Boxes | None:
  """Boxes of the colours on a page; token n has colour n + 1."""
  pixels = (np.asarray(page, np.int64) + _GAP // 2) // _GAP
  rows, columns = np.nonzero((pixels < _VALUES - 1).any(-1))
  if not rows.size:
    return None
  colours = pixels[rows, columns] @ np.array([_VALUES**2, _VALUES, 1]) - 1
  top, left = rows.min(), columns.min()
  found, boxes = [], []
  for number, token in enumerate(tokens):
    of = colours == number
    if of.any():
      x, y = columns[of] - left, rows[of] - top
      found.append(token)
      boxes.append((x.min() - 1, y.min() - 1, x.max() + 1, y.max() + 1))
  size = int(columns.max() - left + 1), int(rows.max() - top + 1)
  return Boxes(tuple(found), np.array(boxes, np.float64), size) if found else None


def _coloured(formula: str) -> tuple[str, list[str]]:
  """LaTeX with a colour for each symbol, and the symbols; none of what is no formula."""
  try:
    tree = latex.canonical(latex_tree.parse(latex.tokenize(formula)))
  except latex_tree.MalformedError:
    return "", []
  return _Colouring().of(tree)


@dataclasses.dataclass(slots=True)
class _Closing:
  """The right fence of a group, whose symbol comes after those of the group."""

  fence: str


@dataclasses.dataclass(slots=True)
class _Whole:
  """Two tokens that make one symbol: a delimiter with its size, a sign struck through."""

  token: str
  written: str


_Job = str | Node | _Closing | _Whole


class _Colouring:
  """Writes a tree with colours, with a stack of what is still to be written."""

  def __init__(self) -> None:
    self.tokens: list[str] = []

  def of(self, tree: Group) -> tuple[str, list[str]]:
    out: list[str] = []
    jobs: list[_Job] = [tree]
    while jobs:
      job = jobs.pop()
      if isinstance(job, str):
        out.append(job)
      else:
        jobs.extend(reversed(self._jobs(job)))
    if len(self.tokens) > _VALUES**3 - 2:  # more than there are colours
      return "", []
    return latex.detokenize(out), self.tokens

  def _colour(self, token: str) -> str:
    """The colour of the next symbol."""
    self.tokens.append(token)
    number = len(self.tokens)
    channels = (number // _VALUES**2, number // _VALUES % _VALUES, number % _VALUES)
    return f"[RGB]{{{','.join(str(_GAP * c) for c in channels)}}}"

  def _inked(self, token: str, *inner: _Job) -> list[_Job]:
    return [rf"\mathcolor{self._colour(token)}{{", *inner, "}"]

  def _jobs(self, node: Node | _Closing | _Whole) -> list[_Job]:
    if isinstance(node, Symbol):
      return self._symbol(node.token)
    if isinstance(node, _Whole):
      return self._inked(node.token, node.written)
    if isinstance(node, _Closing):
      colour = self._colour(node.fence.removeprefix(r"\right"))
      return [rf"\color{colour}", node.fence, "}"]
    if isinstance(node, Group):
      return self._group(node)
    if isinstance(node, Scripted):
      return self._scripted(node)
    if isinstance(node, Infix):
      if node.name == r"\over":
        return self._inked(r"\frac", r"\frac {", node.above, "} {", node.below, "}")
      return [node.above, node.name, node.below]
    if isinstance(node, Array):
      return [p for p in node.parts() if not isinstance(p, Script)]
    return self._command(node)

  def _symbol(self, token: str) -> list[_Job]:
    if token in symbol_layout.NO_SYMBOL or token in ("&", *latex_tree.ROW_BREAKS, r"\hline"):
      return [token]
    if token in _DOTS:
      return [part for _ in range(3) for part in self._inked(_DOTS[token], _DOTS[token])]
    if token in _OPERATORS:
      return [f"{_OPERATORS[token]} {{", *map(Symbol, token[1:]), "}"]
    return self._inked(token, token)

  def _group(self, node: Group) -> list[_Job]:
    items: list[_Job] = []
    queue = node.items[::-1]
    while queue:
      item = queue.pop()
      following = queue[-1] if queue else None
      if isinstance(item, Symbol) and isinstance(following, Symbol) and (
          item.token == r"\not" or _SIZED.fullmatch(item.token)):
        queue.pop()
        token = following.token if item.token != r"\not" else rf"\not{following.token}"
        items.append(_Whole(token, f"{item.token} {following.token}"))
      else:
        items.append(item)
    left, right = "".join(node.opening), "".join(node.closing)
    if not left.startswith(r"\left"):
      return [left, *items, right] if left else items
    # TeX takes no command between a fence and its delimiter, so the colour changes before it.
    colour = self._colour(left.removeprefix(r"\left"))
    return [rf"{{\color{colour}", left, r"\color{black}", *items, _Closing(right)]

  def _scripted(self, node: Scripted) -> list[_Job]:
    primes = [Symbol(r"\prime") for s in node.scripts if s.mark == "'"]
    out: list[_Job] = [node.base if node.base.parts() else "{}"]
    sup: list[Node] = [*primes]
    for script in node.scripts:
      if script.argument is not None and script.mark in latex_tree.SUB:
        out += ["_", script.argument]
      elif script.argument is not None:
        sup += script.argument.items
    return [*out, "^", Group(sup, ("{",), ("}",))] if sup else out

  def _command(self, node: Command) -> list[_Job]:
    name, arguments = node.name, node.arguments
    if name in latex_tree.TEXTS or name in symbol_layout.LEFT_OUT:
      written = latex.detokenize(latex_tree.write(node))
      return [written] if name in symbol_layout.LEFT_OUT else self._inked(written, written)
    if name in symbol_layout.SEEN_THROUGH or name in (r"\stackrel", r"\overset", r"\underset"):
      return [name, *arguments]
    token = r"\frac" if name in symbol_layout.FRACTIONS else name
    return self._inked(token, name, *arguments)


def _summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
  count = np.maximum(sums[..., 0], 1)
  return {"cdm": sums[..., 1] / count, "exprate_cdm": sums[..., 2] / count}
