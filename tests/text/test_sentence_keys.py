"""Corrupted sentences and shuffled concepts."""

import jax
import numpy as np

from mmjax.text.sentence_keys import corrupted, shuffled, with_end
from mmjax.text.vocabulary import EOS


def test_words_move_a_little_and_some_are_dropped():
  lengths = np.array([12, 5] * 300)
  tokens = np.where(np.arange(12) < lengths[:, None], np.arange(3, 15), 0)
  found, counts = map(np.asarray, jax.jit(corrupted)(jax.random.key(0), tokens, lengths))
  moved = 0
  for row, count, length in zip(found, counts, lengths):
    words = row[: count - 1]
    assert row[count - 1] == EOS and not row[count:].any()
    assert len(set(words)) == len(words) and set(words) <= set(range(3, 3 + length))
    kept = np.sort(words)
    assert all(b > a - 4 for i, a in enumerate(words) for b in words[i:])  # none passes farther
    moved += (words != kept).any()
  assert moved / 600 > 0.8
  dropped = 1 - (counts - 1).sum() / lengths.sum()
  assert abs(dropped - 0.1) < 4 * 0.3 / lengths.sum() ** 0.5


def test_words_are_shuffled_before_their_padding():
  words = np.tile(np.array([5, 6, 7, 8, 0]), (200, 1))
  lengths = np.full(200, 4)
  found = np.asarray(jax.jit(shuffled)(jax.random.key(1), words, lengths))
  assert (np.sort(found[:, :4], 1) == words[:, :4]).all() and not found[:, 4].any()
  assert len(np.unique(found, axis=0)) > 18  # of 24 orders


def test_an_end_is_put_behind():
  tokens, lengths = with_end(np.array([[3, 4], [5, 0], [0, 0]]), np.array([2, 1, 0]))
  np.testing.assert_array_equal(tokens, [[3, 4, EOS], [5, EOS, 0], [EOS, 0, 0]])
  np.testing.assert_array_equal(lengths, [3, 2, 1])
