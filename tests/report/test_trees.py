"""Trees as lines, and the page that has two of them side by side."""

import json

from mmjax.report.trees import tree_lines, write_trees
from mmjax.text.san_labels import rows_of


def test_a_line_for_each_chain():
  text = r"x _ { 1 } + \frac { a ^ { 2 } b } { c } = 0"
  assert tree_lines(rows_of(text.split())) == [
    r"x + \frac = 0", "  x sub: 1", r"  \frac above: a b", "    a sup: 2", r"  \frac below: c"]
  assert tree_lines(rows_of([])) == [""]


def test_the_page_marks_what_differs_and_shows_wrong_ones_first(tmp_path):
  samples = [
    ("right", "x < y", "x < y", 0), ("wrong", "x ^ { 2 }", "x ^ { 3 }", 1),
    ("none", "x", None, 1), ("no tree", "x", "^ { 2 }", 4),
  ]
  names = ("id", "reference", "hypothesis", "distance")
  path = tmp_path / "predictions.jsonl"
  path.write_text("".join(json.dumps(dict(zip(names, s))) + "\n" for s in samples))
  page = write_trees(path).read_text()
  assert page.index("wrong:") < page.index("no tree:") < page.index("right:")
  assert "<mark>  x sup: 2</mark>" in page and "<mark>  x sup: 3</mark>" in page
  assert "<pre>x &lt; y</pre>" in page and "(no answer)" in page
  assert "1 of 4" in write_trees(path, most=1).read_text()
