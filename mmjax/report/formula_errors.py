"""Where recognition of formulas errs: by structure, by length, and symbol by symbol."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmjax.text import latex_tree
from mmjax.text.latex_tree import Array, Command, Infix, Script, Scripted

NOTHING = ""  # stands in a pair for what was left out, or written though nothing is there
STRUCTURES = (
  "fraction", "root", "subscript", "superscript", "scripts within scripts", "matrix or cases",
  "no structure", "no formula")
LENGTHS = ((1, 5), (6, 10), (11, 20), (21, 40), (41, None))  # tokens; None: no limit
_FRACTIONS = (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\over")

Tokens = Sequence[str]


class Rate(NamedTuple):
  """Formulas of a kind, and how many of them were read without an error."""

  formulas: int
  right: int


def structures(tokens: Tokens) -> set[str]:
  """Which of `STRUCTURES` a formula has; the last two only alone."""
  try:
    nodes = latex_tree.compounds(latex_tree.parse(tokens))
  except latex_tree.MalformedError:
    return {"no formula"}
  found = set()
  for node in nodes:
    if isinstance(node, Command | Infix) and node.name in _FRACTIONS:
      found.add("fraction")
    elif isinstance(node, Command) and node.name == r"\sqrt":
      found.add("root")
    elif isinstance(node, Array):
      found.add("matrix or cases")
    elif isinstance(node, Script) and node.argument is not None:
      found.add("subscript" if node.mark in latex_tree.SUB else "superscript")
      inner = latex_tree.compounds(node.argument)
      if any(isinstance(part, Scripted) for part in inner):
        found.add("scripts within scripts")
  return found or {"no structure"}


def by_structure(references: Sequence[Tokens], right: Sequence[bool]) -> dict[str, Rate]:
  """The rate of each of `STRUCTURES` that is there; a formula counts in each that it has."""
  formulas: Counter[str] = Counter()
  read: Counter[str] = Counter()
  for reference, is_right in zip(references, right):
    for kind in structures(reference):
      formulas[kind] += 1
      read[kind] += is_right
  return {kind: Rate(formulas[kind], read[kind]) for kind in STRUCTURES if formulas[kind]}


def by_length(references: Sequence[Tokens], right: Sequence[bool]) -> dict[str, Rate]:
  """The rate of each of `LENGTHS` that is there, by the tokens of the reference."""
  out = {}
  for low, high in LENGTHS:
    inside = [is_right for reference, is_right in zip(references, right)
              if low <= len(reference) <= (high or len(reference))]
    if inside:
      name = f"{low} to {high} tokens" if high else f"{low} tokens or more"
      out[name] = Rate(len(inside), sum(inside))
  return out


def confusions(references: Sequence[Tokens], hypotheses: Sequence[Tokens]) -> Counter:
  """How often (token of the reference, token written in its place) occurs; see `aligned`."""
  pairs: Counter[tuple[str, str]] = Counter()
  for reference, hypothesis in zip(references, hypotheses):
    pairs.update(aligned(reference, hypothesis))
  return pairs


def aligned(reference: Tokens, hypothesis: Tokens) -> list[tuple[str, str]]:
  """The errors of a shortest edit, left to right: (token there, token written).

  `NOTHING` stands for the missing side of a token that was left out or added. Of several shortest
  edits that is taken which, from the end, substitutes rather than leaves out rather than adds.
  """
  n, m = len(reference), len(hypothesis)
  start = 0
  while start < min(n, m) and reference[start] == hypothesis[start]:
    start += 1
  a, b = reference[start:], hypothesis[start:]
  steps = np.arange(len(b) + 1)
  other = np.array(b, dtype=object)
  table = [steps]
  for token in a:
    row = table[-1] + 1
    row[1:] = np.minimum(row[1:], table[-1][:-1] + (other != token))
    table.append(np.minimum.accumulate(row - steps) + steps)
  out, i, j = [], len(a), len(b)
  while i or j:
    here = table[i][j]
    if i and j and here == table[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
      i, j = i - 1, j - 1
      if a[i] != b[j]:
        out.append((a[i], b[j]))
    elif i and here == table[i - 1][j] + 1:
      i -= 1
      out.append((a[i], NOTHING))
    else:
      j -= 1
      out.append((NOTHING, b[j]))
  return out[::-1]
