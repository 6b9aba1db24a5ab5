"""Recognition rates of formulas by their tokens, as written and in canonical form."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics import edit, formula_pairs
from mmjax.metrics.measured import Measured, Scores
from mmjax.text import latex

Tokens = Sequence[str]

_RATES = ("exprate", "exprate_1", "exprate_2")  # the number is of the errors allowed
_FORMS = ("", "normalised_")
_COLUMNS = len(_RATES) + 2  # of each form: rates, distance, length


def per_sample(hypothesis: Tokens | None, reference: Tokens) -> dict[str, int | bool]:
  """How far a hypothesis is from its reference, in tokens.

  Args:
    hypothesis: tokens, or None for a sample that was dropped: as far off as writing nothing, and
      never exact.
    reference: tokens.

  Returns:
    `distance`, `normalised_distance` (both sides in canonical form), and `exact`, whether the
    tokens are the same as written.
  """
  written = [] if hypothesis is None else hypothesis
  distance = edit.edit_distance(written, reference)
  return {
    "distance": distance,
    "normalised_distance": edit.edit_distance(latex.normalise(written), latex.normalise(reference)),
    "exact": hypothesis is not None and distance == 0,
  }


def measure(
    references: Sequence[Sequence[str]], hypotheses: Sequence[str | None]
) -> Measured:
  """Shares of formulas recognised, and the symbol error rate.

  Of several references of a sample the nearest counts, the first of them where several are.

  Args:
    references: for each sample one or more strings of tokens separated by blanks.
    hypotheses: one such string for each sample, or None where it was dropped; such a sample counts
      as wrong in every share, however short its reference, and as many errors as the reference is
      long.

  Returns:
    Statistics whose scores are `exprate`, `exprate_1`, `exprate_2`: shares (0..1) at an edit
    distance of at most 0, 1, 2; `ser`: sum of distances / sum of reference lengths (at least 1).
    The same four with the prefix `normalised_` have both sides in canonical form
    (`latex.normalise`).

  Raises:
    ValueError: no samples, lengths that differ, a sample without reference, or no token in any
      reference.
  """
  return _of_tokens(*formula_pairs.tokens(references, hypotheses))


def exprate(hypotheses: Sequence[Tokens | None], references: Sequence[Tokens]) -> dict[str, float]:
  """Scores of `measure` for token lists with one reference each.

  Args:
    hypotheses: tokens of each sample, or None where it was dropped.
    references: tokens of each sample, in the same order.

  Raises:
    ValueError: no samples, lengths that differ, or no token in any reference.
  """
  formula_pairs.check_lengths(references, hypotheses)
  return _of_tokens([[r] for r in references], hypotheses).corpus()


def _of_tokens(
    references: Sequence[Sequence[Tokens]], hypotheses: Sequence[Tokens | None]
) -> Measured:
  rows = []
  for sample, hypothesis in zip(references, hypotheses):
    row = [1.0]
    for form in (list, latex.normalise):
      distance, length = _nearest([form(r) for r in sample], form(hypothesis or []))
      answered = hypothesis is not None
      row += [float(answered and distance <= allowed) for allowed in range(len(_RATES))]
      row += [distance, length]
    rows.append(row)
  statistics = np.array(rows, np.float64)
  if not statistics[:, _COLUMNS].any() or not statistics[:, 2 * _COLUMNS].any():
    raise ValueError(f"{len(references)} references hold 0 tokens; give some with tokens")
  return Measured(statistics, _summarise)


def _nearest(references: list[list[str]], hypothesis: list[str]) -> tuple[int, int]:
  """Edit distance to the nearest reference, and that reference's length."""
  if hypothesis in references:
    return 0, len(hypothesis)
  return min(((edit.edit_distance(hypothesis, r), len(r)) for r in references),
             key=lambda pair: pair[0])


def _summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
  count = sums[..., 0]
  scores = {}
  for number, prefix in enumerate(_FORMS):
    *rates, distance, length = np.moveaxis(
      sums[..., 1 + number * _COLUMNS : 1 + (number + 1) * _COLUMNS], -1, 0)
    for name, right in zip(_RATES, rates):
      scores[prefix + name] = right / count
    scores[prefix + "ser"] = distance / np.maximum(length, 1)
  return scores
