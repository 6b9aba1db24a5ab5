"""The written-out backward pass of the attentive LSTM against the derivative of its steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.modules.attentive_lstm import Picture, State, Weights, advance, read_text

B, R, S, A, D, H, T = 2, 3, 7, 5, 6, 4, 5


def arguments(dtype=jnp.float32):
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(0, 0.5, shape), jnp.float32)
  weights = Weights(draw(H, A + D + 4 * H), draw(A + D + 4 * H), draw(D, 4 * H), draw(A))
  picture = Picture(draw(B, S, D).astype(dtype), draw(B, S, A).astype(dtype))
  start = State(draw(B, R, H).astype(dtype), draw(B, R, H))
  return weights, draw(T, B, R, 4 * H).astype(dtype), start, picture


def step_by_step(weights, words, start, picture):
  def step(state, x):
    state, alpha = advance(weights, x, state, picture)
    return state, (state.h, alpha)

  return jax.lax.scan(step, start, words)[1]


def gradients(read, dtype=jnp.float32):
  """Of a function that weighs every state and every look differently."""

  def total(*arguments):
    states, alphas = read(*arguments)
    weigh = lambda x: (x * jnp.cos(jnp.arange(x.size)).reshape(x.shape)).sum(dtype=jnp.float32)
    return weigh(states) + 3 * weigh(alphas**2)

  return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))(*arguments(dtype))


def test_gradients_of_all_arguments():
  (ours, by_hand), (value, derived) = gradients(read_text), gradients(step_by_step)
  assert float(ours) == pytest.approx(float(value), abs=1e-5)
  for (path, a), b in zip(jax.tree.leaves_with_path(by_hand), jax.tree.leaves(derived)):
    assert np.abs(b).max() > 1e-2, path
    np.testing.assert_allclose(a, b, atol=1e-5, err_msg=str(path))


def test_bfloat16_keeps_types_and_comes_close():
  by_hand, exact = gradients(read_text, jnp.bfloat16)[1], gradients(step_by_step)[1]
  for a, b, given in zip(*map(jax.tree.leaves, (by_hand, exact, arguments(jnp.bfloat16)))):
    assert a.dtype == given.dtype
    assert np.abs(a - b).max() < 0.1 * np.abs(b).max()
