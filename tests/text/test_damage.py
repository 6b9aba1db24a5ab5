"""Damaged captions: what each kind may do, how often it comes, and what short captions suffer."""

from collections import Counter

import jax
import numpy as np
import pytest

from mmjax.text import damage as module
from mmjax.text.damage import KINDS, ROOM, drawable
from mmjax.text.vocabulary import PAD, UNKNOWN, Vocabulary

WORDS = Vocabulary.from_words([UNKNOWN, *"abcdefgh"])
MAY = drawable(WORDS)
LENGTH = 8
damage = jax.jit(module.damage)


def damaged(captions, seed=0):
  """(kind, caption before, caption after) of each."""
  tokens = np.zeros((len(captions), LENGTH), np.int32)
  for row, words in zip(tokens, captions):
    row[: len(words)] = words
  lengths = np.array([len(words) for words in captions])
  out, n, kind = jax.device_get(damage(jax.random.key(seed), tokens, lengths, MAY))
  assert out.shape == (len(captions), LENGTH + ROOM)
  for row, size in zip(out, n):
    assert (row[size:] == PAD).all() and (row[:size] != PAD).all()
  return [(KINDS[k], list(c), row[:m].tolist()) for k, c, row, m in zip(kind, captions, out, n)]


@pytest.fixture(scope="module")
def rows():
  random = np.random.default_rng(0)
  captions = [random.choice(MAY, random.integers(1, LENGTH + 1)).tolist() for _ in range(2000)]
  return damaged(captions)


def inside(small, large) -> bool:
  """Whether `small` is left when words of `large` are taken out."""
  rest = iter(large)
  return all(word in rest for word in small)


def test_unknown_words_are_never_put_in():
  assert MAY.tolist() == list(range(4, 12))
  with pytest.raises(ValueError, match="a vocabulary of 1 words"):
    drawable(Vocabulary.from_words([UNKNOWN, "a"]))


def test_kinds_come_equally_often(rows):
  counts = Counter(kind for kind, before, _ in rows if len(before) > 1)
  assert set(counts) == set(KINDS)
  assert min(counts.values()) > 0.8 * sum(counts.values()) / len(KINDS)


def test_repeat(rows):
  sizes = Counter()
  for _, before, after in (row for row in rows if row[0] == "repeat"):
    more = len(after) - len(before)
    assert 1 <= more <= ROOM and inside(before, after) and set(after) == set(before)
    sizes[more] += 1
  assert {1, 2, 3, 4, 6, 9} == set(sizes)


def test_remove(rows):
  sizes = Counter()
  for _, before, after in (row for row in rows if row[0] == "remove"):
    less = len(before) - len(after)
    places = [i for i in range(len(after) + 1) if before[:i] + before[i + less :] == after]
    assert places and 1 <= less <= 3 and after
    sizes[less] += 1
  assert set(sizes) == {1, 2, 3}


def test_insert(rows):
  sizes = Counter()
  for _, before, after in (row for row in rows if row[0] == "insert"):
    assert inside(before, after) and after[-1] == before[-1]  # before another word, never behind
    sizes[len(after) - len(before)] += 1
  assert set(sizes) == {1, 2, 3}


def test_swap(rows):
  sizes = Counter()
  for _, before, after in (row for row in rows if row[0] == "swap"):
    assert len(before) == len(after)
    sizes[sum(a != b for a, b in zip(before, after))] += 1
  assert sizes[1] and sizes[2] and sizes[3] and max(sizes) == 3
  assert sizes[0] < 0.05 * sum(sizes.values())  # a word may be swapped back


def test_shuffle(rows):
  for _, before, after in (row for row in rows if row[0] == "shuffle"):
    assert sorted(before) == sorted(after)
    assert before != after or len(set(before)) == 1


def test_a_caption_of_one_word_is_neither_emptied_nor_shuffled(rows):
  kinds = {kind for kind, before, _ in rows if len(before) == 1}
  assert kinds == {"repeat", "insert", "swap"}


def test_the_seed_decides(rows):
  captions = [before for _, before, _ in rows[:50]]
  assert damaged(captions, 3) == damaged(captions, 3) != damaged(captions, 4)
