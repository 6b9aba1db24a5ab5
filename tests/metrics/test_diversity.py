"""Diversity of captions on sets whose diversity is known."""

import numpy as np
import pytest

from mmjax.metrics import diversity
from mmjax.metrics.registry import METRICS

REFERENCES = [["a dog runs", "the dog runs fast"], ["a cat sleeps"], ["two birds in a tree"]]
SAME = ["a dog runs in snow"] * 4
APART = ["b c d e f", "g h i j k", "l m n o p", "q r s t u"]  # no word in common


def of(sets, references=REFERENCES, **given):
  references = references[: len(sets)]
  return diversity.measure(references, [s[0] for s in sets], sets=sets, **given)


def test_self_cider_from_one_caption_said_again_to_nothing_in_common():
  found = of([SAME, APART, [*SAME[:2], *APART[:2]]]).samples()["self_cider"]
  assert found[0] == pytest.approx(0, abs=1e-6) and found[1] == pytest.approx(1)
  # Eigenvalues 2, 1, 1, 0: r = sqrt 2 / (sqrt 2 + 2).
  assert found[2] == pytest.approx(-np.log(2**0.5 / (2**0.5 + 2)) / np.log(4))


def test_self_cider_by_hand():
  """Two captions of cosine k: eigenvalues 1 + k, 1 - k."""
  sets = [["x a", "x b"], ["p q", "r s"]]
  references = [["x"], ["y"]]  # idf of all words: ln 2
  k = (1 / 2 + 0 + 0 + 0) / 4  # of words; pairs differ, longer ones are not there
  low, high = np.sqrt(1 / 2 - k), np.sqrt(1 / 2 + k)  # two of four orders are empty: K_ii = 1/2
  found = of(sets, references).samples()["self_cider"]
  assert found[0] == pytest.approx(-np.log2(high / (low + high)))
  assert of(sets, references).corpus()["self_cider"] == pytest.approx(found.mean())


def test_common_words_weigh_less():
  """A word of every picture's references has no weight: sharing it alone is full diversity."""
  references = [["the x"], ["the y"]]
  found = of([["the p", "the q"], ["z z", "z z"]], references).samples()["self_cider"]
  assert found[0] > of([["k p", "k q"], ["z z", "z z"]], references).samples()["self_cider"][0]


def test_lengths_repetition_and_novelty():
  sets = [["a b a b a"], ["c"], ["d e f"]]
  found = of(sets, train_captions={"c", "d e f g"}).corpus()
  assert "self_cider" not in found
  assert found == pytest.approx({
      "length_mean": 3, "length_sd": np.std([5, 1, 3]), "repetition": 2 / 6, "novelty": 2 / 3})
  assert "novelty" not in of(sets).corpus()
  assert of(sets, train_captions=set()).corpus()["novelty"] == 1
  assert of([[""], [""]]).corpus() == {"length_mean": 0, "length_sd": 0, "repetition": 0}


def test_corpus_scores():
  assert diversity.corpus([["a b a", "b a"], ["c"]]) == {
      "vocabulary": 3, "distinct_1": 3 / 6, "distinct_2": 2 / 3}
  assert diversity.corpus([[""]]) == {"vocabulary": 0, "distinct_1": 0, "distinct_2": 0}


def test_every_name_is_one_of_the_command_line():
  found = of([SAME, APART], train_captions={"a"}).corpus() | diversity.corpus([SAME])
  assert set(found) == set(METRICS["diversity"].scores)
