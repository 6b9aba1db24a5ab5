"""CIDEr and CIDEr-D of captions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mmjax.metrics import captions, ngrams
from mmjax.metrics.measured import Measured, Scores

SIGMA = 6.0


class Frequencies(NamedTuple):
  """In the references of how many pictures each n-gram (of 1 to 4 words) is."""

  pictures: int
  counts: dict[tuple[str, ...], int]


def document_frequencies(references: Sequence[Sequence[str]]) -> Frequencies:
  """Frequencies in the tokenised references of N pictures, for `measure` and for rewards.

  Raises:
    ValueError, TypeError: see `captions.check`.
  """
  captions.check(references, [""] * len(references))
  words = ngrams.read([caption for sample in references for caption in sample])
  picture = np.repeat(np.arange(len(references)), [len(r) for r in references])
  out: dict[tuple[str, ...], int] = {}
  levels = ngrams.count(words.numbers, words.lengths)
  for counts, spelled in zip(levels, ngrams.spell(levels, words.names)):
    out.update(zip(spelled, pictures_with(counts, picture).tolist()))
  return Frequencies(len(references), out)


def measure(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
    frequencies: Frequencies | None = None,
) -> Measured:
  """CIDEr (Vedantam et al., 2015), 0 to 10; papers print it times 100.

  An n-gram weighs its count times ln N - ln max(1, df), df the pictures of N whose references have
  it. With vectors h and r of a hypothesis and a reference for each n, 1 to 4, and l the number of
  their bigrams:

    sim_n = sum_g min(h_g, r_g) r_g / (|h| |r|) * exp(-(l_h - l_r)^2 / (2 sigma^2)),  sigma = 6

  A sample's score is 10 times the mean over n and over its references; a corpus has the mean.

  `cider_d` is that formula: CIDEr-D of the authors' package. `cider` is what coco-caption prints
  as CIDEr, which is the same formula, so the same number. `cider_plain` is CIDEr of the authors'
  package, without the minimum (h_g r_g in its place) and without the factor for length.

  Args:
    references: N lists of tokenised captions, tokens separated by blanks.
    hypotheses: N tokenised captions.
    frequencies: from other pictures, as those of the training set; by default from `references`.

  Raises:
    ValueError, TypeError: see `captions.check`.
  """
  captions.check(references, hypotheses)
  samples = len(hypotheses)
  words = ngrams.read([*hypotheses, *(caption for sample in references for caption in sample)])
  numbers = np.array([len(r) for r in references])
  sample_of = np.concatenate([np.arange(samples), np.repeat(np.arange(samples), numbers)])
  pictures = samples if frequencies is None else frequencies.pictures
  bigrams = np.maximum(words.lengths - 1, 0)
  apart = bigrams[samples:] - bigrams[sample_of[samples:]]
  penalty = np.exp(-(apart**2) / (2 * SIGMA**2))
  damped, plain = np.zeros(len(penalty)), np.zeros(len(penalty))
  levels = ngrams.count(words.numbers, words.lengths)
  known = [] if frequencies is None else [
    np.array([frequencies.counts.get(gram, 0) for gram in spelled])
    for spelled in ngrams.spell(levels, words.names)]
  for n, counts in enumerate(levels):
    reference = counts.caption >= samples
    if frequencies is None:
      held = counts._replace(caption=counts.caption[reference], gram=counts.gram[reference])
      frequency = pictures_with(held, sample_of)
    else:
      frequency = known[n]
    idf = np.log(pictures) - np.log(np.maximum(frequency, 1))
    weight = counts.times * idf[counts.gram]
    norm = np.sqrt(np.bincount(counts.caption, weight**2, len(sample_of)))
    # For each n-gram of a reference its weight in the hypothesis of the sample.
    key = sample_of[counts.caption] * counts.grams + counts.gram
    hypothesis_key, hypothesis_weight = key[~reference], weight[~reference]
    place = np.searchsorted(hypothesis_key, key[reference])
    there = np.append(hypothesis_key, -1)[place] == key[reference]
    h = hypothesis_weight[place[there]]
    r = weight[reference][there]
    which = counts.caption[reference][there] - samples
    scale = norm[samples:] * norm[sample_of[samples:]]
    scale[scale == 0] = 1
    damped += np.bincount(which, np.minimum(h, r) * r, len(scale)) / scale * penalty
    plain += np.bincount(which, h * r, len(scale)) / scale
  statistics = np.ones((samples, 3))  # CIDEr-D, plain CIDEr, the number of samples
  for column, similarity in enumerate((damped, plain)):
    total = np.bincount(sample_of[samples:], similarity, samples)
    statistics[:, column] = 10 * total / (ngrams.LONGEST * numbers)
  return Measured(statistics, _summarise)


def caution(pictures: int) -> str:
  """What to say beside a score whose frequencies come from so many pictures; often nothing."""
  if pictures > 1:
    return ""
  return ("CIDEr is 0 because its frequencies come from one picture, where every word is in all "
          "pictures; score more pictures together or give the frequencies of a larger set")


def pictures_with(
    counts: ngrams.Counts, picture: Int[np.ndarray, "C"]
) -> Int[np.ndarray, "G"]:
  """For each n-gram in how many pictures it is; `picture` of each caption."""
  pairs = np.sort(picture[counts.caption] * counts.grams + counts.gram)
  once = np.diff(pairs, prepend=-1) > 0
  return np.bincount(pairs[once] % max(counts.grams, 1), minlength=counts.grams)


def _summarise(sums: Float[np.ndarray, "*R 3"]) -> Scores:
  damped, plain = sums[..., 0] / sums[..., 2], sums[..., 1] / sums[..., 2]
  return {"cider": damped, "cider_d": damped, "cider_plain": plain}
