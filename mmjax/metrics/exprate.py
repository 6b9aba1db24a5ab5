"""Recognition rates of formulas by their tokens, as written and in canonical form."""

from collections.abc import Sequence

from mmjax.metrics import edit
from mmjax.text import latex

Tokens = Sequence[str]


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


def exprate(hypotheses: Sequence[Tokens | None], references: Sequence[Tokens]) -> dict[str, float]:
  """Share of formulas recognised, and the symbol error rate.

  Args:
    hypotheses: tokens of each sample, or None where it was dropped; such a sample counts as wrong
      in every share, however short its reference, and as `len(reference)` errors.
    references: tokens of each sample, in the same order.

  Returns:
    `exprate`, `exprate_1`, `exprate_2`: shares (0..1) at an edit distance of at most 0, 1, 2;
    `ser`: sum of distances / sum of reference lengths. The same four with the prefix `normalised_`
    have both sides in canonical form (`latex.normalise`).

  Raises:
    ValueError: no samples, lengths that differ, or no token in any reference.
  """
  if len(hypotheses) != len(references) or not references:
    raise ValueError(
      f"{len(hypotheses)} hypotheses for {len(references)} references; give one hypothesis for "
      "each reference (None where a sample was dropped), and at least one")
  samples = [per_sample(h, r) for h, r in zip(hypotheses, references)]
  answered = [h is not None for h in hypotheses]
  forms = {"": references, "normalised_": [latex.normalise(r) for r in references]}
  out = {}
  for prefix, targets in forms.items():
    length = sum(len(r) for r in targets)
    if not length:
      raise ValueError(f"{len(references)} references hold 0 tokens; give some with tokens")
    distances = [s[prefix + "distance"] for s in samples]
    for name, allowed in (("exprate", 0), ("exprate_1", 1), ("exprate_2", 2)):
      right = sum(a and d <= allowed for a, d in zip(answered, distances))
      out[prefix + name] = right / len(references)
    out[prefix + "ser"] = sum(distances) / length
  return out
