"""Longest match of several patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.text.scanner import Scanner

atoms = st.sampled_from(["a", "b", "c", "[ab]", "[^a]", r"\.", "."])
patterns = st.recursive(
  atoms,
  lambda inner: st.one_of(
    st.tuples(inner, inner).map("".join),
    st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
    st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}"])).map(
      lambda p: f"(?:{p[0]}){p[1]}"),
  ), max_leaves=6)


@given(st.lists(patterns, min_size=1, max_size=4), st.text("abc.d\n", max_size=8))
def test_takes_the_longest_match_and_the_first_of_equals(rules, text):
  rules = [f"(?:{rule})c?b" for rule in rules]  # none matches the empty text
  found = [
    (end, -number) for number, rule in enumerate(rules) for end in range(1, len(text) + 1)
    if re.compile(rule, re.DOTALL).fullmatch(text, 0, end)]
  end, number = max(found, default=(0, 1))
  assert Scanner(rules).match(text, 0) == (-number, end)


def test_begins_where_it_is_told():
  scanner = Scanner(["[a-z]+", r"[a-z]+\.com", r"\."])
  assert scanner.match("see abc.com", 4) == (1, 11)
  assert scanner.match("see abc.co", 4) == (0, 7)
  assert scanner.match("see abc.co", 3) == (-1, 3)
  assert scanner.match("see", 3) == (-1, 3)


@pytest.mark.parametrize("pattern, message", [
  ("a*", "matches the empty text"), ("a)", "was not opened"), ("(?:a", "is not closed")])
def test_refuses_bad_patterns(pattern, message):
  with pytest.raises(ValueError, match=message):
    Scanner([pattern])
