"""Image scores of printed formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import formula_image
from mmjax.metrics.edit import edit_distance
from mmjax.metrics.formula_image import compare, differing_runs
from mmjax.metrics.formula_renderer import Renderer, find

MATHTEXT = find("mathtext")


def picture(*columns):
  """A picture from columns written as strings, # for ink, top first."""
  height = max(map(len, columns))
  rows = [[0 if column[i : i + 1] == "#" else 255 for column in columns] for i in range(height)]
  return np.array(rows, np.uint8)


BAR = "#" * 12
DOTS = "#." * 6


@pytest.mark.parametrize("reference, hypothesis, expected", [
  # edit distance of columns, same, same without blank columns
  ([BAR, DOTS], [BAR, DOTS], (0, True, True)),
  ([BAR, BAR], [BAR], (1, True, True)),  # a run of one column does not count
  ([BAR] * 9, [BAR] * 4, (5, False, False)),  # but one of five does
  ([BAR] * 9, [BAR] * 5, (4, True, True)),
  ([BAR] * 4, [BAR] * 9, (5, False, False)),
  ([BAR] * 5, [DOTS] * 5, (5, False, False)),  # six pixels differ
  ([BAR] * 5, ["#" * 8] * 5, (5, True, True)),  # four pixels do not count
  ([BAR] * 5, ["#" * 7] * 5, (5, False, False)),
  ([BAR, *["."] * 8, BAR], [BAR, BAR], (8, False, True)),  # blank columns
  (["."] * 9, ["."], (8, False, True)),
  ([BAR] * 3, ["."] * 3, (3, True, False)),  # all blank against three bars
])
def test_pictures_by_hand(reference, hypothesis, expected):
  assert compare(picture(*reference), picture(*hypothesis)) == expected


def test_tops_are_aligned():
  assert compare(picture("#"), picture("#...")) == (0, True, True)
  assert compare(picture("#"), picture(".#"))[0] == 1


def test_as_published_more_columns_do_no_harm():
  short, long = picture(*[BAR] * 4), picture(*[BAR] * 4, *[DOTS] * 20)
  assert compare(short, long) == (20, False, False)
  assert compare(short, long, as_published=True) == (20, True, True)
  assert compare(long, short, as_published=True) == (20, False, False)


@pytest.mark.parametrize("first, second, runs", [
  ("spam", "park", [(1, 0), (0, 1), (1, 1)]), ("man", "scotsman", [(0, 5)]), ("", "", []),
  ("abc", "", [(3, 0)]), ("abc", "xyc", [(2, 2)]), ("same", "same", [])])
def test_runs_of_known_scripts(first, second, runs):
  # The first two are examples in python-Levenshtein's documentation.
  assert differing_runs([*map(ord, first)], [*map(ord, second)]) == runs


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_runs_make_a_shortest_script(first, second):
  runs = differing_runs([*map(ord, first)], [*map(ord, second)])
  assert sum(max(run) for run in runs) == edit_distance(first, second)
  assert sum(width - other for width, other in runs) == len(first) - len(second)


def test_scores_of_a_small_set():
  references = [["x + 1"], ["x + 1"], ["x + 1"], ["x + 1"], [r"\begin"], ["x ^ 2 _ 1"]]
  hypotheses = ["{ x } + { 1 }", "x + 1 2 3 4", None, r"\begin", "x", "x _ { 1 } ^ { 2 }"]
  measured = formula_image.measure(references, hypotheses, MATHTEXT)
  scores = measured.corpus()
  widths = [p.shape[1] for p in MATHTEXT.draw(["x + 1", "x + 1 2 3 4", "x ^ 2 _ 1"])]
  distance = measured.statistics[1, 3]
  assert widths[1] - widths[0] <= distance <= widths[1]
  assert scores == pytest.approx({
    "image_edit": 1 - (distance + 2 * widths[0]) / (3 * widths[0] + widths[1] + widths[2]),
    "image_exact": 2 / 5, "image_exact_no_space": 2 / 5, "drawn_mathtext": 3 / 5,
    "references_drawn_mathtext": 5 / 6})
  np.testing.assert_array_equal(measured.samples()["image_exact"], [1, 0, 0, 0, 0, 1])


def test_spaces_count_only_in_one_of_the_shares():
  scores = formula_image.measure([["x y"]], [r"x \quad y"], MATHTEXT).corpus()
  assert scores["image_exact"] == 0
  assert scores["image_exact_no_space"] == 1
  assert 0 < scores["image_edit"] < 1


def test_the_nearest_reference_counts():
  scores = formula_image.measure([[r"\begin", "y y y", "x"]], ["x"], MATHTEXT).corpus()
  assert scores["image_edit"] == scores["image_exact"] == 1


def test_the_renderer_is_part_of_the_result():
  renderer = Renderer("own", MATHTEXT.draw)
  assert "drawn_own" in formula_image.measure([["x"]], ["x"], renderer).corpus()


def test_processes_and_cache_change_nothing(tmp_path):
  references, hypotheses = [["x + 1"], ["y"]] * 10, ["x + 2", "y"] * 10
  alone = formula_image.measure(references, hypotheses, MATHTEXT)
  for _ in range(2):
    again = formula_image.measure(references, hypotheses, MATHTEXT, processes=2, cache=tmp_path)
    np.testing.assert_array_equal(again.statistics, alone.statistics)


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 references"), (["x"], ["x"], r"references\[0\] is 'x'"),
  ([[r"\begin"], [r"\end"]], ["x", "x"], "mathtext can draw none of 2 references; the first is"),
])
def test_bad_input_is_refused(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    formula_image.measure(references, hypotheses, MATHTEXT)
