"""BLEU as coco-caption has it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import bleu
from tests.metrics.worked import FIRST, HYPOTHESES, ONE_EMPTY, REFERENCES

captions = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)
samples = st.lists(
  st.tuples(st.lists(captions, min_size=1, max_size=3), captions), min_size=1, max_size=4)


def by_definition(references, hypotheses):
  """One sample's or a corpus's scores, counted n-gram by n-gram."""
  matched, written, length, closest = [0] * 4, [0] * 4, 0, 0
  for refs, hypothesis in zip(references, hypotheses):
    words = hypothesis.split()
    length += len(words)
    closest += min((abs(len(r.split()) - len(words)), len(r.split())) for r in refs)[1]
    for n in range(4):
      grams = [tuple(words[i:i + n + 1]) for i in range(len(words) - n)]
      written[n] += len(grams)
      for gram in set(grams):
        most = max(sum(tuple(r.split()[i:i + n + 1]) == gram for i in range(len(r))) for r in refs)
        matched[n] += min(grams.count(gram), most)
  ratio = (length + 1e-15) / (closest + 1e-9)
  scores, product = [], 1.0
  for n in range(4):
    product *= (matched[n] + 1e-15) / (written[n] + 1e-9)
    scores.append(product ** (1 / (n + 1)) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1))
  return scores


def listed(scores):
  return [scores[f"bleu_{n}"] for n in range(1, 5)]


@pytest.mark.parametrize("hypotheses, corpus", [
  (HYPOTHESES, [.9999999999, .8583950752, .6513312279, .5025113798]),
  (ONE_EMPTY, [.6270890852, .5768380608, .4560419483, .3752369446]),
  (FIRST, [1, 1, 1, 1])])
def test_worked_example(hypotheses, corpus):
  assert listed(bleu.measure(REFERENCES, hypotheses).corpus()) == pytest.approx(corpus, abs=1e-9)


def test_worked_example_by_sample():
  found = np.array(listed(bleu.measure(REFERENCES, HYPOTHESES).samples()))
  assert found == pytest.approx(np.array([
    [1, 1, .7514772929], [1, .7071067811, .6135786403], [.8735804646, .4641588833, .3839094252],
    [.7952707286, 7.0710678e-5, 5.7099926e-5]]), abs=1e-9)


@given(samples)
def test_equals_the_definition(pairs):
  references, hypotheses = zip(*pairs)
  measured = bleu.measure(references, hypotheses)
  expected = by_definition(references, hypotheses)
  assert listed(measured.corpus()) == pytest.approx(expected, abs=1e-12)
  each = np.array(listed(measured.samples())).T
  for row, pair in zip(each, pairs):
    assert row == pytest.approx(by_definition(*([side] for side in pair)), abs=1e-12)


@given(samples)
def test_references_in_any_order_and_twice(pairs):
  references, hypotheses = zip(*pairs)
  doubled = [[*r[::-1], r[0]] for r in references]
  assert np.array_equal(
    bleu.measure(references, hypotheses).statistics, bleu.measure(doubled, hypotheses).statistics)


@pytest.mark.parametrize("references, hypotheses, error, message", [
  ([["a"]], [], ValueError, "0 hypotheses for the references of 1 samples"),
  ([], [], ValueError, "at least one"),
  ([["a"], []], ["a", "b"], ValueError, "sample 1 has no references"),
  ([["a"], "b"], ["a", "b"], TypeError, "sample 1: the references are one string, 'b'"),
  ([["a", None]], ["a"], TypeError, "sample 0: the reference None"),
  ([["a"]], [["a", "b"]], TypeError, r"sample 0: the hypothesis \['a', 'b'\]")])
def test_refuses_bad_samples(references, hypotheses, error, message):
  with pytest.raises(error, match=message):
    bleu.measure(references, hypotheses)
