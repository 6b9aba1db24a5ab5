"""Formulas composed from pen strokes: matching, lines, layout, grammar, the builder."""

import collections
import json
import lzma

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made_crohme import WORDS, captions_of, write_source
from made_strokes import write_strokes

from data_pipelines.builders.crohme import source
from data_pipelines.builders.crohme_composed import (
  composing,
  grammar,
  handwriting,
  layout,
  library,
  lines,
  rows,
)
from data_pipelines.builders.crohme_composed.crohme_composed_dataset_builder import CrohmeComposed
from data_pipelines.builders.supplied import is_validation
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_index
from mmjax.text import latex

FORMULAS = (
    r"x _ { 1 } ^ { 2 } + \frac { a + b } { 2 } = \sqrt [ 3 ] { y }",
    r"\sum _ { n = 1 } ^ { \infty } ( x + 1 ) ^ { n }",
    r"f ^ { ' } ( x ) = \{ 1 , 2 \}",
)


def box_at(left, top, width, height):
  """The outline of a box, as one stroke."""
  right, bottom = left + width, top + height
  corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
  return np.array(corners, float)


def written(placed, text):
  """A formula of boxes (token, left, top, width, height), given in any order, as it is matched."""
  symbols = [(t, (box_at(*at),)) for t, *at in placed]
  return handwriting._match({"id": "made", "writer": "w", "symbols": symbols}, text.split())


@pytest.mark.parametrize("text", FORMULAS)
def test_all_that_is_written_of_a_formula_is_in_its_row(text):
  found = [s.token for s in rows.signs(rows.read(text.split()))]
  of_text = ["-" if t == r"\frac" else t for t in text.split() if t not in ("{", "}", "_", "^")]
  of_index = collections.Counter("[]") if r"\sqrt [" in text else collections.Counter()
  assert collections.Counter(found) == collections.Counter(of_text) - of_index


@pytest.mark.parametrize("text,message", [
    (r"\begin{array} { c } x \\ y \end{array}", "no rule draws Array"), (r"\hat { x }", "hat"),
    (r"x ^ { 1", "open at the end"), (r"{ a + b } ^ { 2 }", "script of a group"),
])  # fmt: skip
def test_what_cannot_be_drawn_says_why(text, message):
  with pytest.raises(rows.UndrawableError, match=message):
    rows.read(text.split())


def test_brackets_that_do_not_match_are_symbols():
  assert [type(i).__name__ for i in rows.read(["(", "x", "]", ")"])] == ["Fence"]
  assert [i.token for i in rows.read(["x", ")", "("])] == ["x", ")", "("]


def test_equal_symbols_are_told_apart_by_their_places():
  """x^x / x + x, its symbols given in another order."""
  placed = [
      ("x", 200, 50, 20, 20), ("x", 40, 100, 30, 30), ("x", 60, 0, 10, 10), ("x", 30, 15, 25, 25),
      ("-", 10, 60, 100, 2), ("+", 150, 50, 20, 20),
  ]  # fmt: skip
  found = written(placed, r"\frac { x ^ { x } } { x } + x")
  fraction = found.row[0]
  base, script = fraction.above[0].base, fraction.above[0].sup[0]
  at = {name: handwriting.box(found.strokes[s])[:2].tolist() for name, s in (
      ("base", base), ("script", script), ("below", fraction.below[0]), ("last", found.row[2]))}
  assert at == {"base": [30, 15], "script": [60, 0], "below": [40, 100], "last": [200, 50]}


@pytest.mark.parametrize("text", [
    "x ^ { 2 }", "2 x", r"\frac { x } { 2 }", "x", "x y"])
def test_symbols_that_do_not_stand_as_the_caption_says_are_left_out(text):
  below = [("x", 0, 0, 20, 20), ("2", 22, 15, 10, 10)]
  assert written(below, "x _ { 2 }") is not None
  assert written(below, text) is None


def test_the_size_and_place_of_a_line_are_found_whatever_its_letters():
  rng = np.random.default_rng(0)
  tops = {"1": 1.0, "b": 1.2, "x": 0.7, "y": 0.7}
  bottoms = {"1": 0.0, "b": 0.0, "x": 0.0, "y": -0.5}
  made, truth = [], []
  for _ in range(60):
    tokens = rng.choice(list(tops), 4)
    size, y = rng.uniform(20, 60), rng.uniform(-50, 50)
    placed = [
        (t, 70 * i, y - size * tops[t], 30, size * (tops[t] - bottoms[t]))
        for i, t in enumerate(tokens)
    ]
    made.append(written(placed, " ".join(tokens)))
    truth.append((y, size))
  found = [known[id(m.row)] for m, known in zip(made, lines.fit(made))]
  np.testing.assert_allclose([(f.y, f.size) for f in found], truth, rtol=0.02, atol=1.0)
  assert all(f.sure for f in found)


@pytest.fixture(scope="module")
def known():
  """A library of a few formulas of boxes by two writers, in sizes of 40."""
  made = []
  for writer, wide in (("a", 20), ("b", 30)):
    for shift in range(5):
      placed = [
          (r"\sqrt", 0, -20, 300, 80), ("-", 60, 19 + shift, 120, 2), ("x", 70, -12, wide, 28),
          ("1", 100, -8, wide, 20), ("2", 70, 30, wide, 25), ("x", 200, 20, wide, 28),
          ("1", 235, 8, 10, 12), ("+", 320, 20, 20, 20), ("(", 360, 0, 8, 60),
          ("x", 380, 12, wide, 28), ("2", 415, 0, wide, 40), (")", 460, 0, 8, 60),
          ("2", 475, -10, 12, 18), ("1", 500, 30, 10, 15),
      ]  # fmt: skip
      text = r"\sqrt { \frac { x 1 } { 2 } x ^ { 1 } } + ( x 2 ) ^ { 2 } _ { 1 }"
      formula = written(placed, text)
      made.append(formula._replace(writer=writer))
  return library.build(made)


@pytest.mark.parametrize("seed", range(3))
def test_a_written_formula_reads_as_it_should(known, seed):
  """What is written, handed on as labelled strokes in another order, reads as the same formula."""
  text = r"\sqrt { x + 1 } + ( \frac { x } { 2 } ) ^ { 1 } x ^ { 2 }"
  row = rows.read(text.split())
  ink = layout.write(row, known, np.random.default_rng(seed))
  tokens = [r"\sqrt", "x", "+", "1", "+", "(", "-", "x", "2", ")", "1", "x", "2"]
  assert len(ink) == len(tokens)
  labels = [(t, (s,)) for t, s in zip(tokens, ink)]
  found = handwriting._match({"id": "", "writer": "", "symbols": labels[::-1]}, text.split())
  assert found is not None
  signs = list(rows.signs(found.row))
  assert [s.token for s in signs] == tokens
  for sign, stroke in zip(signs, ink):
    np.testing.assert_array_equal(found.strokes[sign][0], stroke)


def test_one_hand_writes_a_formula_and_the_seed_decides_which(known):
  row = rows.read(["x", "+", "x", "+", "x"])
  widths = set()
  for seed in range(8):
    ink = layout.write(row, known, np.random.default_rng(seed))
    own = [np.ptp(ink[i][:, 0]) / np.ptp(ink[i][:, 1]) for i in (0, 2, 4)]
    assert max(own) / min(own) < 1.3  # both writers' differ by a half
    widths.add(round(np.mean(own) * 2))
    again = layout.write(row, known, np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(ink, again))
  assert len(widths) > 1


def test_fences_and_roots_hold_what_is_in_them(known):
  for text in (r"( \frac { x } { 2 } )", r"\sqrt { \frac { x } { 2 } }"):
    row = rows.read(text.split())
    for seed in range(4):
      boxes = [
          handwriting.box((s,)) for s in layout.write(row, known, np.random.default_rng(seed))
      ]
      holder, inside = boxes[0], handwriting.union(boxes[1:4])
      assert holder[1] < (inside[1] + inside[3]) / 2 < holder[3]
      assert holder[3] - holder[1] > 0.6 * (inside[3] - inside[1])


def test_the_grammar_writes_formulas_of_its_rows_and_as_long():
  texts = [r"\frac { x ^ { 2 } } { y } + ( a + 1 )", r"x _ { 1 } + y = 2", r"\sqrt { a + b }"] * 4
  made = grammar.compose(texts, 60, frozenset(texts), np.random.default_rng(0))
  assert len(set(made)) == len(made) > 20 and not set(made) & set(texts)
  known_words = {t for text in texts for t in text.split()}
  for text in made:
    assert set(text.split()) <= known_words
    assert latex.normalise(text.split()) == text.split()
    rows.read(text.split())
  assert max(len(t.split()) for t in made) <= 1.2 * max(len(t.split()) for t in texts)


def test_substitution_keeps_what_a_formula_is():
  texts = [r"\frac { d x } { d y } + x 1 2 = \alpha B", r"a b c 3 4 = \beta A"]
  change = grammar.Substitution(texts)
  for seed in range(20):
    changed = change(texts[0], np.random.default_rng(seed)).split()
    before = texts[0].split()
    assert len(changed) == len(before)
    kinds = lambda tokens: [next((i for i, c in enumerate(grammar.CLASSES) if t in c), t)
                            for t in tokens]  # fmt: skip
    assert kinds(changed) == kinds(before)
    assert changed[2] == "d" and changed[3] == changed[10]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  directory = write_source(tmp_path_factory.mktemp("composed") / "source")
  write_strokes(directory, captions_of("train", 120))
  return directory


def test_train_has_crohmes_records_and_then_composed_ones(made, tmp_path):
  builder = CrohmeComposed(
      data_dir=tmp_path, file_format="array_record", allow_partial=True, composed=20, sample=10)
  config = tfds.download.DownloadConfig(manual_dir=str(made), try_download_gcs=False)
  builder.download_and_prepare(download_config=config)
  index = {name: load_index(builder, name) for name in builder.info.splits}
  train = source.read_source(made).folders["train"]
  real = [r.id for r in train if not is_validation(r.text)]
  assert index["train"].ids == [*real, *(f"composed-{n:06d}" for n in range(20))]
  assert index["composed"].ids == [f"composed-{n:06d}" for n in range(20, 30)]
  composed = [*index["train"].texts[len(real) :], *index["composed"].texts]
  assert len(set(composed)) > 10 and not any(map(is_validation, composed))
  assert index["validation"].ids == [r.id for r in train if is_validation(r.text)]
  assert list(builder.info.metadata["vocabulary"]) == list(WORDS)


def test_the_seed_decides_what_is_composed(made):
  records = {"train": source.read_source(made).folders["train"]}
  of_seed = lambda seed: composing.items(records, str(made), 12, seed)
  assert of_seed(0) == of_seed(0)
  assert [i.text for i in of_seed(0)] != [i.text for i in of_seed(1)]
  item = of_seed(0)[0]
  assert composing.make(item) == composing.make(item)
  other = composing.make(item._replace(key=(item.key[0], 99)))
  assert other["text"] == item.text and other["image"] != composing.make(item)["image"]


def test_no_formula_of_a_test_is_composed_unless_train_has_it(made):
  records = {"train": source.read_source(made).folders["train"]}
  free = {i.text for i in composing.items(records, str(made), 60, 0)}
  new = sorted(free - {r.text for r in records["train"]})
  assert new
  kept_out = [source.Record("t", tuple(t.split()), b"", 0, 0) for t in new]
  found = {i.text for i in composing.items(records | {"test": kept_out}, str(made), 60, 0)}
  assert not found & set(new)


def test_strokes_of_formulas_that_are_held_out_are_not_used(made):
  captions = source.read_captions(made, "train")
  held = {n for n, words in captions.items() if is_validation(" ".join(words))}
  assert held
  texts = {n: " ".join(words) for n, words in captions.items()}
  everything = library.build(list(handwriting.read(made, texts)))
  used = composing.of(str(made))
  count = lambda lib: sum(len(p) for own in lib.pieces.values() for p in own.values())
  assert count(everything) - count(used) == sum(len(captions[n]) for n in held)


def test_strokes_that_are_missing_or_damaged_are_named(made, tmp_path):
  texts = {"train_0": "x + 1"}
  with pytest.raises(SourceError, match=r"train\.jsonl\.xz is missing"):
    list(handwriting.read(tmp_path, texts))
  path = tmp_path / "strokes" / "train.jsonl.xz"
  path.parent.mkdir()
  whole = (made / "strokes" / "train.jsonl.xz").read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(SourceError, match="is damaged"):
    list(handwriting.read(tmp_path, texts))
  with lzma.open(path, "wt") as lines_of_file:
    lines_of_file.write(json.dumps({"id": "train_0", "strokes": [[0, 1, 2]]}) + "\n")
  with pytest.raises(SourceError, match="line 1 is no record of strokes"):
    list(handwriting.read(tmp_path, texts))
