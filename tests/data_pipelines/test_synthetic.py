"""The generated data set: its grammar, its drawing, its builder."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from matplotlib.path import Path

from data_pipelines.builders import parts
from data_pipelines.builders.synthetic import drawing, grammar
from data_pipelines.builders.synthetic import synthetic_dataset_builder as builder
from mmjax.text import latex

MAX_TOKENS = 20
COUNTS = {"train": 40, "validation": 10, "test": 10}


def formulas(count: int, seed: int = 0, max_tokens: int = MAX_TOKENS) -> list[list[str]]:
  rng = np.random.default_rng(seed)
  return [grammar.generate(rng, max_tokens) for _ in range(count)]


def test_words_are_distinct_and_all_occur():
  words = grammar.words()
  assert len(set(words)) == len(words) <= 40
  assert {w for f in formulas(2000) for w in f} == set(words)


def test_same_seed_same_formulas():
  assert formulas(50) == formulas(50)
  assert formulas(50) != formulas(50, seed=1)


@pytest.mark.parametrize("limit", [1, 5, 20])
def test_length_limit(limit):
  assert {len(f) for f in formulas(200, max_tokens=limit)} <= set(range(1, limit + 1))


def test_no_room_for_a_token():
  with pytest.raises(ValueError, match="max_tokens is 0"):
    grammar.generate(np.random.default_rng(0), 0)


def test_every_structure_is_frequent():
  texts = [" ".join(f) for f in formulas(2000)]
  kinds = {
      "subscript": r" _ {", "superscript": r" ^ {", "both": r"} ^ {", "fraction": r"\frac {",
      "root": r"\sqrt {", "indexed root": r"\sqrt [", "sum": r"\sum _ {", "round": "(",
      "square": "[", "relation": " =", "operator": " +"}
  share = {name: np.mean([k in t for t in texts]) for name, k in kinds.items()}
  assert min(share.values()) > 0.02, share


def test_formulas_are_in_canonical_form():
  for tokens in formulas(500):
    assert latex.normalise(tokens) == tokens
    assert latex.tokenize(" ".join(tokens)) == tokens


def test_pictures_fit_and_are_white_on_black():
  for i, tokens in enumerate(formulas(300)):
    picture = drawing.draw(tokens, np.random.default_rng(i), 64, 160)
    assert picture.dtype == np.uint8 and picture.max() == 255, tokens
    assert picture.shape[0] <= 64 and picture.shape[1] <= 160, tokens
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert edge.max() == 0, tokens
    assert 0.01 < (picture > 127).mean() < 0.6, tokens


def test_a_long_formula_is_shrunk_not_cropped():
  tokens = ["1", "+"] * 15 + ["x"]
  picture = drawing.draw(tokens, np.random.default_rng(0), 64, 160)
  large = drawing.draw(tokens, np.random.default_rng(0), 640, 1600)
  assert picture.shape[1] == 160 and 300 < large.shape[1] < 1600
  picture, large = (p[3:-3, 3:-3] for p in (picture, large))  # the margins are not shrunk
  small = cv2.resize(large, picture.shape[::-1], interpolation=cv2.INTER_AREA)
  assert np.corrcoef(small.ravel(), picture.ravel())[0, 1] > 0.8


def test_each_token_shows():
  """Formulas that differ in one symbol or place are drawn differently by the same hand."""
  texts = ["x _ { 2 }", "x ^ { 2 }", "x 2", "x _ { 3 }", r"\sqrt { x }", r"\sqrt [ 2 ] { x }",
           r"\frac { x } { 2 }", r"\frac { 2 } { x }", r"\sum _ { x } ^ { 2 }", "( x )", "[ x ]"]
  pictures = {drawing.draw(t.split(), np.random.default_rng(0), 64, 160).tobytes() for t in texts}
  assert len(pictures) == len(texts)


def test_scripts_are_small_and_off_the_line():
  """mathtext takes a blank after `_` for the script; what it then draws is all on one line."""
  (part,) = drawing._parts(["x", "_", "{", "5", "}", "^", "{", "7", "}"])
  scripts, digit = drawing._outline("cm", part), drawing._outline("cm", "7")
  top, bottom = scripts.low[:, 1], scripts.high[:, 1]  # y downwards
  x, sup, sub = 0, 1, 2
  assert len(top) == 3
  assert top[sup] < top[x] < bottom[sup] < top[sub] < bottom[x] < bottom[sub]
  assert bottom[sup] - top[sup] < 0.8 * (digit.high - digit.low)[0, 1]


def test_renamed_digits_are_drawn_as_themselves():
  """Parts that differ in their digits share a layout: it must not show in the glyphs drawn."""
  for font in drawing.FONTS:
    text, properties, outlines, _ = drawing._mathtext(font)
    for part in ("x_{3}^{39}", r"\frac {90}{18}", r"\sqrt [7]{25}"):
      glyphs, _, bars = text.get_glyphs_mathtext(properties, f"${part}$", glyph_map=outlines)
      drawn = drawing._outline(font, part)
      boxes = []
      for name, x, y, scale in glyphs:
        box = Path(*outlines[name]).get_extents().get_points() * scale + (x, y)
        boxes.append([box[0, 0], -box[1, 1], box[1, 0], -box[0, 1]])
      ours = np.concatenate([drawn.low, drawn.high], 1)[: len(glyphs)]
      np.testing.assert_allclose(ours, boxes, atol=3)  # hundredths of an em
      assert len(drawn.symbols) == len(glyphs) + len(bars)


@pytest.mark.parametrize("text", ["", r"\frac { 1 }", "x _ { 2", r"\sqrt x", "x ^"])
def test_what_is_no_formula_is_refused(text):
  with pytest.raises(ValueError, match=r"no token|not closed|expected a brace"):
    drawing.draw(text.split(), np.random.default_rng(0), 64, 160)


def test_limits_too_small():
  with pytest.raises(ValueError, match="limits 5 x 160"):
    drawing.draw(["x"], np.random.default_rng(0), 5, 160)


def test_number_of_processes_changes_nothing(tmp_path, monkeypatch):
  items = [builder.Item(n, tuple(tokens), 7) for n, tokens in enumerate(formulas(40))]
  monkeypatch.setattr(parts, "CHUNK", 10)
  monkeypatch.setattr(parts, "START_SECONDS", 0)
  made = []
  for processes in (1, 2):
    with parts.working(tmp_path / str(processes), processes):
      drawn = parts.examples(items, builder.draw_record, name="train", rejected=builder.refuse)
      made.append(list(drawn))
  assert made[0] == made[1]
  number, record = made[0][3]
  picture = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_UNCHANGED)
  assert picture.shape == (record["height"], record["width"]) and number == 3


def test_more_formulas_than_there_are(monkeypatch):
  monkeypatch.setattr(builder, "MAX_TOKENS", 1)
  monkeypatch.setattr(builder, "PATIENCE", 300)
  assert len(builder.distinct_formulas(15, seed=0)) == 15
  with pytest.raises(ValueError, match="16 different formulas were asked for, but after 15"):
    builder.distinct_formulas(16, seed=0)


def records(directory) -> dict[str, list[dict]]:
  read = tfds.builder_from_directory(directory)
  return {name: list(read.as_data_source(name)) for name in read.info.splits}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  made = builder.Synthetic(data_dir=tmp_path_factory.mktemp("data"), file_format="array_record",
                           **COUNTS)
  made.download_and_prepare()
  return made.data_dir


def test_built_set_is_as_declared(made):
  read = tfds.builder_from_directory(made)
  assert read.info.metadata["vocabulary"] == list(grammar.words())
  assert read.info.metadata["licence"] == "generated, no restriction"
  splits = records(made)
  assert {name: len(r) for name, r in splits.items()} == COUNTS
  for record in (r for split in splits.values() for r in split):
    tokens = record["text"].decode().split(" ")
    assert set(tokens) <= set(grammar.words())
    assert record["length"] == len(tokens) <= MAX_TOKENS
    assert record["image"].shape == (record["height"], record["width"], 1)
    assert record["image"].max() == 255 and record["height"] <= 64 and record["width"] <= 160


def test_no_formula_and_no_id_occurs_twice(made):
  every = [r for split in records(made).values() for r in split]
  assert len({r["text"] for r in every}) == len({r["id"] for r in every}) == sum(COUNTS.values())
  assert min(r["id"] for r in every) == b"synthetic-000000"


def test_building_again_gives_the_same(made, tmp_path):
  again = builder.Synthetic(data_dir=tmp_path, file_format="array_record", **COUNTS)
  again.download_and_prepare()
  first, second = records(made), records(again.data_dir)
  for name in COUNTS:
    for a, b in zip(first[name], second[name], strict=True):
      assert a["id"] == b["id"] and a["text"] == b["text"]
      np.testing.assert_array_equal(a["image"], b["image"])


def test_tensorflow_is_not_imported(tmp_path):
  code = (
      "import sys\n"
      "from data_pipelines.builders.synthetic.synthetic_dataset_builder import Synthetic\n"
      f"b = Synthetic(data_dir={str(tmp_path)!r}, file_format='array_record', train=4,\n"
      "              validation=1, test=1)\n"
      "b.download_and_prepare()\n"
      "assert len(b.as_data_source('train')) == 4\n"
      "sys.exit('tensorflow' in sys.modules)\n")
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
