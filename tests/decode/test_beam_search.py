"""The jitted search against the plain one."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.decode import beam_search as module
from mmjax.decode.beam_search import (
  NEGATIVE,
  beam_search,
  buffer_lengths,
  normalised_beam_search,
)
from tests.decode import reference, toy

STARTS, STOPS = (1, 2), (2, 1)  # both directions


def search(tables, real=None, *, beam, max_length, starts=STARTS, stops=STOPS):
  step, cache_of = toy.cached(tables, len(starts) * beam)
  real = jnp.ones(len(tables), bool) if real is None else real
  return beam_search(
      step, cache_of, real, starts=starts, stops=stops, beam=beam, max_length=max_length
  )


@functools.cache
def jitted(**options):
  return jax.jit(functools.partial(search, **options))


def texts(found, picture, group):
  """[(tokens, score), ...] of one search, missing hypotheses left out."""
  out = []
  for tokens, score, length in zip(*(np.asarray(x[picture, group]) for x in found)):
    if score > NEGATIVE / 2:
      assert not tokens[length:].any()  # PAD behind the end
      out.append((tuple(tokens[:length].tolist()), float(score)))
    else:
      assert not tokens.any() and length == 0
  return out


def assert_same(ours, expected):
  assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in expected]
  np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], atol=1e-4)


MODELS = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.5, 4.0]), st.sampled_from([-3.0, 0.0, 2.0])
)


@settings(max_examples=60)
@given(MODELS)
def test_equals_the_plain_search(model):
  """Tokens, scores and order, in both directions: flat and peaked models, short texts and long."""
  seed, spread, bonus = model
  tables = toy.random_tables(seed, 3, 6, spread=spread, stop_bonus=bonus)
  found = jitted(beam=3, max_length=7)(tables)
  for b, (g, (start, stop)) in itertools.product(range(3), enumerate(zip(STARTS, STOPS))):
    expected = reference.beam_search(toy.plain(tables[b]), start, stop, 3, 7)
    assert_same(texts(found, b, g), expected)


@functools.cache
def normalised(beam, max_length, length_penalty):
  def search(tables):
    step, cache_of = toy.cached(tables, 2 * beam)
    limits = dict(starts=STARTS, stops=STOPS, beam=beam, max_length=max_length)
    real = jnp.ones(len(tables), bool)
    return normalised_beam_search(step, cache_of, real, length_penalty=length_penalty, **limits)

  return jax.jit(search)


@pytest.mark.parametrize("beam,length_penalty", [(3, 1.0), (1, 0.5)])
@settings(max_examples=30)
@given(MODELS)
def test_the_normalised_search_equals_the_plain_one(beam, length_penalty, model):
  seed, spread, bonus = model
  tables = toy.random_tables(seed, 3, 6, spread=spread, stop_bonus=bonus)
  found = normalised(beam, 7, length_penalty)(tables)
  for b, (g, (start, stop)) in itertools.product(range(3), enumerate(zip(STARTS, STOPS))):
    expected = reference.normalised_beam_search(
        toy.plain(tables[b]), start, stop, beam, 7, length_penalty
    )
    assert_same(texts(found, b, g), expected)


def test_caches_without_a_length_stay_as_they_are():
  """A recurrent cache: its sides do not grow with the buffers."""
  words, places = 5, 60  # two buffers

  def step(tokens, position, cache):
    state = (cache["state"] * 3 + tokens) % toy.M
    seen = jax.lax.dynamic_update_slice_in_dim(cache["seen"], tokens[..., None], position, 2)
    logits = jnp.sin(state[..., None] * (1.0 + jnp.arange(words)))
    return logits.at[..., 2].set(-50.0), {"state": state, "seen": seen}

  cache_of = lambda length: {
      "state": jnp.zeros((1, 2), jnp.int32),
      "seen": jnp.zeros((1, 2, length), jnp.int32),
  }
  limits = dict(starts=(1,), stops=(2,), beam=2, max_length=places)
  found = jax.jit(lambda: beam_search(step, cache_of, jnp.ones(1, bool), **limits))()

  def model(tokens):
    state = 0
    for t in tokens:
      state = (state * 3 + t) % toy.M
    logits = np.sin(state * (1.0 + np.arange(words)))
    logits[2] = -50.0
    return logits.tolist()

  assert_same(texts(found, 0, 0), reference.beam_search(model, 1, 2, 2, places))


def test_equal_scores_keep_the_order_of_the_plain_search():
  tables = np.zeros((1, toy.M, 4), np.float32)  # every word has probability 1 / 4
  found = jitted(beam=5, max_length=4)(tables)
  for g, (start, stop) in enumerate(zip(STARTS, STOPS)):
    expected = reference.beam_search(toy.plain(tables[0]), start, stop, 5, 4)
    assert_same(texts(found, 0, g), expected)


def test_more_hypotheses_than_words():
  """The first step has fewer continuations than the beam has places."""
  tables = toy.random_tables(5, 2, 4, stop_bonus=1.0)
  found = jitted(beam=9, max_length=5)(tables)
  for b, (g, (start, stop)) in itertools.product(range(2), enumerate(zip(STARTS, STOPS))):
    assert_same(
        texts(found, b, g), reference.beam_search(toy.plain(tables[b]), start, stop, 9, 5)
    )


def test_beam_of_one_is_greedy():
  tables = toy.random_tables(1, 8, 6)
  found = jitted(beam=1, max_length=12)(tables)
  lengths = set()
  for b, (g, (start, stop)) in itertools.product(range(8), enumerate(zip(STARTS, STOPS))):
    expected = reference.greedy(toy.plain(tables[b]), start, stop, 12)
    assert_same(texts(found, b, g), [expected])
    lengths.add(len(expected[0]))
  assert len(lengths) > 3  # short ones, and such as never ended


def test_wider_beams_find_better_hypotheses_up_to_the_best_there_is():
  """A vocabulary of four words and four places: the widest beam holds every text."""
  pictures, words, places = 4, 4, 4
  tables = toy.random_tables(3, pictures, words)
  best = []
  for beam in (1, 2, 4, 12, 121):
    options = dict(beam=beam, max_length=places, starts=(1,), stops=(2,))
    found = jitted(**options)(tables)
    ended = np.asarray(found.lengths[:, 0]) < places  # else the stop is not in the score
    best.append(np.where(ended, found.scores[:, 0], NEGATIVE).max(-1))
  for narrow, wide in itertools.pairwise(best):
    assert (wide >= narrow - 1e-5).all()
  assert (best[-1] > best[0] + 1e-3).any()
  for b in range(pictures):
    model = toy.plain(tables[b])
    others = [w for w in range(words) if w != 2]
    every = (t for n in range(places) for t in itertools.product(others, repeat=n))
    scores = {}
    for tokens in every:
      log_probs = [reference.log_softmax(model((1, *tokens[:i]))) for i in range(len(tokens) + 1)]
      scores[tokens] = sum(p[w] for p, w in zip(log_probs, (*tokens, 2)))
    likeliest = max(scores, key=scores.get)
    ours = max(texts(found, b, 0), key=lambda h: h[1])
    assert ours[0] == likeliest
    assert len(texts(found, b, 0)) == len(scores)  # all of them, once each
    assert best[-1][b] == pytest.approx(scores[likeliest], abs=1e-4)


def test_without_a_stop_the_best_running_hypothesis_counts():
  tables = toy.random_tables(4, 2, 6, stop_bonus=-50.0)
  found = jitted(beam=3, max_length=7)(tables)
  for b, (g, (start, stop)) in itertools.product(range(2), enumerate(zip(STARTS, STOPS))):
    (only,) = texts(found, b, g)
    assert len(only[0]) == 7
    assert_same([only], reference.beam_search(toy.plain(tables[b]), start, stop, 3, 7))


def test_buffers_that_grow_change_nothing(monkeypatch):
  assert buffer_lengths(48) == [48]
  assert buffer_lengths(100) == [25, 50, 100]
  tables = toy.random_tables(6, 6, 6, stop_bonus=-2.0)
  options = dict(beam=2, max_length=100)
  grown = jax.jit(functools.partial(search, **options))(tables)
  monkeypatch.setattr(module, "buffer_lengths", lambda max_length: [max_length])
  whole = jax.jit(functools.partial(search, **options))(tables)
  jax.tree.map(np.testing.assert_array_equal, grown, whole)
  lengths = np.asarray(grown.lengths)[np.asarray(grown.scores) > NEGATIVE / 2]
  assert (lengths < 25).any() and (lengths > 50).any()  # all buffers were used


@pytest.mark.parametrize(
    "kind", [beam_search, functools.partial(normalised_beam_search, length_penalty=1.0)]
)
def test_leaving_finished_pictures_out_changes_nothing(kind):
  """Eight quick pictures with one slow among them: that one goes on with one other as filler."""
  tables = toy.random_tables(10, 8, 6, stop_bonus=3.0)
  tables[5] = toy.random_tables(11, 1, 6, stop_bonus=-4.0)[0]
  steps = []

  def counted(step):
    def counting(tokens, position, cache):
      jax.debug.callback(lambda p: steps.append((len(tokens), int(p))), position)
      return step(tokens, position, cache)

    return counting

  def run(tables, narrowed):
    step, cache_of = toy.cached(tables, 4)
    narrow = lambda pictures: counted(toy.cached(tables[pictures], 4)[0])
    return kind(
        counted(step), cache_of, jnp.ones(8, bool), starts=STARTS, stops=STOPS, beam=2,
        max_length=60, narrow=narrow if narrowed else None,
    )  # fmt: skip

  whole = jax.jit(functools.partial(run, narrowed=False))(jnp.asarray(tables))
  jax.effects_barrier()
  wide = [rows for rows, _ in steps]
  steps.clear()
  narrow = jax.jit(functools.partial(run, narrowed=True))(jnp.asarray(tables))
  jax.effects_barrier()
  jax.tree.map(np.testing.assert_array_equal, narrow, whole)
  assert sorted(position for _, position in steps) == list(range(len(wide)))
  assert {rows for rows, _ in steps} == {2, 8} and wide.count(8) == len(wide)
  assert max(p for rows, p in steps if rows == 8) < 30 < max(p for rows, p in steps if rows == 2)


def test_filler_pictures_are_not_searched():
  """They get no hypotheses, do not change the others, and do not keep the search running."""
  quick = toy.random_tables(7, 1, 6, stop_bonus=8.0)
  slow = toy.random_tables(8, 1, 6, stop_bonus=-50.0)
  steps = []

  def counted(tables, real):
    step, cache_of = toy.cached(tables, 6)

    def counting(tokens, position, cache):
      jax.debug.callback(lambda p: steps.append(int(p)), position)
      return step(tokens, position, cache)

    options = dict(starts=STARTS, stops=STOPS, beam=3, max_length=7)
    return beam_search(counting, cache_of, real, **options)

  run = jax.jit(counted)
  tables = np.concatenate([quick, slow])
  both = run(tables, np.array([True, True]))
  jax.effects_barrier()
  assert max(steps) == 6
  steps.clear()
  alone = run(tables, np.array([True, False]))
  jax.effects_barrier()
  assert max(steps) < 6
  assert texts(alone, 1, 0) == texts(alone, 1, 1) == []
  assert texts(alone, 0, 0) == texts(both, 0, 0) and texts(alone, 0, 1) == texts(both, 0, 1)
  steps.clear()
  nothing = run(tables, np.array([False, False]))
  jax.effects_barrier()
  assert steps == [] and (np.asarray(nothing.scores) == NEGATIVE).all()


def test_one_trace_for_a_shape():
  run = jax.jit(functools.partial(search, beam=2, max_length=3))
  for seed in range(3):
    run(toy.random_tables(seed, 2, 6))
  assert run._cache_size() == 1
  run(toy.random_tables(0, 3, 6))
  assert run._cache_size() == 2
