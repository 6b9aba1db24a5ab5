"""Confidence intervals of scores, and whether two systems differ by more than chance.

Every score comes from sums over samples (`Measured`), so a resampled corpus is a row of counts, and
a thousand of them are one matrix product.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mmjax.metrics.measured import Measured, Scores

Interval = tuple[float, float]
CHUNK = 1 << 21  # numbers of a block of resampled counts: 16 MiB


class Difference(NamedTuple):
  """How much the second of two systems scores above the first.

  Attributes:
    difference: score of the second less that of the first.
    interval: of the difference, from the paired bootstrap.
    p_value: of a difference at least as large, up or down, if the systems were equally good.
  """

  difference: float
  interval: Interval
  p_value: float


def intervals(
    measured: Measured, *, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
  """Percentile bootstrap intervals of the corpus scores.

  Args:
    measured: statistics of N samples.
    samples: resampled corpora of N samples each, drawn with replacement.
    seed: of the draws.
    level: share of resampled scores inside.

  Returns:
    {name: (low, high)}; not a number where a score is none.

  Raises:
    ValueError: fewer than one sample or resample.

  Reference: Efron, 1979; for BLEU, Koehn, 2004.
  """
  statistics = measured.statistics
  sums = [counts @ statistics for counts in _resampled(len(statistics), samples, seed)]
  return _quantiles(measured.summarise(np.concatenate(sums)), level)


def compare(
    first: Measured, second: Measured, *, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Difference]:
  """Whether `second` is better than `first` on the same samples.

  The interval comes from the bootstrap with the same draws for both (Koehn, 2004). The p-value
  comes from approximate randomisation (Noreen, 1989; Riezler and Maxwell, 2005): the two systems'
  outputs are swapped in a random half of the samples, which changes nothing but chance if they are
  equally good; it is (1 + swaps that differ as much) / (1 + swaps).

  Args:
    first: statistics of N samples.
    second: of the same samples in the same order, by the same metric.
    samples: resampled corpora, and swaps.
    seed: of the draws.
    level: share of resampled differences inside the interval.

  Returns:
    {name: difference}, of the scores that both have.

  Raises:
    ValueError: the statistics are not of as many samples, or not of the same metric.
  """
  a, b = first.statistics, second.statistics
  if a.shape != b.shape:
    raise ValueError(
        f"statistics of {a.shape} and {b.shape}; compare two systems on the same samples by the"
        " same metric"
    )
  resampled, swapped = [], []
  for counts in _resampled(len(a), samples, seed):
    resampled.append(_less(second.summarise(counts @ b), first.summarise(counts @ a)))
  gain = b - a
  for picks in _halves(len(a), samples, seed):
    moved = picks @ gain
    swapped.append(_less(second.summarise(b.sum(0) - moved), first.summarise(a.sum(0) + moved)))
  seen = _less(second.summarise(b.sum(0)), first.summarise(a.sum(0)))
  within = _quantiles(_joined(resampled), level)
  chance = _joined(swapped)
  out = {}
  for name, value in seen.items():
    # Rounding must not make an equal swap smaller.
    as_large = np.abs(chance[name]) >= np.abs(value) * (1 - 1e-9) - 1e-15
    p = (1 + int(as_large.sum())) / (1 + samples)
    out[name] = Difference(float(value), within[name], p)
  return out


def _resampled(size: int, samples: int, seed: int) -> Iterator[Float[np.ndarray, "R N"]]:
  """Blocks of rows that tell how often each of `size` samples was drawn."""
  rng = np.random.default_rng((seed, 0))
  for rows in _blocks(size, samples):
    drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
    yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)


def _halves(size: int, samples: int, seed: int) -> Iterator[Float[np.ndarray, "R N"]]:
  """Blocks of rows of 0 and 1, evenly likely."""
  rng = np.random.default_rng((seed, 1))
  for rows in _blocks(size, samples):
    yield (rng.random((rows, size)) < 0.5).astype(float)


def _blocks(size: int, samples: int) -> Iterator[int]:
  if size < 1 or samples < 1:
    raise ValueError(f"{samples} resamples of {size} samples; both must be at least 1")
  most = max(CHUNK // size, 1)
  for start in range(0, samples, most):
    yield min(most, samples - start)


def _less(left: Scores, right: Scores) -> Scores:
  return {name: left[name] - right[name] for name in left if name in right}


def _joined(parts: list[Scores]) -> Scores:
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _quantiles(scores: Scores, level: float) -> dict[str, Interval]:
  ends = ((1 - level) / 2, (1 + level) / 2)
  out = {}
  for name, values in scores.items():
    low, high = np.quantile(values, ends)
    out[name] = (float(low), float(high))
  return out
