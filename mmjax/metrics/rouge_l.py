"""ROUGE-L of captions with many references."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics import captions
from mmjax.metrics.measured import Measured, Scores

BETA = 1.2


def measure(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Measured:
  """ROUGE-L as coco-caption computes it: `rouge_l`.

  With the longest common subsequence of hypothesis and reference, P = LCS / words of the
  hypothesis and R = LCS / words of the reference, each the largest over the references by itself:

    F = (1 + b^2) P R / (R + b^2 P),  b = 1.2

  (Lin, 2004). The score of a corpus is the mean. An empty caption counts as one empty word.

  Args:
    references: N lists of tokenised captions, tokens separated by single blanks.
    hypotheses: N tokenised captions.

  Raises:
    ValueError, TypeError: see `captions.check`.
  """
  captions.check(references, hypotheses)
  statistics = np.ones((len(hypotheses), 2))  # the score, the number of samples
  statistics[:, 0] = [_score(r, h) for r, h in zip(references, hypotheses)]
  return Measured(statistics, _summarise)


def _score(references: Sequence[str], hypothesis: str) -> float:
  words = hypothesis.split(" ")
  places: dict[str, int] = {}
  for i, word in enumerate(words):
    places[word] = places.get(word, 0) | 1 << i
  precision = recall = 0.0
  for reference in references:
    other = reference.split(" ")
    common = _longest_common(places, len(words), other)
    precision = max(precision, common / len(words))
    recall = max(recall, common / len(other))
  if not precision:
    return 0.0
  return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(places: dict[str, int], length: int, other: list[str]) -> int:
  """Length of the longest common subsequence, a row of the table in the bits of one number.

  Args:
    places: the words of one side, and a bit for each place where it has them.
    length: number of its words.
    other: the words of the other side.

  Hyyro, "Bit-parallel LCS-length computation revisited" (2004): a 0 marks where the row grows.
  """
  whole = (1 << length) - 1
  row = whole
  for word in other:
    if word in places:
      met = row & places[word]
      row = (row + met | row - met) & whole
  return length - row.bit_count()


def _summarise(sums: Float[np.ndarray, "*R 2"]) -> Scores:
  return {"rouge_l": sums[..., 0] / sums[..., 1]}
