"""Targets of both directions, and the search that joins them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.decode import beam_search, bidirectional
from mmjax.decode.beam_search import NEGATIVE
from mmjax.decode.bidirectional import (
  bidirectional_search,
  both_directions,
  frame,
  reverse,
  sequence_scores,
)
from tests.decode import reference, toy

TOKENS = jnp.array([[5, 6, 7, 0], [8, 0, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6]])
LENGTHS = jnp.array([3, 1, 0, 4])


def test_reverse_turns_the_text_and_leaves_the_padding():
  expected = [[7, 6, 5, 0], [8, 0, 0, 0], [0, 0, 0, 0], [6, 5, 4, 3]]
  np.testing.assert_array_equal(reverse(TOKENS, LENGTHS), expected)
  np.testing.assert_array_equal(reverse(reverse(TOKENS, LENGTHS), LENGTHS), TOKENS)


def test_frame_puts_start_and_stop():
  tokens_in, tokens_out = frame(TOKENS, LENGTHS, 1, 2)
  np.testing.assert_array_equal(
      tokens_in, [[1, 5, 6, 7, 0], [1, 8, 0, 0, 0], [1, 0, 0, 0, 0], [1, 3, 4, 5, 6]]
  )
  np.testing.assert_array_equal(
      tokens_out, [[5, 6, 7, 2, 0], [8, 2, 0, 0, 0], [2, 0, 0, 0, 0], [3, 4, 5, 6, 2]]
  )


def test_both_directions():
  """L2R: [sos, t1..tn] -> [t1..tn, eos]; R2L: [eos, tn..t1] -> [tn..t1, sos]."""
  tokens_in, tokens_out = both_directions(TOKENS[:2], LENGTHS[:2])
  np.testing.assert_array_equal(
      tokens_in, [[[1, 5, 6, 7, 0], [2, 7, 6, 5, 0]], [[1, 8, 0, 0, 0], [2, 8, 0, 0, 0]]]
  )
  np.testing.assert_array_equal(
      tokens_out, [[[5, 6, 7, 2, 0], [7, 6, 5, 1, 0]], [[8, 2, 0, 0, 0], [8, 1, 0, 0, 0]]]
  )


def test_sequence_scores_leave_padding_out():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)), jnp.float32)
  out = jnp.array([[3, 2, 0], [4, 4, 2]])
  log_probs = [[reference.log_softmax(row.tolist()) for row in text] for text in np.asarray(logits)]
  expected = [log_probs[0][0][3] + log_probs[0][1][2]]
  expected += [log_probs[1][0][4] + log_probs[1][1][4] + log_probs[1][2][2]]
  np.testing.assert_allclose(sequence_scores(logits, out), expected, atol=1e-5)


def search(tables, real=None, *, beam, max_length, length_penalty, normalise="sum"):
  step, cache_of = toy.cached(tables, 2 * beam)
  real = jnp.ones(len(tables), bool) if real is None else real
  options = dict(
      beam=beam, max_length=max_length, length_penalty=length_penalty, normalise=normalise
  )
  return bidirectional_search(step, cache_of, toy.teacher_forced(tables), real, **options)


@functools.cache
def jitted(**options):
  return jax.jit(functools.partial(search, **options))


def texts(found, picture):
  out = []
  for tokens, score, length in zip(*(np.asarray(x[picture]) for x in found)):
    if score > NEGATIVE / 2:
      assert not tokens[length:].any()
      out.append((tuple(tokens[:length].tolist()), float(score)))
  return out


def assert_same(ours, expected):
  """Best first; the two directions may find one text, whose two scores differ by rounding only."""
  np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], atol=1e-4)
  assert [t for t, _ in ours] == [t for t, _ in expected]


@pytest.mark.parametrize("length_penalty,normalise", [(0.0, "sum"), (1.0, "sum"), (1.0, "each")])
@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.5, 4.0]), st.sampled_from([-3.0, 0.0, 2.0])
)
def test_equals_the_plain_search(length_penalty, normalise, seed, spread, bonus):
  tables = toy.random_tables(seed, 2, 6, spread=spread, stop_bonus=bonus)
  options = dict(beam=3, max_length=6, length_penalty=length_penalty, normalise=normalise)
  found = jitted(**options)(tables)
  for b in range(2):
    expected = reference.bidirectional_search(toy.plain(tables[b]), **options)
    assert_same(texts(found, b), expected)


def test_the_penalty_divides_by_the_number_of_tokens():
  tables = toy.random_tables(2, 8, 6)
  sums, means = (
      jitted(beam=3, max_length=6, length_penalty=p)(tables) for p in (0.0, 1.0)
  )
  other_winner = False
  for b in range(8):
    by_sum, by_mean = texts(sums, b), texts(means, b)
    divided = [(tokens, score / max(len(tokens), 1)) for tokens, score in by_sum]
    assert sorted(t for t, _ in divided) == sorted(t for t, _ in by_mean)
    np.testing.assert_allclose(
        sorted(s for _, s in divided), sorted(s for _, s in by_mean), atol=1e-5
    )
    for ranked in (by_sum, by_mean):
      assert all(a >= b for (_, a), (_, b) in itertools.pairwise(ranked))
    other_winner |= by_sum[0][0] != by_mean[0][0]
  assert other_winner


def test_a_backward_text_comes_back_in_reading_order():
  """A model that writes 5 5 3 forwards and 3 5 5 backwards, with certainty."""
  table = np.zeros((toy.M, 6), np.float32)
  for words in ((1, 5, 5, 3, 2), (2, 3, 5, 5, 1)):
    for n in range(1, 5):
      row = int((np.array(words[:n]) * toy.weights(n)).sum()) % toy.M
      table[row, words[n]] += 30
  found = jitted(beam=1, max_length=6, length_penalty=1.0)(table[None])
  assert [t for t, _ in texts(found, 0)] == [(5, 5, 3), (5, 5, 3)]
  np.testing.assert_allclose(found.scores[0], 0, atol=1e-5)
  np.testing.assert_array_equal(found.lengths[0], [3, 3])


def test_filler_pictures_have_no_hypotheses():
  tables = toy.random_tables(9, 2, 6)
  run = jitted(beam=3, max_length=6, length_penalty=1.0)
  found = run(tables, np.array([True, False]))
  assert texts(found, 1) == [] and (np.asarray(found.scores[1]) == NEGATIVE).all()
  assert texts(found, 0) == texts(run(tables, np.array([True, True])), 0)


def test_rescoring_at_a_shorter_length_changes_nothing(monkeypatch):
  """Texts that fit the first buffer are rescored at its length: the same as at full length."""
  options = dict(beam=2, max_length=60, length_penalty=1.0)
  short, long = (toy.random_tables(3, 3, 6, stop_bonus=b) for b in (3.0, -4.0))
  run = jax.jit(functools.partial(search, **options))
  found = run(short), run(long)
  for module in (beam_search, bidirectional):
    monkeypatch.setattr(module, "buffer_lengths", lambda max_length: [max_length])
  run = jax.jit(functools.partial(search, **options))
  assert int(found[0].lengths.max()) <= 30 < int(found[1].lengths.max())
  for ours, tables in zip(found, (short, long)):
    expected = run(tables)
    np.testing.assert_array_equal(ours.tokens, expected.tokens)
    np.testing.assert_allclose(ours.scores, expected.scores, rtol=1e-6)
