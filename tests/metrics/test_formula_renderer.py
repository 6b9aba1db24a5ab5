"""Formulas as pictures."""

import shutil

import numpy as np
import pytest

from mmjax.metrics import formula_renderer
from mmjax.metrics.formula_renderer import Renderer, find, render

MATHTEXT = find("mathtext")


def tex():
  missing = [p for p in ("latex", "dvipng") if not shutil.which(p)]
  if missing:
    pytest.skip(f"needs {' and '.join(missing)}; on Debian: apt-get install texlive-latex-extra "
                "dvipng")
  return find("latex_dvipng")


def test_unknown_renderers_are_refused():
  with pytest.raises(ValueError, match="no renderer 'word'; use one of latex_dvipng, pdflatex"):
    find("word")


def test_without_programs_mathtext_is_left(monkeypatch, tmp_path):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert find().name == "mathtext"
  with pytest.raises(ValueError, match="needs latex and dvipng; on Debian: apt-get install"):
    find("latex_dvipng")


def test_mathtext_draws_what_it_can():
  first, second, unknown, none, text = MATHTEXT.draw([
    r"\frac { a ^ 2 _ 1 } { b }", r"\frac { a _ { 1 } ^ { 2 } } b", r"\begin{array} { c } x",
    "", r"\alpha x"])
  np.testing.assert_array_equal(first, second)
  assert unknown is None
  assert none.size == 0
  for picture in (first, text):
    assert picture.dtype == np.uint8
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all(edge.min() < 255 for edge in edges)  # cropped to its ink
    assert picture.min() < 64


def test_scripts_are_raised_in_mathtext():
  flat, raised = MATHTEXT.draw(["x 2", "x ^ { 2 }"])
  assert raised.shape[0] > flat.shape[0]
  assert raised.shape[1] < flat.shape[1]


def counting(name):
  drawn = []

  def draw(formulas):
    drawn.extend(formulas)
    return MATHTEXT.draw(formulas)

  return Renderer(name, draw), drawn


def test_pictures_are_kept_by_renderer_and_formula(tmp_path):
  formulas = ["x", "y", "x", r"\begin", ""]
  renderer, drawn = counting("first")
  pictures = render(formulas, renderer, cache=tmp_path)
  assert drawn == ["x", "y", r"\begin", ""]
  again = render(["z", *formulas], renderer, cache=tmp_path)
  assert drawn[4:] == ["z"]
  for formula, picture in pictures.items():
    np.testing.assert_array_equal(picture, again[formula])
  other, drawn = counting("second")
  render(["x"], other, cache=tmp_path)
  assert drawn == ["x"]
  without, drawn = counting("first")
  render(["x"], without)
  assert drawn == ["x"]


def test_processes_draw_the_same():
  formulas = [f"x ^ {{ {i} }}" for i in range(40)]
  alone, together = (render(formulas, MATHTEXT, processes=n) for n in (1, 2))
  assert list(alone) == list(together) == formulas
  for formula in formulas:
    np.testing.assert_array_equal(alone[formula], together[formula])


def test_tex_pages_do_not_depend_on_each_other():
  renderer = tex()
  formulas = ["x", "x ^ {", r"\def \x { z } \x", r"\x y",
              r"a \hspace { 1 . 5 c m } \pmatrix { a & b \cr c & d }"]
  together = renderer.draw(formulas)
  for formula, picture in zip(formulas, together):
    np.testing.assert_array_equal(picture, renderer.draw([formula])[0])
  x, _, _, undefined, spaced = together
  assert undefined.size
  assert spaced.shape[0] > 2 * x.shape[0]
  assert spaced.shape[1] > 1.5 / 2.54 * formula_renderer.DOTS_PER_INCH


def test_tex_prints_scripts_in_either_order_alike():
  first, second = tex().draw(["x ^ 2 _ 1", "x _ { 1 } ^ { 2 }"])
  np.testing.assert_array_equal(first, second)


def test_tex_is_kept_within_bounds(monkeypatch, tmp_path):
  renderer = tex()
  outside = tmp_path / "outside.tex"
  outside.write_text("x + y + z")
  monkeypatch.setattr(formula_renderer, "_SECONDS", 0)
  loop, reads = renderer.draw([r"\loop \iftrue \repeat", rf"\input {{{outside}}}"])
  assert loop is None
  assert reads is None or reads.shape[1] < 100
  assert not any(p.name != "outside.tex" for p in tmp_path.iterdir())
