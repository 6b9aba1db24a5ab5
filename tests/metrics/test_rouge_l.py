"""ROUGE-L as coco-caption has it."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import rouge_l
from tests.metrics.worked import FIRST, HYPOTHESES, ONE_EMPTY, REFERENCES

captions = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


@functools.cache
def longest_common(a, b):
  if not a or not b:
    return 0
  if a[0] == b[0]:
    return 1 + longest_common(a[1:], b[1:])
  return max(longest_common(a[1:], b), longest_common(a, b[1:]))


@pytest.mark.parametrize("hypotheses, corpus, samples", [
  (HYPOTHESES, .7949822187, [.8714285714, .7800511509, .7334669339]),
  (ONE_EMPTY, .5349651684, [.8714285714, 0, .7334669339]),
  (FIRST, 1, [1, 1, 1])])
def test_worked_example(hypotheses, corpus, samples):
  measured = rouge_l.measure(REFERENCES, hypotheses)
  assert measured.corpus() == {"rouge_l": pytest.approx(corpus, abs=1e-9)}
  assert measured.samples()["rouge_l"] == pytest.approx(samples, abs=1e-9)


@given(st.lists(captions, min_size=1, max_size=3), captions)
def test_equals_the_definition(references, hypothesis):
  words = tuple(hypothesis.split(" "))
  sides = [tuple(r.split(" ")) for r in references]
  precision = max(longest_common(words, r) / len(words) for r in sides)
  recall = max(longest_common(words, r) / len(r) for r in sides)
  expected = 2.44 * precision * recall / (recall + 1.44 * precision) if precision else 0
  assert rouge_l.measure([references], [hypothesis]).corpus()["rouge_l"] == pytest.approx(expected)


def test_captions_longer_than_a_machine_word():
  long = " ".join(f"w{i}" for i in range(200))
  assert rouge_l.measure([[long]], [long]).corpus()["rouge_l"] == 1
  half = rouge_l.measure([[long]], [" ".join(long.split()[::2])]).corpus()["rouge_l"]
  assert half == pytest.approx(2.44 * .5 / (.5 + 1.44))


def test_refuses_bad_samples():
  with pytest.raises(ValueError, match="sample 1 has no references"):
    rouge_l.measure([["a"], []], ["a", "b"])
