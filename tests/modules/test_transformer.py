"""A decoder layer against its equations in NumPy; the whole decoder is tested with BTTR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax.modules.transformer import DecoderLayer, KeysValues

B, R, T, S, D, N = 2, 3, 5, 7, 8, 2
LAYER = DecoderLayer(width=D, heads=N, hidden=12, dropout=0.0, dtype=jnp.float32)
VALID = jnp.arange(S) < jnp.array([[S], [4]])
CAUSAL = jnp.tril(jnp.ones((T, T), bool))


def project_picture(layer, features):
  return layer.cross_attention.project(features)


def whole(layer, x, features, valid, seen=CAUSAL, train=False):
  return layer(x, seen, project_picture(layer, features), valid, train=train)


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  return normal(B, R, T, D), normal(B, S, D)


@pytest.fixture(scope="module")
def variables(inputs):
  variables = nn.unbox(LAYER.init(jax.random.key(0), *inputs, VALID, method=whole))
  rng = np.random.default_rng(1)  # biases and scales that matter
  return jax.tree.map(lambda x: np.asarray(x) + rng.normal(0, 0.3, x.shape), variables)


@pytest.fixture(scope="module")
def apply(variables):
  return jax.jit(lambda *args: LAYER.apply(variables, *args, method=whole))


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def attend(p, x, memory, allowed):
  """One row of words [T, D] to [S, D], head by head."""
  out = p["out"]["bias"].copy()
  for n in range(N):
    q, k, v = (
        side @ p[name]["kernel"][:, n] + p[name]["bias"][n]
        for name, side in (("query", x), ("key", memory), ("value", memory))
    )
    weights = softmax(np.where(allowed, q @ k.T / np.sqrt(D // N), -np.inf))
    out = out + weights @ v @ p["out"]["kernel"][n]
  return out


def norm(p, x):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def test_equations(inputs, variables, apply):
  """x = LN1(x + SA(x)); x = LN2(x + CA(x, memory)); x = LN3(x + W2 ReLU(W1 x))."""
  x, features = map(np.asarray, inputs)
  p = variables["params"]
  ours = apply(*inputs, VALID)
  for b in range(B):
    for r in range(R):
      y = norm(p["norm1"], x[b, r] + attend(p["self_attention"], x[b, r], x[b, r], CAUSAL))
      y = norm(p["norm2"], y + attend(p["cross_attention"], y, features[b], VALID[b]))
      hidden = np.maximum(y @ p["linear1"]["kernel"] + p["linear1"]["bias"], 0)
      y = norm(p["norm3"], y + hidden @ p["linear2"]["kernel"] + p["linear2"]["bias"])
      np.testing.assert_allclose(ours[b, r], y, atol=1e-5)


def test_steps_equal_the_whole(inputs, variables, apply):
  x, features = inputs

  def steps(layer, x):
    picture = project_picture(layer, features)
    cache = KeysValues(*[jnp.zeros((B, R, N, T, D // N))] * 2)
    out = []
    for t in range(T):
      y, cache = layer.step(x[:, :, t : t + 1], jnp.int32(t), cache, picture, VALID)
      out.append(y)
    return jnp.concatenate(out, 2)

  ours = jax.jit(lambda x: LAYER.apply(variables, x, method=steps))(x)
  np.testing.assert_allclose(ours, apply(x, features, VALID), atol=1e-5)


def test_reported_attention_is_a_distribution_over_valid_cells(inputs, variables):
  _, seen = LAYER.apply(variables, *inputs, VALID, method=whole, mutable=["intermediates"])
  (weights,) = seen["intermediates"]["cross_attention"]["picture"]
  assert weights.shape == (B, R, T, S)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
  assert not np.asarray(weights)[1, :, :, 4:].any()


def test_a_picture_without_valid_cells_makes_no_nan(inputs, variables):
  x, features = inputs
  nothing = jnp.zeros((B, S), bool)
  total = lambda v: LAYER.apply(v, x, features, nothing, method=whole).sum()
  value, gradient = jax.jit(jax.value_and_grad(total))(variables)
  assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_initial_weights_have_the_published_spread():
  """PyTorch: Xavier over the stacked [3 D, D] projection, U(+-1 / sqrt(fan in)) elsewhere."""
  wide = DecoderLayer(width=64, heads=4, hidden=128, dropout=0.0, dtype=jnp.float32)
  x, features = jnp.zeros((1, 1, 1, 64)), jnp.zeros((1, 1, 64))
  seen, valid = jnp.ones((1, 1), bool), jnp.ones((1, 1), bool)
  init = lambda key: wide.init(key, x, features, valid, seen, method=whole)
  p = nn.unbox(jax.jit(init)(jax.random.key(0)))["params"]
  bounds = {
      ("self_attention", "query", "kernel"): (6 / (64 + 192)) ** 0.5,
      ("cross_attention", "value", "kernel"): (6 / (64 + 192)) ** 0.5,
      ("self_attention", "out", "kernel"): 64**-0.5,
      ("linear1", "kernel"): 64**-0.5,
      ("linear1", "bias"): 64**-0.5,
      ("linear2", "kernel"): 128**-0.5,
      ("linear2", "bias"): 128**-0.5,
  }
  for path, bound in bounds.items():
    leaf = p
    for name in path:
      leaf = leaf[name]
    assert 0.85 * bound < np.abs(leaf).max() <= bound * 1.0001, path
  assert not p["self_attention"]["query"]["bias"].any()
