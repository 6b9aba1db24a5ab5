"""Character detection matching."""

import shutil

import numpy as np
import pytest

from mmjax.metrics import cdm
from mmjax.metrics.cdm import Boxes, f1, locate
from mmjax.metrics.measured import NotAvailableError


@pytest.fixture
def tex():
  missing = [p for p in ("pdflatex", "pdftoppm") if not shutil.which(p)]
  if missing:
    pytest.skip(f"needs {' and '.join(missing)}; on Debian: apt-get install texlive-latex-extra "
                "poppler-utils")


def line(tokens, places=None, scale=1.0, left=0.0):
  """Symbols of 20 x 20 pixels in a row, 30 pixels apart."""
  places = range(len(tokens)) if places is None else places
  boxes = [[30 * x, 0, 30 * x + 20, 20] for x in places]
  return Boxes(tuple(tokens), scale * np.array(boxes, float) + left, (30 * len(tokens), 20))


@pytest.mark.parametrize("reference, hypothesis, expected", [
  (line("abcd"), line("abcd"), 1),
  (line("abcd"), line("abcx"), 6 / 8),
  (line("abcd"), line("abc"), 6 / 7),
  (line("abc"), line("abcd"), 6 / 7),
  (line("abcd"), line("abcd", scale=1.5, left=100), 1),  # larger, and elsewhere
  (line("abcdef"), line("abcdef", [0, 1, 2, 3, 4, 9]), 10 / 12),  # one has moved alone
  (line(["x"]), line(["y"]), 0),
  (line([r"\varepsilon", "<"]), line([r"\epsilon", r"\lt"]), 1),  # the same to the eye
])
def test_matching_by_hand(reference, hypothesis, expected):
  assert f1(reference, hypothesis) == pytest.approx(expected)
  assert f1(hypothesis, reference) == pytest.approx(expected)


def test_symbols_may_move_together():
  # The distances are those of the hypothesis, so this holds in one direction only.
  apart = line("abcdefgh", [0, 1, 2, 3, 44, 45, 46, 47])
  assert f1(line("abcdefgh"), apart) == 1


def test_symbols_and_their_places(tex):
  fraction, fence, spelled, named, dots, other, malformed, blank = locate([
    r"\frac { a } { b } ^ { 2 } '", r"\left( x _ 1 \right.", r"\operatorname { s i n } x",
    r"\sin x", r"\ldots \not = \big [ \hat y", r"{ a \over b } \, \mathrm { c d }", "x ^", r"\,"])
  assert fraction.tokens == (r"\frac", "a", "b", r"\prime", "2")
  bar, a, b, *_ = fraction.boxes
  assert a[3] <= bar[1] + 2 and bar[3] - 2 <= b[1]  # boxes have a pixel of air
  assert bar[2] - bar[0] >= max(a[2] - a[0], b[2] - b[0])
  assert fence.tokens == ("(", "x", "1")
  assert (np.diff(fence.boxes[:, 0]) > 0).all()
  assert spelled.tokens == named.tokens == ("s", "i", "n", "x")
  np.testing.assert_array_equal(spelled.boxes, named.boxes)
  assert dots.tokens == (".", ".", ".", r"\not=", "[", r"\hat", "y")
  assert other.tokens == (r"\frac", "a", "b", "c", "d")
  assert malformed is None
  assert blank is None


def test_scores_of_a_small_set(tex):
  references = [[r"x ^ 2 _ 1"], ["x + 1"], ["x + 1"], ["x ^"], ["y", "x - 1"]]
  hypotheses = ["x _ { 1 } ^ { 2 }", "x + 2", None, "x", "x - 1"]
  measured = cdm.measure(references, hypotheses)
  assert measured.corpus() == pytest.approx({"cdm": (1 + 2 / 3 + 0 + 1) / 4, "exprate_cdm": 2 / 4})
  np.testing.assert_allclose(measured.samples()["cdm"], [1, 2 / 3, 0, 0, 1])


def test_nothing_that_can_be_typeset_is_refused(tex):
  with pytest.raises(ValueError, match=r"none of 1 references can be typeset; the first is 'x \^'"):
    cdm.measure([["x ^"]], ["x"])


def test_missing_programs_are_named(monkeypatch, tmp_path):
  monkeypatch.setenv("PATH", str(tmp_path))
  with pytest.raises(NotAvailableError, match="CDM needs pdflatex and pdftoppm; on Debian"):
    cdm.measure([["x"]], ["x"])


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 references"), (["x"], ["x"], r"references\[0\] is 'x'")])
def test_bad_input_is_refused(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    cdm.measure(references, hypotheses)
