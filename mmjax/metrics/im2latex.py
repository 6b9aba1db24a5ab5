"""Text scores of printed formulas, as IM2LATEX-100K is scored (Deng et al., ICML 2017)."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics import edit, formula_pairs
from mmjax.metrics.measured import Measured, Scores

_ORDER = 4  # of the longest n-grams


def measure(
    references: Sequence[Sequence[str]], hypotheses: Sequence[str | None]
) -> Measured:
  """BLEU, edit score and exact matches of token strings.

  Args:
    references: for each sample one or more strings of tokens separated by blanks; published
      numbers have one.
    hypotheses: one such string for each sample, or None where it was dropped: as if empty, and
      never exact.

  Returns:
    Statistics whose scores (0..1) are `bleu_multi`: BLEU-4 as Moses' multi-bleu computes it,
    clipped counts and lengths summed over the samples, no smoothing, the reference length nearest
    to the hypothesis; `edit`: 1 - sum of token edit distances / sum of the longer lengths, each
    with the nearest reference; `exact`: share of samples equal to a reference.

  Raises:
    ValueError: no samples, lengths that differ, or a sample without reference.
  """
  rows = [
    [1.0, *_exact_and_edit(sample, hypothesis), *_bleu(sample, hypothesis or [])]
    for sample, hypothesis in zip(*formula_pairs.tokens(references, hypotheses))]
  return Measured(np.array(rows, np.float64), _summarise)


def _exact_and_edit(
    references: list[list[str]], hypothesis: list[str] | None
) -> tuple[float, float, float]:
  """Whether a reference is met, the distance to the nearest, and the longer length of the two."""
  exact = hypothesis in references
  written = hypothesis or []
  nearest = written if exact else min(references, key=lambda r: edit.edit_distance(written, r))
  return (float(exact), float(edit.edit_distance(written, nearest)),
          float(max(len(written), len(nearest))))


def _bleu(references: list[list[str]], hypothesis: list[str]) -> list[float]:
  """Lengths of hypothesis and nearest reference, then matched and written n-grams by order."""
  nearest = min((abs(len(r) - len(hypothesis)), len(r)) for r in references)[1]
  matched, written = [], []
  for order in range(1, _ORDER + 1):
    allowed: collections.Counter = collections.Counter()
    for reference in references:
      allowed |= _ngrams(reference, order)
    counts = _ngrams(hypothesis, order)
    matched.append(float((counts & allowed).total()))
    written.append(float(counts.total()))
  return [float(len(hypothesis)), float(nearest), *matched, *written]


def _ngrams(tokens: list[str], order: int) -> collections.Counter:
  return collections.Counter(zip(*(tokens[start:] for start in range(order))))


def _summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
  count, exact, distance, longer, length, reference = np.moveaxis(sums[..., :6], -1, 0)
  matched, written = sums[..., 6 : 6 + _ORDER], sums[..., 6 + _ORDER :]
  # An order without matches, or without n-grams, makes the score zero.
  some = matched.min(-1) > 0
  logs = np.log(np.where(some[..., None], matched, 1) / np.where(some[..., None], written, 1))
  brevity = np.minimum(0, 1 - reference / np.maximum(length, 1))
  return {
    "bleu_multi": np.where(some, np.exp(logs.mean(-1) + brevity), 0.0),
    "edit": 1 - distance / np.maximum(longer, 1),
    "exact": exact / count,
  }
