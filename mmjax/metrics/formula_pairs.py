"""References and hypotheses of formulas, checked, as tokens."""

from collections.abc import Sequence


def tokens(
    references: Sequence[Sequence[str]], hypotheses: Sequence[str | None]
) -> tuple[list[list[list[str]]], list[list[str] | None]]:
  """Tokens of each sample's references, and of its hypothesis.

  Args:
    references: for each sample one or more strings of tokens separated by blanks.
    hypotheses: for each sample one such string, or None where it was dropped.

  Raises:
    ValueError: no samples, lengths that differ, a sample without reference, or one string where a
      list of strings should be.
  """
  check(references, hypotheses)
  return ([[r.split() for r in sample] for sample in references],
          [None if h is None else h.split() for h in hypotheses])


def check(references: Sequence[Sequence[str]], hypotheses: Sequence[str | None]) -> None:
  """Raises ValueError for what `tokens` refuses."""
  check_lengths(references, hypotheses)
  for number, sample in enumerate(references):
    if isinstance(sample, str) or not sample:
      raise ValueError(
        f"references[{number}] is {sample!r}; give a list of one or more strings for each sample")


def check_lengths(references: Sequence, hypotheses: Sequence) -> None:
  """Raises ValueError where there are no samples, or not one hypothesis for each reference."""
  if len(hypotheses) != len(references) or not references:
    raise ValueError(
      f"{len(hypotheses)} hypotheses for {len(references)} references; give one hypothesis for "
      "each reference (None where a sample was dropped), and at least one")
