"""Edit distance of token sequences."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.metrics.edit import edit_distance

words = st.lists(st.sampled_from("abc"), max_size=7).map(tuple)


@functools.cache
def by_definition(a, b):
  if not a or not b:
    return len(a) + len(b)
  return min(by_definition(a[1:], b) + 1, by_definition(a, b[1:]) + 1,
             by_definition(a[1:], b[1:]) + (a[0] != b[0]))


@pytest.mark.parametrize("a, b, distance", [
  ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("abc", "abc", 0),
  ("abc", "bca", 2), ([r"\frac", "1"], [r"\sqrt", "1"], 1), (["ab"], ["a", "b"], 2)])
def test_known_distances(a, b, distance):
  assert edit_distance(a, b) == distance


@settings(deadline=None)
@given(words, words)
def test_equals_the_definition(a, b):
  assert edit_distance(a, b) == by_definition(a, b)


@settings(deadline=None)
@given(words, words, words)
def test_is_a_metric(a, b, c):
  assert (edit_distance(a, b) == 0) == (a == b)
  assert edit_distance(a, b) == edit_distance(b, a)
  assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=200), st.lists(st.integers(0, 50), max_size=200))
def test_bounds_of_long_sequences(a, b):
  assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
  assert edit_distance(a, [*a, *b]) == len(b)
