r"""Recognition rates of formulas by their symbol-layout graphs, as the CROHME competitions count.

A twin in Python of tex -> MathML -> symLG -> LgEval (Mouchère et al., IJDAR 2016; Mahdavi et al.,
ICDAR 2019): redundant braces, the order of scripts, spaces and names of one symbol do not count;
one wrong token may be several errors, or none. Not to be mixed with rates by tokens.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics import formula_pairs
from mmjax.metrics.measured import Measured, Scores
from mmjax.text import latex_tree, symbol_layout
from mmjax.text.symbol_layout import NO_QUIRKS, Layout, Quirks

_NAMES = ("exprate_tree", "exprate_tree_1", "exprate_tree_2", "structure_rate")


def errors(hypothesis: Layout, reference: Layout) -> int:
  """Symbols and edges that differ, over the paths of both graphs.

  A wrong symbol is one error; a missing or superfluous one two, with its edge.
  """
  paths = hypothesis.symbols.keys() | reference.symbols.keys()
  symbols = sum(hypothesis.symbols.get(p) != reference.symbols.get(p) for p in paths)
  return symbols + len(hypothesis.edges ^ reference.edges)


def measure(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str | None],
    quirks: Quirks = NO_QUIRKS,
) -> Measured:
  """Shares of formulas whose graphs agree.

  Of several references of a sample the one with the fewest errors counts.

  Args:
    references: for each sample one or more strings of tokens separated by blanks. A reference
      that is no formula agrees with nothing.
    hypotheses: one such string for each sample, or None where it was dropped; that, and a string
      that is no formula, is wrong in every share.
    quirks: of the competition's tools, to be reproduced.

  Returns:
    Statistics whose scores are `exprate_tree`, `exprate_tree_1`, `exprate_tree_2`: shares (0..1)
    with at most 0, 1, 2 errors; `structure_rate`: share with the same paths and edges, whatever
    the symbols.

  Raises:
    ValueError: no samples, lengths that differ, or a sample without reference.
  """
  rows = []
  for sample, hypothesis in zip(*formula_pairs.tokens(references, hypotheses)):
    graph = None if hypothesis is None else _graph(hypothesis, quirks)
    graphs = [] if graph is None else [g for r in sample if (g := _graph(r, quirks)) is not None]
    row = [1.0, 0.0, 0.0, 0.0, 0.0]
    if graph is not None and graphs:
      fewest = min(errors(graph, g) for g in graphs)
      row[1:4] = [float(fewest <= allowed) for allowed in range(3)]
      row[4] = float(any(
        graph.edges == g.edges and graph.symbols.keys() == g.symbols.keys() for g in graphs))
    rows.append(row)
  return Measured(np.array(rows, np.float64), _summarise)


def _graph(tokens: list[str], quirks: Quirks) -> Layout | None:
  """The graph of a formula; None where the tokens are none."""
  try:
    return symbol_layout.layout(latex_tree.parse(tokens), quirks)
  except latex_tree.MalformedError:
    return None


def _summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
  return {name: sums[..., 1 + i] / sums[..., 0] for i, name in enumerate(_NAMES)}
