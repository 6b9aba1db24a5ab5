"""BLEU of captions with many references."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics import captions, ngrams
from mmjax.metrics.measured import Measured, Scores

# Columns: matched n-grams (1 to 4 words), n-grams of the hypothesis, its words, the reference's.
_MATCHED, _WRITTEN, _LENGTH, _CLOSEST = slice(0, 4), slice(4, 8), 8, 9


def measure(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Measured:
  """BLEU-1 to BLEU-4 as coco-caption computes them: `bleu_1` .. `bleu_4`.

  With m_k the k-grams of the hypothesis that are in a reference (each at most as often as in the
  reference that has most of it), g_k all of its k-grams, c its length and r the length of the
  reference closest to it (of two the shorter), summed over the samples:

    BLEU_n = (prod_{k<=n} (m_k + 1e-15) / (g_k + 1e-9))^(1/n) * min(1, exp(1 - r/c))

  (Papineni et al., 2002; the small constants are coco-caption's, and stand in c/r too.) A sample
  by itself is scored with the same formula, so a sample without a match is not quite 0.

  Args:
    references: N lists of tokenised captions, tokens separated by blanks.
    hypotheses: N tokenised captions; empty ones count.

  Raises:
    ValueError, TypeError: see `captions.check`.
  """
  captions.check(references, hypotheses)
  samples = len(hypotheses)
  words = ngrams.read([*hypotheses, *(caption for sample in references for caption in sample)])
  sample_of = np.concatenate(
    [np.arange(samples), np.repeat(np.arange(samples), [len(r) for r in references])])
  statistics = np.zeros((samples, 10))
  statistics[:, _LENGTH] = lengths = words.lengths[:samples]
  for n, counts in enumerate(ngrams.count(words.numbers, words.lengths)):
    key = sample_of[counts.caption] * counts.grams + counts.gram
    hypothesis = counts.caption < samples
    # The largest count in any one reference of the sample.
    held, place = np.unique(key[~hypothesis], return_inverse=True)
    most = np.zeros(len(held) + 1, np.int64)
    np.maximum.at(most, place, counts.times[~hypothesis])
    found = np.searchsorted(held, key[hypothesis])
    found[np.append(held, -1)[found] != key[hypothesis]] = len(held)
    matched = np.minimum(counts.times[hypothesis], most[found])
    statistics[:, n] = np.bincount(counts.caption[hypothesis], matched, samples)
    statistics[:, 4 + n] = np.maximum(lengths - n, 0)
  # Closest first, of two the shorter.
  reference, own = words.lengths[samples:], sample_of[samples:]
  order = np.lexsort((reference, abs(reference - lengths[own]), own))
  firsts = np.unique(own, return_index=True)[1]
  statistics[:, _CLOSEST] = reference[order][firsts]
  return Measured(statistics, _summarise)


def _summarise(sums: Float[np.ndarray, "*R 10"]) -> Scores:
  precisions = (sums[..., _MATCHED] + 1e-15) / (sums[..., _WRITTEN] + 1e-9)
  ratio = (sums[..., _LENGTH] + 1e-15) / (sums[..., _CLOSEST] + 1e-9)
  brevity = np.exp(np.minimum(1 - 1 / ratio, 0))
  products = np.cumprod(precisions, -1)
  return {f"bleu_{n}": products[..., n - 1] ** (1 / n) * brevity for n in range(1, 5)}
