"""The step: accumulated parts, averaged parameters, rates, and gradients that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mmjax import models, optim, sharding, tasks, train_state
from mmjax.text.vocabulary import Vocabulary

WORDS = Vocabulary(tuple("abc+^{}"))
SIZES = dict(width=16, heads=2, layers=1, hidden=32, growth=4, encoder_layers=(1, 1, 1))
SIZES |= dict(dropout=0.0, encoder_dropout=0.0, mask_features=True)


def make(accumulate: int = 1):
  """(new state, jitted step) of a tiny BTTR without dropout, under Adadelta, with an average."""
  model = models.build("bttr", len(WORDS), **SIZES)
  task = tasks.build("bidirectional", model=model, vocabulary=WORDS)
  c = dict(name="adadelta", rho=0.9, eps=1e-6, weight_decay=1e-4)
  c = ConfigDict(c | dict(clip=100.0, clip_value=0.0, factors=()))
  rates = train_state.Rates(optim.make_optimizer(c), lambda step: 0.5, 0.9, accumulate)
  mesh = sharding.make_mesh()
  state, _ = train_state.create(task, rates, mesh, seed=0)
  return state, jax.jit(train_state.make_update(task, rates))


@pytest.fixture(scope="module")
def whole():
  return make()


@pytest.fixture(scope="module")
def batch():
  """Eight rows, every picture twice in a row, captions of 1 to 7 words, a row of filler at the end.

  Parts of two take rows 0, 2, 4, 6 and 1, 3, 5, 7: the same pictures, hence the same batch
  statistics, but captions of other lengths and the filler in one of them.
  """
  draw = np.random.default_rng(0)
  image = np.repeat(draw.integers(0, 256, (4, 32, 32, 1), dtype=np.uint8), 2, 0)
  image[6:] = 0
  size = np.repeat([[32, 32], [20, 32], [32, 17], [1, 1]], 2, 0).astype(np.int32)
  length = np.array([1, 7, 2, 6, 3, 5, 7, 0], np.int32)
  tokens = draw.integers(3, len(WORDS), (8, 8)).astype(np.int32)
  tokens[np.arange(8) >= length[:, None]] = 0
  return {"image": image, "size": size, "tokens": tokens, "length": length, "real": length > 0}


def largest_difference(a, b) -> float:
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return max(float(np.abs(np.subtract(x, y)).max()) for x, y in pairs)


KEY = jax.random.key(7)


def test_accumulated_parts_move_the_parameters_as_the_whole_batch(whole, batch):
  state, update = whole
  parted_state, parted_update = make(accumulate=2)
  one, metrics = update(state, batch, KEY)
  two, parted_metrics = parted_update(parted_state, batch, KEY)
  assert largest_difference(one.params, state.params) > 1e-3
  assert largest_difference(one.params, two.params) < 1e-5
  assert largest_difference(one.opt_state, two.opt_state) < 1e-5
  for name in ("loss", "token_accuracy", "gradient_norm"):
    np.testing.assert_allclose(parted_metrics[name], metrics[name], rtol=1e-4, err_msg=name)
  assert metrics["loss"][1] == 2 * (1 + 7 + 2 + 6 + 3 + 5 + 7 + 7)  # an end for each real row
  # The parts do weigh differently: a mean of their means would be another step.
  half = {k: v.reshape(4, 2, *v.shape[1:])[:, 0].repeat(2, 0) for k, v in batch.items()}
  assert largest_difference(update(state, half, KEY)[0].params, one.params) > 1e-3


def test_the_average_follows_the_parameters(whole, batch):
  state, update = whole
  expected = jax.tree.map(np.asarray, state.params)
  mean = lambda decay, a, b: jax.tree.map(lambda x, y: decay * x + (1 - decay) * y, a, b)
  assert largest_difference(state.ema, state.params) == 0
  for step in range(3):
    decay = min(0.9, (1 + step) / (10 + step))
    state, _ = update(state, batch, KEY)
    expected = mean(decay, expected, state.params)
    assert int(state.step) == step + 1
    assert largest_difference(state.ema, expected) < 1e-6
  assert state.variables["params"] is state.ema
  assert state.replace(ema=None).variables["params"] is state.params
  assert set(state.variables) == {"params", "batch_stats"}


def test_a_step_that_is_not_finite_says_so(whole, batch):
  state, update = whole
  assert update(state, batch, KEY)[1]["finite"] == (1, 1)
  last = state.params["word_proj"]
  last = last | {"bias": last["bias"].at[3].set(jnp.inf)}
  _, metrics = update(state.replace(params=state.params | {"word_proj": last}), batch, KEY)
  assert metrics["finite"] == (0, 1) and not np.isfinite(metrics["gradient_norm"][0])


def test_the_plateau_scales_the_rate(whole, batch):
  state, update = whole
  slower = state.replace(plateau=state.plateau._replace(factor=state.plateau.factor / 2))
  (fast, metrics), (slow, less) = update(state, batch, KEY), update(slower, batch, KEY)
  assert float(less["learning_rate"][0]) == 0.5 * float(metrics["learning_rate"][0]) == 0.25
  halved = jax.tree.map(lambda new, old: old + (new - old) / 2, fast.params, state.params)
  assert largest_difference(halved, slow.params) < 1e-6


def test_states_of_one_seed_are_equal_and_fresh(whole):
  state, _ = whole
  again, _ = make()
  assert largest_difference((state.params, state.ema), (again.params, again.ema)) == 0
  assert int(state.step) == 0 and float(state.plateau.factor) == 1
