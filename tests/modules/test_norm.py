"""Normalisation by written-out numbers, and of batches with padding left out."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from mmjax.modules.norm import BatchNorm, UnbiasedLayerNorm

X = jnp.array([1, 2, 3, 4], jnp.float32).reshape(1, 2, 2, 1)  # mean 2.5, variance 1.25 or 5 / 3
VARIABLES = {
    "params": {"scale": np.array([2.0], np.float32), "bias": np.array([0.5], np.float32)},
    "batch_stats": {"mean": np.array([1.0], np.float32), "var": np.array([3.0], np.float32)},
}


def train(x, valid, variables=VARIABLES, **options):
  y, new = BatchNorm(**options).apply(variables, x, valid, train=True, mutable=["batch_stats"])
  return np.asarray(y), new["batch_stats"]


def test_normalises_with_the_biased_variance():
  y, _ = train(X, None)
  expected = 2 * (np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25 + 1e-5)) + 0.5
  np.testing.assert_allclose(y.ravel(), expected, atol=1e-6)


def test_stores_the_unbiased_variance():
  _, stats = train(X, None)
  np.testing.assert_allclose(stats["mean"], [0.9 * 1 + 0.1 * 2.5], atol=1e-6)
  np.testing.assert_allclose(stats["var"], [0.9 * 3 + 0.1 * 5 / 3], atol=1e-6)


def test_evaluation_uses_what_is_stored_and_leaves_it():
  y, new = BatchNorm().apply(VARIABLES, X, None, train=False, mutable=["batch_stats"])
  np.testing.assert_allclose(y, 2 * (X - 1) / np.sqrt(3 + 1e-5) + 0.5, atol=1e-6)
  np.testing.assert_array_equal(new["batch_stats"]["var"], [3])


def test_masked_equals_unpadded():
  canvas = np.full((2, 3, 4, 1), 1e3, np.float32)  # what stands under padding is anything
  canvas[:1, :2, :2] = X
  valid = np.zeros((2, 3, 4), bool)
  valid[:1, :2, :2] = True
  y, stats = train(X, None)
  masked, masked_stats = train(jnp.asarray(canvas), jnp.asarray(valid))
  np.testing.assert_allclose(masked[:1, :2, :2], y, atol=1e-6)
  for name in ("mean", "var"):
    np.testing.assert_allclose(masked_stats[name], stats[name], atol=1e-6)


def test_few_cells_make_no_nan():
  valid = np.zeros((1, 2, 2), bool)
  for cells in (0, 1):
    valid[0, 0, :cells] = True
    y, stats = train(X, jnp.asarray(valid))
    assert np.isfinite(y).all() and np.isfinite(stats["mean"]).all()
    np.testing.assert_allclose(stats["var"], [2.7], atol=1e-6)


def test_statistics_stay_float32():
  y, stats = train(X.astype(jnp.bfloat16), None, dtype=jnp.bfloat16)
  assert y.dtype == jnp.bfloat16
  assert stats["mean"].dtype == stats["var"].dtype == jnp.float32
  np.testing.assert_allclose(stats["var"], [0.9 * 3 + 0.1 * 5 / 3], atol=1e-6)


def test_fresh_variables_are_the_identity():
  variables = nn.unbox(BatchNorm().init(jax.random.key(0), X, None, train=False))
  y = BatchNorm().apply(variables, X, None, train=False)
  np.testing.assert_allclose(y, X, atol=1e-4)
  np.testing.assert_array_equal(variables["batch_stats"]["mean"], [0])
  np.testing.assert_array_equal(variables["batch_stats"]["var"], [1])


def test_the_deviation_is_that_of_a_sample():
  """(1, 2, 3, 6): mean 3, deviation sqrt(14 / 3); the usual layer norm would give -1.0690, ..."""
  norm = UnbiasedLayerNorm()
  x = jnp.array([1.0, 2.0, 3.0, 6.0])
  variables = nn.unbox(norm.init(jax.random.key(0), x))
  y = norm.apply(variables, x)
  np.testing.assert_allclose(y, [-0.9258, -0.4629, 0, 1.3887], atol=1e-4)
  slope = jax.grad(lambda x: norm.apply(variables, x)[0])(jnp.full(4, 2.0))
  assert np.isfinite(slope).all()  # no deviation at all
