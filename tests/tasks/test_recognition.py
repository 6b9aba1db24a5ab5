"""The left-to-right task on a tiny CAN: its targets, its loss with counts, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmjax import models, sharding, tasks, train_state
from mmjax.decode.options import DecodeOptions
from mmjax.tasks import recognition
from mmjax.text.vocabulary import Vocabulary

WORDS = ["a", "b", "c", "^", "{", "}"]
VOCABULARY = Vocabulary.from_words(WORDS)
SIZES = dict(hidden=32, embedding=24, attention=16, coverage_channels=4, counting=8, growth=4,
             encoder_layers=(1, 1), dropout=0.0, encoder_dropout=0.0)  # fmt: skip
MODEL = models.build("can", len(VOCABULARY), mask_features=True, **SIZES)
TASK = recognition.Task(MODEL, VOCABULARY, DecodeOptions(beam=2, max_length=8))
TEXTS = ["a", "b a", "a ^ { b }", "c c b"]


@pytest.fixture(scope="module")
def batch():
  numbers = [VOCABULARY.encode(text.split()) for text in TEXTS]
  return {
      "image": np.random.default_rng(5).integers(0, 256, (4, 32, 64, 1), dtype=np.uint8),
      "size": np.array([[32, 64], [20, 33], [32, 48], [16, 64]]),
      "tokens": np.array([n + [0] * (6 - len(n)) for n in numbers]),
      "length": np.array([len(n) for n in numbers]),
      "real": np.ones(4, bool),
  }


def test_counts_are_of_symbols_within_the_text():
  tokens, lengths = jnp.array([[3, 3, 5, 4], [6, 7, 4, 8]]), jnp.array([3, 4])
  counts = recognition.symbol_counts(tokens, lengths, VOCABULARY)
  assert counts.tolist() == [[0, 0, 0, 2, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0]]


def test_frames_start_and_stop():
  tokens_in, tokens_out = TASK.frames(jnp.array([[3, 4, 0]]), jnp.array([2]))
  assert tokens_in.tolist() == [[[1, 3, 4, 0]]] and tokens_out.tolist() == [[[3, 4, 2, 0]]]


def test_learns_to_read_and_to_count(batch):
  rates = train_state.Rates(optax.scale_by_adam(), lambda step: jnp.float32(5e-3))
  state, _ = train_state.create(TASK, rates, sharding.make_mesh(), seed=0)
  update = jax.jit(train_state.make_update(TASK, rates), donate_argnums=0)
  values = []
  for _ in range(150):
    state, metrics = update(state, batch, jax.random.key(0))
    values.append({k: float(metrics[k][0] / metrics[k][1]) for k in ("loss", "counting")})
  assert values[0]["loss"] > 1 and values[-1]["loss"] < 0.05
  assert values[-1]["counting"] < 0.1 * values[0]["counting"]

  metrics, found = TASK.evaluate(state.variables, batch)
  assert metrics["loss"][1] == sum(len(t.split()) + 1 for t in TEXTS)
  best = [VOCABULARY.decode(t[0].tolist()) for t in np.asarray(found.tokens)]
  assert [" ".join(words) for words in best] == TEXTS
  np.testing.assert_array_equal(found.lengths[:, 0], batch["length"])
  assert (found.scores[:, 0] > found.scores[:, 1]).all()

  maps = TASK.attention(state.variables, batch, batch["tokens"], batch["length"])
  assert maps.shape == (4, 7, 4, 8)
  np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)
  assert not np.asarray(maps)[3, :, 2:].any()  # 16 rows of pixels are two of cells


def test_filler_rows_have_no_loss(batch):
  variables = dict(jax.jit(TASK.init)(jax.random.key(0)))
  params = variables.pop("params")

  @jax.jit
  def loss(batch):
    total, (weight, metrics, _) = TASK.loss(params, variables, batch, jax.random.key(0))
    return total, weight, metrics

  real = np.array([True, True, False, True])
  total, weight, metrics = loss(batch | {"real": real})
  other = batch["tokens"].copy()
  other[2] = 3
  changed = loss(batch | {"real": real, "tokens": other})
  np.testing.assert_allclose(changed[0], total, rtol=1e-6)
  assert weight == changed[1] == 2 + 3 + 4
  assert metrics["counting"][1] == 3
  expected = metrics["loss"][0] + metrics["counting"][0] / 3 * weight
  np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_a_model_that_writes_trees_is_refused():
  model = models.build("san", len(VOCABULARY))
  with pytest.raises(ValueError, match="model SAN has no init_cache or step"):
    tasks.build("recognition", model=model, vocabulary=VOCABULARY)


def test_all_strategies_give_texts_best_first(batch):
  variables = jax.jit(TASK.init)(jax.random.key(1))
  diverse = dict(strategy="diverse", groups=2, beam=2, diversity=20.0)
  for changes in (diverse, dict(strategy="sample", samples=2, temperature=5.0)):
    options = DecodeOptions(max_length=4, **changes)
    task = tasks.build("recognition", model=MODEL, vocabulary=VOCABULARY, decode=options)
    found = task.predict(variables, batch)
    assert found.tokens.shape == (4, 2, 4)
    scores = np.asarray(found.scores)
    assert (scores[:, :-1] >= scores[:, 1:]).all() and (scores > -100).all()
    assert (np.asarray(found.tokens[:, 0]) != np.asarray(found.tokens[:, 1])).any()


def test_both_directions_know_the_beam_alone():
  options = DecodeOptions(strategy="sample")
  with pytest.raises(ValueError, match=r"config.decode.strategy is 'sample'; the task that reads"):
    tasks.build("bidirectional", model=MODEL, vocabulary=VOCABULARY, decode=options)
