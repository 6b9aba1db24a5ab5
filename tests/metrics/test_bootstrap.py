"""Intervals and tests of differences on data whose truth is known."""

import numpy as np
import pytest

from mmjax.metrics import bootstrap
from mmjax.metrics.measured import Measured


def ratio(numerators, denominators) -> Measured:
  """A mean and a ratio of sums, as BLEU's precisions and the symbol error rate are."""
  statistics = np.stack([numerators, denominators, np.ones(len(numerators))], 1)
  return Measured(statistics, lambda s: {
      "mean": s[..., 0] / s[..., 2], "ratio": s[..., 0] / s[..., 1]})


def test_the_interval_of_a_mean_is_that_of_theory():
  x = np.random.default_rng(0).normal(5, 2, 2000)
  low, high = bootstrap.intervals(ratio(x, np.ones(2000)), samples=4000)["mean"]
  error = x.std() / 2000**0.5
  assert low == pytest.approx(x.mean() - 1.96 * error, abs=0.1 * error)
  assert high == pytest.approx(x.mean() + 1.96 * error, abs=0.1 * error)


def test_a_resample_is_a_draw_with_replacement():
  """Every score of a resample, and their spread, against resampling by hand."""
  rng = np.random.default_rng(1)
  measured = ratio(rng.poisson(3, 40).astype(float), rng.integers(1, 9, 40).astype(float))
  low, high = bootstrap.intervals(measured, samples=20000, level=0.8)["ratio"]
  draws = rng.integers(0, 40, (20000, 40))
  s = measured.statistics[draws].sum(1)
  np.testing.assert_allclose((low, high), np.quantile(s[:, 0] / s[:, 1], (0.1, 0.9)), rtol=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say():
  rng = np.random.default_rng(2)
  covered = 0
  for seed in range(400):
    lengths = rng.integers(5, 20, 120)
    errors = rng.binomial(lengths, 0.3)  # the true ratio is 0.3
    low, high = bootstrap.intervals(
        ratio(errors.astype(float), lengths.astype(float)), samples=400, seed=seed)["ratio"]
    covered += low <= 0.3 <= high
  assert 0.92 <= covered / 400 <= 0.98  # 0.95 +- 2.8 standard errors


def test_the_seed_decides_and_blocks_do_not_matter(monkeypatch):
  rng = np.random.default_rng(3)
  a, b = (ratio(rng.random(50), rng.random(50) + 1) for _ in range(2))
  whole = bootstrap.intervals(a, samples=100, seed=7), bootstrap.compare(a, b, samples=100, seed=7)
  assert whole[0] != bootstrap.intervals(a, samples=100, seed=8)
  monkeypatch.setattr(bootstrap, "CHUNK", 50 * 9)
  in_blocks = bootstrap.intervals(a, samples=100, seed=7)
  for name, interval in whole[0].items():
    np.testing.assert_allclose(in_blocks[name], interval, rtol=1e-12)
  again = bootstrap.compare(a, b, samples=100, seed=7)
  assert again["ratio"].p_value == whole[1]["ratio"].p_value


def test_equal_systems_differ_by_nothing():
  a = ratio(np.random.default_rng(4).random(30), np.ones(30))
  found = bootstrap.compare(a, a)["mean"]
  assert found.difference == 0 and found.interval == (0, 0) and found.p_value == 1


def test_scores_that_one_system_lacks_are_left_out():
  a = ratio(np.random.default_rng(4).random(30), np.ones(30))
  alone = Measured(a.statistics, lambda s: {"ratio": s[..., 0] / s[..., 1]})
  assert bootstrap.compare(a, alone).keys() == bootstrap.compare(alone, a).keys() == {"ratio"}


def test_a_difference_in_every_sample_is_certain():
  x = np.random.default_rng(5).random(60)
  a, b = ratio(x, np.ones(60)), ratio(x + 0.1, np.ones(60))
  found = bootstrap.compare(a, b, samples=999)["mean"]
  assert found.difference == pytest.approx(0.1)
  np.testing.assert_allclose(found.interval, (0.1, 0.1))
  assert found.p_value == 1 / 1000
  assert bootstrap.compare(b, a, samples=999)["mean"].difference == pytest.approx(-0.1)


def test_the_p_value_is_exact_on_a_few_samples():
  """All 2**4 swaps by hand: 2 of them (none and all) differ as much as what was seen."""
  a, b = ratio(np.zeros(4), np.ones(4)), ratio(np.array([1.0, 2, 3, 4]), np.ones(4))
  p = bootstrap.compare(a, b, samples=20000)["mean"].p_value
  assert p == pytest.approx(2 / 16, abs=0.01)


def test_p_values_are_even_where_nothing_differs():
  rng = np.random.default_rng(6)
  found = []
  for seed in range(400):
    hard = rng.normal(size=60)  # a sample is hard for both
    a, b = (ratio(hard + rng.normal(size=60), np.ones(60)) for _ in range(2))
    found.append(bootstrap.compare(a, b, samples=199, seed=seed)["mean"].p_value)
  p = np.sort(found)
  assert np.abs(p - np.linspace(0, 1, 400)).max() < 0.08  # Kolmogorov and Smirnov at 1 %


def test_pairing_finds_what_apart_would_drown():
  rng = np.random.default_rng(7)
  hard = rng.normal(0, 10, 300)
  a, b = ratio(hard, np.ones(300)), ratio(hard + rng.normal(0.2, 0.5, 300), np.ones(300))
  (low, _), (_, high) = (bootstrap.intervals(m)["mean"] for m in (b, a))
  assert low < high  # the intervals of each overlap
  found = bootstrap.compare(a, b)["mean"]
  assert found.interval[0] > 0 and found.p_value < 0.01


def test_bad_input_is_refused():
  a = ratio(np.ones(3), np.ones(3))
  with pytest.raises(ValueError, match="0 resamples of 3 samples"):
    bootstrap.intervals(a, samples=0)
  with pytest.raises(ValueError, match="100 resamples of 0 samples"):
    bootstrap.intervals(Measured(np.zeros((0, 2)), a.summarise), samples=100)
  with pytest.raises(ValueError, match=r"\(3, 3\) and \(2, 3\); compare two systems on the same"):
    bootstrap.compare(a, ratio(np.ones(2), np.ones(2)))
