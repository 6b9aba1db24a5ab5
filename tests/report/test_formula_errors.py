import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics.edit import edit_distance
from mmjax.report.formula_errors import (
  NOTHING,
  Rate,
  aligned,
  by_length,
  by_structure,
  confusions,
  structures,
)


@pytest.mark.parametrize("formula, kinds", [
  ("x + 1", {"no structure"}), ("", {"no structure"}), (r"\frac { 1", {"no formula"}),
  (r"\frac { 1 } { x _ { i } }", {"fraction", "subscript"}), (r"a \over b", {"fraction"}),
  (r"\sqrt [ 3 ] { x ^ { 2 } }", {"root", "superscript"}),
  ("e ^ { x ^ { 2 } }", {"superscript", "scripts within scripts"}),
  ("x ^ { 2 } + y ^ { 2 }", {"superscript"}), ("f '", {"no structure"}),
  (r"\begin{matrix} a & b \\ c & d \end{matrix}", {"matrix or cases"})])
def test_structures_of_a_formula(formula, kinds):
  assert structures(formula.split()) == kinds


def test_a_formula_counts_in_each_structure_that_it_has():
  references = [t.split() for t in (r"\frac { a } { b ^ { 2 } }", "x ^ { 2 }", "x")]
  assert by_structure(references, [True, False, True]) == {
    "fraction": Rate(1, 1), "superscript": Rate(2, 1), "no structure": Rate(1, 1)}


def test_lengths_fall_into_one_range_each():
  references = [["x"] * n for n in (1, 5, 6, 41, 400)]
  assert by_length(references, [True, False, True, False, True]) == {
    "1 to 5 tokens": Rate(2, 1), "6 to 10 tokens": Rate(1, 1), "41 tokens or more": Rate(2, 1)}


@pytest.mark.parametrize("reference, hypothesis, errors", [
  ("a + b", "a + b", []), ("a + b", "a - b", [("+", "-")]), ("a b", "a", [("b", NOTHING)]),
  ("a", "a b", [(NOTHING, "b")]), ("", "a", [(NOTHING, "a")]), ("a", "", [("a", NOTHING)]),
  ("x _ 1 y", "x ^ 1", [("_", "^"), ("y", NOTHING)])])
def test_the_errors_of_an_alignment(reference, hypothesis, errors):
  assert aligned(reference.split(), hypothesis.split()) == errors


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_an_alignment_is_a_shortest_edit(reference, hypothesis):
  errors = aligned(reference, hypothesis)
  assert len(errors) == edit_distance(reference, hypothesis)
  left_out = sum(there == NOTHING for there, _ in errors)
  added = sum(written == NOTHING for _, written in errors)
  assert len(hypothesis) - len(reference) == left_out - added


def test_confusions_are_counted_over_formulas():
  found = confusions([["x", "1"], ["x"], ["x"]], [["X", "1"], ["X"], []])
  assert found == {("x", "X"): 2, ("x", NOTHING): 1}
