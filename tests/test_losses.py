"""Losses against NumPy, padding left out."""

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.losses import cross_entropy, policy_gradient, token_accuracy

TARGETS = jnp.array([[[3, 1, 2, 0], [4, 2, 0, 0]], [[0, 0, 0, 0], [1, 1, 1, 1]]])
LOGITS = jnp.asarray(np.random.default_rng(0).normal(0, 3, (*TARGETS.shape, 5)), jnp.float32)
REAL = 9


def test_cross_entropy_sums_over_real_targets():
  wide = np.asarray(LOGITS, np.float64)
  log_probs = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
  expected = -sum(log_probs[i][t] for i, t in np.ndenumerate(np.asarray(TARGETS)) if t)
  total, weight = cross_entropy(LOGITS, TARGETS)
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert weight == REAL


def test_parts_add_up():
  whole = cross_entropy(LOGITS, TARGETS)
  parts = [cross_entropy(LOGITS[i], TARGETS[i]) for i in range(2)]
  np.testing.assert_allclose(np.sum(parts, 0), whole, rtol=1e-5)


def test_padding_gets_no_gradient():
  gradient = jax.grad(lambda x: cross_entropy(x, TARGETS)[0])(LOGITS)
  assert not np.asarray(gradient)[np.asarray(TARGETS) == 0].any()
  assert np.abs(gradient).max(-1)[TARGETS != 0].min() > 0


def test_nothing_real_weighs_nothing():
  total, weight = cross_entropy(LOGITS, jnp.zeros_like(TARGETS))
  assert total == 0 and weight == 0


def test_is_float32_and_finite_for_any_logits():
  logits = jnp.asarray(LOGITS * 1e4, jnp.bfloat16)
  total, weight = cross_entropy(logits, TARGETS)
  assert total.dtype == weight.dtype == jnp.float32
  assert np.isfinite(total) and np.isfinite(
      jax.grad(lambda x: cross_entropy(x, TARGETS)[0])(logits.astype(jnp.float32))
  ).all()


def test_token_accuracy_counts_real_targets_that_are_likeliest():
  logits = jax.nn.one_hot(TARGETS, 5)  # all right, padding too
  logits = logits.at[0, 0, 1].set(jnp.array([9.0, 0, 0, 0, 0]))  # one wrong
  right, weight = token_accuracy(logits, TARGETS)
  assert right == REAL - 1 and weight == REAL


def test_policy_gradient_by_written_out_numbers():
  """Chosen words' chances of two texts, the second cut off: seven words count."""
  chances = jnp.array([[0.5, 0.2, 0.4, 0.9], [0.3, 0.6, 0.5, 0.1]])
  written = jnp.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
  total, weight = policy_gradient(jnp.log(chances), jnp.array([0.3, -0.1]), written)
  assert weight == 7
  np.testing.assert_allclose(total / weight, 0.070660, atol=5e-6)
  slope = jax.grad(lambda a: policy_gradient(jnp.log(chances), a, written)[0])(jnp.ones(2))
  assert not np.asarray(slope).any()  # a reward has no gradient
