"""FineCapEval's words, counted by hand."""

import json

import numpy as np
import pytest

pytest.importorskip("nltk", reason="pip install 'mmjax[metrics]'")

from mmjax.metrics.__main__ import main
from mmjax.metrics.files import FileError
from mmjax.metrics.fine_cap_eval import measure, stems
from mmjax.metrics.phrases import read_phrases

HEADER = "image,caption,background,object,relation\n"
TABLE = HEADER + r"""one.x.jpg,Two cats sleep.,grassy field\;Sky,"cats\;a",cats lying on grass
one.x.jpg,Cats.,\;a;b,old wooden table,cat under table
one.x.jpg,Skipped.,None,dogs\;dogs\;dogs,dogs running
two.jpg,A park.,park\;!!,people,people walking
gone.jpg,A sea.,,boats,boats sailing
"""


@pytest.mark.parametrize("text, expected", [
    ("grassy fields", "grassi field"),
    ("a woman's t-shirt, running", "a woman s tshirt run"),  # the clitic 's is a word
    ("can't", "ca nt"),
    ("dies ties", "die tie"),  # NLTK's own rule: Porter's gives di, ti
    ("two dogs. one cat", "two dog one cat"),
    ("\"!! ...", ""),
    ("", ""),
])  # fmt: skip
def test_stems(text, expected):
  assert " ".join(stems(text)) == expected


@pytest.fixture
def files(tmp_path):
  (tmp_path / "refs.csv").write_text(TABLE)
  captions = {"one": "Cats sleep in a grassy field at education", "two": "people in a car park",
              "gone": "a boat"}  # fmt: skip
  (tmp_path / "hyps.json").write_text(json.dumps(captions))
  return tmp_path


def test_phrases_of_a_table(files):
  assert read_phrases(files / "refs.csv") == {
      "one": (["grassy field", "sky", "a;b"], ["cats", "old wooden table"],
              ["cats lying on grass", "cat under table"]),
      "two": (["park", "!!"], ["people"], ["people walking"]),
      "gone": ([], [], []),
  }  # fmt: skip


# Picture one, in the caption as written: field is there, grassi is not; sky is not; of a, b a is.
# cat is in "education"; old, wooden, tabl are not. Of cat, lie, on, grass: cat and on in
# "education", grass in "grassy"; of cat, under, tabl: cat.
ONE = ((1 / 2 + 0 + 1 / 2) / 3, (1 + 0) / 2, (3 / 4 + 1 / 3) / 2)
# By whole words: grassi, field; no sky; of a, b a. cat; of four cat; of three cat.
ONE_TOKENS = ((1 + 0 + 1 / 2) / 3, (1 + 0) / 2, (1 / 4 + 1 / 3) / 2)
# Picture two: park, and a phrase of punctuation; peopl; peopl of peopl, walk.
TWO = (1 / 2, 1, 1 / 2)


def test_scores_by_hand(files, capsys):
  arguments = [f"--refs={files}/refs.csv", f"--hyps={files}/hyps.json", "--json"]
  assert main([*arguments, "--metrics=fine_cap_eval", f"--per_sample={files}/each"]) == 0
  found = json.loads(capsys.readouterr().out)
  for i, name in enumerate(("background", "object", "relation")):
    assert found[f"fine_{name}"] == pytest.approx(50 * (ONE[i] + TWO[i]))
    assert found[f"fine_{name}_tokens"] == pytest.approx(50 * (ONE_TOKENS[i] + TWO[i]))
  assert found["fine_mean"] == pytest.approx(50 * np.add(ONE, TWO).mean())
  assert found["samples"] == 3 and len(found["intervals"]["fine_object"]) == 2
  rows = {r["id"]: r for r in map(json.loads, (files / "each").read_text().splitlines())}
  assert rows["one"]["fine_relation"] == pytest.approx(100 * ONE[2])
  assert rows["two"]["fine_mean_tokens"] == pytest.approx(100 * np.mean(TWO))


def test_capital_letters_hide_words_from_the_published_rule():
  phrases = {"a": (["park"], ["dog"], ["dog in park"])}
  found = measure([["x"]], ["A DOG in the Park"], ids=["a"], phrases=phrases).corpus()
  assert found["fine_background"] == found["fine_object"] == 0
  assert found["fine_relation"] == pytest.approx(100 / 3)
  assert found["fine_mean_tokens"] == 100
  nothing = measure([["x"]], [""], ids=["a"], phrases=phrases).corpus()
  assert set(nothing.values()) == {0}


def test_bad_input_is_refused(files, capsys):
  plain = files / "plain.csv"
  plain.write_text("image,caption\none.jpg,x\n")
  with pytest.raises(FileError, match="that has the columns image, caption, background, object"):
    read_phrases(plain)
  arguments = [f"--hyps={files}/hyps.json", "--metrics=fine_cap_eval"]
  for file in ("plain.csv", "none.csv"):
    assert main([*arguments, f"--refs={files}/{file}"]) == 2
    assert file in capsys.readouterr().err
  (files / "rows.json").write_text(json.dumps(
      [{"image": "one", "caption": "x", "background": 3, "object": "x", "relation": "y"}]))
  with pytest.raises(FileError, match="of 'one' 3 is not a string"):
    read_phrases(files / "rows.json")
  with pytest.raises(ValueError, match="1 pictures have no phrases, the first: 'z'"):
    measure([["x"]], ["x"], ids=["z"], phrases=read_phrases(files / "refs.csv"))
