"""What the caption scorers take: for each sample one hypothesis and one or many references."""

from collections.abc import Sequence


def check(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> None:
  """Refuses what no caption scorer can score.

  Args:
    references: N lists of tokenised captions.
    hypotheses: N tokenised captions.

  Raises:
    ValueError: no samples, numbers that differ, a sample without references.
    TypeError: a caption that is not a string, or a string for a list of references.
  """
  if len(references) != len(hypotheses) or not hypotheses:
    raise ValueError(
      f"{len(hypotheses)} hypotheses for the references of {len(references)} samples; give one "
      "hypothesis for each sample (an empty string where there is none), and at least one")
  for i, (captions, hypothesis) in enumerate(zip(references, hypotheses)):
    if isinstance(captions, str):
      raise TypeError(f"sample {i}: the references are one string, {captions!r}; give a list")
    if not captions:
      raise ValueError(f"sample {i} has no references; give at least one or leave the sample out")
    for caption in captions:
      if not isinstance(caption, str):
        raise TypeError(f"sample {i}: the reference {caption!r} is not a string of tokens")
    if not isinstance(hypothesis, str):
      raise TypeError(f"sample {i}: the hypothesis {hypothesis!r} is not a string of tokens")
