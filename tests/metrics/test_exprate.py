"""Recognition rates of formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.metrics.exprate import exprate, measure, per_sample
from mmjax.text.latex import tokenize

token_lists = st.lists(st.sampled_from(["x", "1", "{", "}", "_", "^", r"\limits"]), max_size=8)


def test_counts_of_a_small_set():
  references = [tokenize(s) for s in (
    "x + 1", "x + 1", "x + 1", "a b c d", "x _ { 1 } ^ { 2 }", r"\sum _ { i } y")]
  hypotheses = [
    tokenize("x + 1"),                      # exact
    tokenize("x - 1"),                      # 1
    tokenize("x"),                          # 2
    None,                                 # 4
    tokenize("x ^ { 2 } _ { 1 }"),          # 4 as written, 0 in canonical form
    tokenize(r"\sum \limits _ { i } y"),    # 1 as written, 0 in canonical form
  ]
  assert exprate(hypotheses, references) == pytest.approx({
    "exprate": 1 / 6, "exprate_1": 3 / 6, "exprate_2": 4 / 6, "ser": 12 / 28,
    "normalised_exprate": 3 / 6, "normalised_exprate_1": 4 / 6, "normalised_exprate_2": 5 / 6,
    "normalised_ser": 7 / 28})


def test_normalised_rate_divides_by_normalised_lengths():
  scores = exprate([["x"]], [tokenize(r"{ x } \limits y")])
  assert scores["ser"] == 4 / 5
  assert scores["normalised_ser"] == 1 / 2


def test_a_dropped_sample_is_wrong_however_short():
  scores = exprate([None, None], [["x"], []])
  assert scores == {
    "exprate": 0, "exprate_1": 0, "exprate_2": 0, "ser": 1,
    "normalised_exprate": 0, "normalised_exprate_1": 0, "normalised_exprate_2": 0,
    "normalised_ser": 1}
  assert exprate([[], []], [["x"], []])["exprate_1"] == 1


def test_per_sample():
  assert per_sample(["x", "^", "2"], tokenize("x ^ { 2 }")) == {
    "distance": 2, "normalised_distance": 0, "exact": False}
  assert per_sample(["x"], ["x"]) == {"distance": 0, "normalised_distance": 0, "exact": True}
  assert per_sample(None, tokenize("{ x }")) == {
    "distance": 3, "normalised_distance": 1, "exact": False}
  assert per_sample(None, [])["exact"] is False


@pytest.mark.parametrize("hypotheses, references, message", [
  ([], [], "0 hypotheses for 0 references"),
  ([["x"]], [], "1 hypotheses for 0 references"),
  ([["x"], None], [["x"]], "2 hypotheses for 1 references"),
  ([["x"]], [[]], "1 references hold 0 tokens"),
])
def test_bad_input_is_refused(hypotheses, references, message):
  with pytest.raises(ValueError, match=message):
    exprate(hypotheses, references)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | token_lists, token_lists), min_size=1, max_size=6))
def test_shares_are_cumulative_and_match_the_samples(pairs):
  hypotheses, references = zip(*[(h, [*r, "x"]) for h, r in pairs])
  scores = exprate(hypotheses, references)
  for prefix in ("", "normalised_"):
    rates = [scores[prefix + name] for name in ("exprate", "exprate_1", "exprate_2")]
    assert 0 <= rates[0] <= rates[1] <= rates[2] <= 1
    assert scores[prefix + "ser"] >= 0
  samples = [per_sample(h, r) for h, r in zip(hypotheses, references)]
  assert scores["exprate"] == sum(s["exact"] for s in samples) / len(samples)
  assert scores["normalised_exprate"] >= scores["exprate"]


def test_crohme_list_against_itself_with_limits(shared):
  folder = shared / "data/crohme/2016"
  plain, limits = (
    [line.split("\t")[1].split() for line in (folder / name).read_text().splitlines()]
    for name in ("captions.txt", "captions_limits.txt"))
  scores = exprate(limits, plain)
  assert scores["exprate"] == (1147 - 83) / 1147
  assert scores["normalised_exprate"] == 1
  assert scores["normalised_ser"] == 0


def test_measure_gives_the_scores_of_exprate():
  references = ["x + 1", "a b", r"\sum _ { i } y", "x"]
  hypotheses = ["x + 1", None, r"\sum \limits _ i y", "y z"]
  measured = measure([[r] for r in references], hypotheses)
  scores = exprate([h and h.split() for h in hypotheses], [r.split() for r in references])
  assert measured.corpus() == scores
  np.testing.assert_array_equal(measured.samples()["exprate"], [1, 0, 0, 0])
  np.testing.assert_array_equal(measured.samples()["exprate_2"], [1, 0, 0, 1])
  np.testing.assert_array_equal(measured.samples()["normalised_exprate"], [1, 0, 1, 0])
  np.testing.assert_array_equal(measured.samples()["ser"], [0, 1, 3 / 6, 2])


def test_the_nearest_reference_counts():
  measured = measure([["a b c d", "x y"], ["x", "z"]], ["x", "z"])
  assert measured.corpus()["exprate"] == 0.5
  assert measured.corpus()["exprate_1"] == 1
  assert measured.corpus()["ser"] == 1 / 3


def test_an_empty_reference_is_recognised_by_an_empty_hypothesis():
  samples = measure([[""], [""], [""], ["x"]], ["", "x", None, "x"]).samples()
  np.testing.assert_array_equal(samples["exprate"], [1, 0, 0, 1])
  np.testing.assert_array_equal(samples["ser"], [0, 1, 0, 0])


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 references"),
  ([["x"], ["y"]], ["x"], "1 hypotheses for 2 references"),
  ([["x"], "y"], ["x", "y"], r"references\[1\] is 'y'; give a list"),
  ([[]], ["x"], r"references\[0\] is \[\]"),
  ([[""]], ["x"], "1 references hold 0 tokens"),
  ([["{ }"]], ["x"], "1 references hold 0 tokens"),
])
def test_measure_refuses_bad_input(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    measure(references, hypotheses)
