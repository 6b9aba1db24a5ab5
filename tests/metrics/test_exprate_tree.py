"""Recognition rates by symbol-layout graphs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import exprate_tree
from mmjax.text import latex_tree
from mmjax.text.symbol_layout import Quirks, layout

COUNTED = [
  # hypothesis, reference, errors, whether the structure is right
  ("x + 1", "x + 1", 0, True),
  ("x - 1", "x + 1", 1, True),
  ("y - 1", "x + 1", 2, True),
  ("x +", "x + 1", 2, False),
  ("x + 1 2", "x + 1", 2, False),
  ("", "x", 1, False),
  ("x ^ { 2 }", "x _ { 2 }", 4, False),
  ("x ^ { 2 }", "x 2", 4, False),
  (r"\frac { a } { b }", r"\frac { b } { b }", 1, True),
  (r"- a", r"\frac { a } { b }", 6, False),
  (r"\sqrt { a }", r"\sqrt [ 3 ] { a }", 2, False),
  ("x ^ { 2 } _ { 1 }", "x _ { 1 } ^ { 2 }", 0, True),
  ("{ x }", "x", 0, True),
  (r"\sum \limits _ { i }", r"\sum _ i", 0, True),
  (r"\int \limits _ { i }", r"\int _ i", 0, True),
  ("a < b", r"a \lt b", 0, True),
  # one token too many shifts the rest: b c against x b c
  ("b c", "x b c", 4, False),
]
MALFORMED = ["{", "x ^", r"\frac { 1 }", "x ^ 2 ^ 3", r"\left( x", "} {", r"\begin{array} x"]


def of(formula):
  return layout(latex_tree.parse(formula.split()))


@pytest.mark.parametrize("hypothesis, reference, count, structure", COUNTED)
def test_errors_by_hand(hypothesis, reference, count, structure):
  assert exprate_tree.errors(of(hypothesis), of(reference)) == count
  scores = exprate_tree.measure([[reference]], [hypothesis]).corpus()
  assert scores == {
    "exprate_tree": count == 0, "exprate_tree_1": count <= 1, "exprate_tree_2": count <= 2,
    "structure_rate": structure}


def test_rates_of_a_small_set():
  hypotheses = ["x", "y", "x x", None, "x ^", "x _ 1 ^ 2"]
  references = [["x"], ["x"], ["x"], ["x"], ["x"], ["x ^ { 2 } _ { 1 }"]]
  measured = exprate_tree.measure(references, hypotheses)
  assert measured.corpus() == pytest.approx({
    "exprate_tree": 2 / 6, "exprate_tree_1": 3 / 6, "exprate_tree_2": 4 / 6,
    "structure_rate": 3 / 6})
  np.testing.assert_array_equal(measured.samples()["structure_rate"], [1, 1, 0, 0, 0, 1])


@pytest.mark.parametrize("formula", MALFORMED)
def test_malformed_formulas_agree_with_nothing(formula):
  for reference, hypothesis in ((formula, formula), ("x", formula), (formula, "x"), (formula, "")):
    scores = exprate_tree.measure([[reference]], [hypothesis]).corpus()
    assert not any(scores.values())


def test_the_best_reference_counts():
  measured = exprate_tree.measure([["x y", "x ^", "a b"], ["x"]], ["a c", "x"])
  assert measured.corpus() == {
    "exprate_tree": 0.5, "exprate_tree_1": 1, "exprate_tree_2": 1, "structure_rate": 1}


def test_quirks_reach_the_graphs():
  plain = exprate_tree.measure([[r"\Gamma"], [r"\sum \limits _ i"]], [r"\gamma", r"\sum _ i"])
  assert plain.corpus()["exprate_tree"] == 0.5
  quirks = Quirks(capital_gamma=True, inline_limits=True)
  quirky = exprate_tree.measure([[r"\Gamma"], [r"\sum \limits _ i"]], [r"\gamma", r"\sum _ i"],
                                quirks)
  np.testing.assert_array_equal(quirky.samples()["exprate_tree"], [1, 0])
  # The superfluous second symbol of a root costs its symbol, its edge, and the root's edge.
  for quirk, expected in ((False, 2), (True, 3)):
    graphs = [layout(latex_tree.parse(f.split()), Quirks(root_twice=quirk))
              for f in (r"\sqrt { a b }", r"\sqrt { a }")]
    assert exprate_tree.errors(*graphs) == expected


@given(st.lists(st.tuples(st.sampled_from([c[0] for c in COUNTED] + MALFORMED + [None]),
                          st.sampled_from([c[1] for c in COUNTED])), min_size=1, max_size=8))
def test_shares_are_cumulative_and_add_up(pairs):
  hypotheses, references = zip(*pairs)
  measured = exprate_tree.measure([[r] for r in references], hypotheses)
  scores = measured.corpus()
  assert 0 <= scores["exprate_tree"] <= scores["exprate_tree_1"] <= scores["exprate_tree_2"] <= 1
  assert scores["exprate_tree"] <= scores["structure_rate"] <= 1
  for name, values in measured.samples().items():
    assert values.mean() == pytest.approx(scores[name])


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 references"), ([["x"]], [], "0 hypotheses for 1 references"),
  (["x"], ["x"], r"references\[0\] is 'x'; give a list of one or more strings"),
  ([["x"], []], ["x", "x"], r"references\[1\] is \[\]"),
])
def test_bad_input_is_refused(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    exprate_tree.measure(references, hypotheses)


def captions(path):
  return dict(line.split("\t") for line in path.read_text().splitlines())


def rates(folder, hypotheses, references):
  hypotheses, references = captions(folder / hypotheses), captions(folder / references)
  measured = exprate_tree.measure(
    [[references[name]] for name in references], [hypotheses[name] for name in references])
  return {name: round(rate * len(references)) for name, rate in measured.corpus().items()}


def test_crohme_lists_against_each_other(shared):
  folder = shared / "data/crohme"
  # Six formulas of 2014 are corrected, one of them by one symbol; \limits does not count.
  assert rates(folder / "2014", "captions.txt", "captions_limits.txt") == {
    "exprate_tree": 980, "exprate_tree_1": 981, "exprate_tree_2": 981, "structure_rate": 981}
  assert rates(folder / "2016", "captions.txt", "captions_limits.txt")["exprate_tree"] == 1147
  # Two are no formulas, and one has the index of a root under it.
  assert set(rates(folder / "2016", "captions_unnormalized.txt", "captions.txt").values()) == {1144}
