"""CIDEr and CIDEr-D as coco-caption and the authors' package have them."""

import collections
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import cider
from tests.metrics.worked import FIRST, HYPOTHESES, ONE_EMPTY, REFERENCES

captions = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)
references_of_pictures = st.lists(
  st.lists(captions, min_size=1, max_size=3), min_size=1, max_size=4)


def grams_of(caption, n):
  words = caption.split()
  return collections.Counter(tuple(words[i:i + n]) for i in range(len(words) - n + 1))


def by_definition(references, hypothesis, frequencies, damped):
  pictures, counts = frequencies
  total = 0.0
  for reference in references:
    for n in range(1, 5):
      h, r = ({g: times * (math.log(pictures) - math.log(max(1, counts.get(g, 0))))
               for g, times in grams_of(caption, n).items()} for caption in (hypothesis, reference))
      dot = sum((min(h[g], r[g]) if damped else h[g]) * r[g] for g in h if g in r)
      norms = math.sqrt(sum(x * x for x in h.values()) * sum(x * x for x in r.values()))
      apart = sum(grams_of(hypothesis, 2).values()) - sum(grams_of(reference, 2).values())
      if norms:
        total += dot / norms * (math.exp(-apart**2 / 72) if damped else 1)
  return 10 * total / 4 / len(references)


@pytest.mark.parametrize("hypotheses, corpus, samples", [
  (HYPOTHESES, 2.2935634316, [3.1005645757, 2.0029479165, 1.7771778027]),
  (ONE_EMPTY, 1.6259141262, [3.1005645757, 0, 1.7771778027]),
  (FIRST, 3.9899085431, [4.0815618785, 3.9284442553, 3.9597194956])])
def test_worked_example(hypotheses, corpus, samples):
  measured = cider.measure(REFERENCES, hypotheses)
  for name in ("cider", "cider_d"):
    assert measured.corpus()[name] == pytest.approx(corpus, abs=1e-9)
    assert measured.samples()[name] == pytest.approx(samples, abs=1e-9)


@given(references_of_pictures, st.data())
def test_equals_the_definition(references, data):
  hypotheses = data.draw(st.lists(captions, min_size=len(references), max_size=len(references)))
  grams = [{g for c in r for n in range(1, 5) for g in grams_of(c, n)} for r in references]
  counts = collections.Counter(g for of_picture in grams for g in of_picture)
  frequencies = cider.document_frequencies(references)
  assert frequencies == (len(references), counts)
  measured = cider.measure(references, hypotheses)
  for name, damped in (("cider_d", True), ("cider_plain", False)):
    assert measured.samples()[name] == pytest.approx(
      [by_definition(r, h, frequencies, damped) for r, h in zip(references, hypotheses)], abs=1e-9)


@given(references_of_pictures, references_of_pictures, captions)
def test_frequencies_of_other_pictures(training, references, hypothesis):
  frequencies = cider.document_frequencies(training)
  found = cider.measure(references[:1], [hypothesis], frequencies).corpus()["cider"]
  assert found == pytest.approx(by_definition(references[0], hypothesis, frequencies, True))


def test_own_frequencies_given():
  given_ = cider.measure(REFERENCES, HYPOTHESES, cider.document_frequencies(REFERENCES))
  assert np.array_equal(given_.statistics, cider.measure(REFERENCES, HYPOTHESES).statistics)


def test_one_picture_scores_nothing_and_says_so():
  assert cider.measure(REFERENCES[:1], FIRST[:1]).corpus()["cider"] == 0
  assert "one picture" in cider.caution(1)
  assert cider.caution(2) == ""


def test_refuses_bad_samples():
  with pytest.raises(ValueError, match="sample 1 has no references"):
    cider.measure([["a"], []], ["a", "b"])
  with pytest.raises(ValueError, match="sample 0 has no references"):
    cider.document_frequencies([[]])
