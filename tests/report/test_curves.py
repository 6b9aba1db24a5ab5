import html.parser
import json
import re

import pytest

from mmjax.report.curves import Curve, draw_curves, read_curves


@pytest.fixture
def metrics(tmp_path):
  def write(text):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    return path

  return write


def test_a_run_without_numbers_has_no_curves(metrics, tmp_path):
  assert read_curves(tmp_path / "absent.jsonl") == {}
  assert read_curves(metrics("")) == {}


def test_names_have_curves_of_their_own_steps(metrics):
  lines = [{"step": 10, "train/loss": 3}, {"step": 20, "train/loss": 2.5, "validation/loss": 2.75}]
  path = metrics("".join(json.dumps(line) + "\n" for line in lines))
  assert read_curves(path) == {
    "train/loss": [(10, 3.0), (20, 2.5)], "validation/loss": [(20, 2.75)]}


def test_after_a_resume_the_last_value_of_a_step_counts(metrics):
  steps = [(10, 3.0), (20, 2.0), (30, 1.0), (20, 2.25), (30, 1.25), (40, 0.5)]
  path = metrics("".join(json.dumps({"step": s, "loss": v}) + "\n" for s, v in steps))
  assert read_curves(path) == {"loss": [(10, 3.0), (20, 2.25), (30, 1.25), (40, 0.5)]}


@pytest.mark.parametrize("torn", ['{"step": 20, "lo', '{"step": 2', '{"st', "{", '{"step": 20'])
def test_a_torn_line_is_left_out_and_what_was_appended_to_it_is_read(metrics, torn):
  whole = '{"step": 10, "loss": 3.0}\n'
  assert read_curves(metrics(whole + torn)) == {"loss": [(10, 3.0)]}
  resumed = whole + torn + '{"step": 15, "loss": 2.0}\n{"step": 20, "loss": 1.0}\n'
  assert read_curves(metrics(resumed)) == {"loss": [(10, 3.0), (15, 2.0), (20, 1.0)]}


def test_lines_that_are_no_records_are_left_out(metrics):
  assert read_curves(metrics('[1]\nnull\n{"loss": 1.0}\n{"step": 1, "loss": "low"}\n')) == {}


def test_curves_whose_names_end_alike_share_a_drawing():
  svg = draw_curves([
    Curve("train/loss", [0, 100], [3.0, 1.0]), Curve("validation/loss", [100], [2.0]),
    Curve("validation/exprate", [50, 100], [0.1, 0.5396])])
  assert svg.count("<svg") == svg.count("</svg>") == 2
  assert svg.count("<polyline") == 3
  assert "train 1<" in svg and "validation 2<" in svg and "validation 53.96 %<" in svg


def test_points_are_inside_the_drawing_and_rise_with_the_value():
  svg = draw_curves([Curve("loss", [5, 10, 15], [-2.5, 7.0, 1e-3])])
  points = [tuple(map(float, p.split(","))) for p in re.search('points="(.*?)"', svg)[1].split()]
  assert len(points) == 3
  assert all(0 < x < 480 and 0 < y < 270 for x, y in points)
  assert points[0][0] < points[1][0] < points[2][0]
  assert points[1][1] < points[2][1] < points[0][1]  # y grows downwards


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3.0], [1e-12, 1e9], [float("nan"), 1.0]])
def test_any_numbers_can_be_drawn(values):
  svg = draw_curves([Curve("a", range(len(values)), values)])
  assert svg.count("<polyline") == 1 and "nan" not in svg


def test_curves_without_finite_points_are_not_drawn():
  assert draw_curves([]) == ""
  assert draw_curves([Curve("a", [], []), Curve("b", [1, 2], [float("nan"), float("inf")])]) == ""


def test_long_curves_are_thinned_and_keep_their_end():
  svg = draw_curves([Curve("loss", range(100_001), [1.0] * 100_000 + [2.0])])
  assert len(svg) < 10_000
  assert 'loss ends at 2"' in svg


def test_names_are_escaped():
  class Text(html.parser.HTMLParser):
    tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
      self.tags.add(tag)

  svg = draw_curves([Curve('a"/<b>&', [1, 2], [1.0, 2.0])])
  parser = Text()
  parser.feed(svg)
  assert parser.tags <= {"svg", "text", "path", "polyline", "circle"}
