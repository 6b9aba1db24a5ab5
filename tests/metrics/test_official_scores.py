"""Scores of captions of Flickr8k, whole and damaged, against pycocoevalcap's."""

import json

import pytest

from mmjax.metrics import bleu, cider, ptb, rouge_l
from tests.metrics import official_sets as sets

RECORD = json.loads(sets.RECORDED.read_text())


@pytest.fixture(scope="module")
def captions(shared):
  raw = sets.flickr8k(shared, "captions_en.txt")
  return sets.held_out([" ".join(words) for words in ptb.tokenize_all(raw)])


@pytest.mark.parametrize("metric", [bleu, rouge_l, cider])
@pytest.mark.parametrize("name", ["held out", "damaged"])
def test_scores(captions, metric, name):
  references, hypotheses = captions
  measured = metric.measure(references, hypotheses[name])
  corpus, samples = measured.corpus(), measured.samples()
  same = corpus.keys() & RECORD["scores"][name].keys()
  assert same
  for score in same:
    official = RECORD["scores"][name][score]
    assert corpus[score] == pytest.approx(official["corpus"], abs=1e-9)
    assert samples[score][::25] == pytest.approx(official["samples"], abs=1e-9)
