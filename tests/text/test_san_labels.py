"""Formulas as SAN's trees: the published rows, what has none, and the way back."""

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.text import latex, latex_tree, san_coverage
from mmjax.text.san_labels import (
  END,
  OPEN,
  RELATIONS,
  START,
  InexpressibleError,
  Row,
  TreeWords,
  is_symbol,
  latex_of,
  rows_of,
)
from mmjax.text.vocabulary import UnknownWordError


def rows(text, **options):
  return rows_of(text.split(), **options)


def test_the_published_rows():
  assert rows(r"x _ { 1 } ^ { 2 } + \frac { a ^ { 2 } } { b }") == [
    ("x", 0, START, ()), (OPEN, 1, "x", ("sub", "sup", "right")),
    ("1", 2, "sub", ()), (END, 3, "1", ()), ("2", 2, "sup", ()), (END, 5, "2", ()),
    ("+", 2, "right", ()), (r"\frac", 7, "+", ()), (OPEN, 8, r"\frac", ("above", "below")),
    ("a", 9, "above", ()), (OPEN, 10, "a", ("sup",)), ("2", 11, "sup", ()), (END, 12, "2", ()),
    ("b", 9, "below", ()), (END, 14, "b", ()),
  ]


def test_scripts_of_fractions_and_sums():
  found = rows(r"\frac { a } { b } ^ { 2 } \sum _ { i }")
  assert found[1] == (OPEN, 1, r"\frac", ("above", "below", "sup", "right"))
  assert found[9] == (OPEN, 9, r"\sum", ("below",))
  assert found[-1] == (END, 11, "i", ())  # the last chain's; a second one would end nothing
  assert rows(r"\sqrt [ 3 ] { x }")[1].relations == ("L-sup", "inside")
  assert rows("") == [(END, 0, START, ())]


def test_what_prints_the_same_has_the_same_tree():
  same = r"\sum _ { i } ^ { n } \frac { 1 } { 2 } x _ { 1 } ^ { 2 }"
  for text in (r"\sum \limits _ i ^ n \frac 1 2 x ^ { 2 } _ { 1 }",
               r"{ \sum ^ { n } _ { { i } } } \frac { 1 } 2 { x _ { 1 } ^ 2 }"):
    assert rows(text) == rows(same)
    assert latex_of(rows(text)) == same.split()


def test_published_labels_keep_their_order_and_their_defect():
  sup_first = rows("x ^ { 2 } _ { 1 }", compat=True)
  assert sup_first[1] == (OPEN, 1, "x", ("above", "sup"))
  assert [r[:3] for r in sup_first[2:]] == [("2", 2, "sup"), (END, 3, "2"), ("1", 2, "above"),
                                            (END, 5, "1")]
  of_sum = rows(r"\sum ^ { n } _ { i }", compat=True)
  assert of_sum[1].relations == ("above", "below") and of_sum[2].word == "n"
  plain = r"x _ { 1 } ^ { 2 } \sqrt [ 3 ] { y } = \frac { a } { b }"
  assert rows(plain, compat=True) == rows(plain)


@pytest.mark.parametrize("text, reason, token", [
  ("x + { y ^ { 2 } } ^ { 3 }", "a group that is no argument", 3),
  ("^ { 2 } x", "a script of nothing", 1),
  ("x ^ { 2 } ^ { 3 }", "two scripts of one kind", 6),
  ("x ^ {", "braces or arguments that do not match", 4),
  ("x }", "braces or arguments that do not match", 2),
  (r"\frac { a }", "braces or arguments that do not match", 5),
  (r"\begin{array} { c } a \end{array}", r"\begin{array}", 1),
  (r"a \over b", r"\over", 2),
])  # fmt: skip
def test_what_is_no_tree_says_why_and_where(text, reason, token):
  with pytest.raises(InexpressibleError) as e:
    rows(text)
  assert e.value.reason == reason and str(e.value).startswith(f"token {token} ")


@pytest.mark.parametrize("text", ["x ^ 2", "{ x }", r"\overline { x }", r"\frac 1 2"])
def test_published_labels_know_less(text):
  assert rows(text)
  with pytest.raises(InexpressibleError):
    rows(text, compat=True)


@pytest.mark.parametrize("text", [
  "x", "", r"\sqrt { \sqrt [ n ] { x _ { 1 } } } ^ { 2 }", r"x ' ^ { 2 }", r"[ x ]",
  r"\sum _ { i = 1 } ^ { n } \frac { 1 } { \frac { a } { b } _ { c } }",
  r"\overline { a b } \widehat { x } ^ { 2 } \binom { n } { k } \xrightarrow [ a ] { b }",
  r"\left( \frac { a } { b } \right) ^ { 2 }", r"\lim _ { x \rightarrow 0 } f ( x )",
])  # fmt: skip
def test_back_to_the_formula(text):
  assert latex_of(rows(text)) == text.split()


def test_deep_formulas():
  text = "x ^ { " * 2000 + "x" + " }" * 2000
  assert latex_of(rows(text)) == text.split()


WORDS = [
  word for word in ("x", "'", "[", "]", r"\frac", r"\sqrt", r"\sum", r"\overline", r"\left(",
                    r"\right.", r"\right]", r"\xrightarrow", "&", r"\\", "{", r"\limits", "_")
  if is_symbol(word)
]  # fmt: skip


def random_tree(seed):
  """Rows as a decoder may write them, cut off or not."""
  rng = random.Random(seed)
  out, stack = [], []
  parent, parent_word = 0, START
  for _ in range(rng.randint(1, 40)):
    word = rng.choice([*WORDS, END, END, *[OPEN] * 5])
    relations = tuple(r for r in RELATIONS if word == OPEN and rng.random() < 0.4)
    out.append(Row(word, parent, parent_word, relations))
    parent, parent_word = len(out), word
    stack += [(len(out), r) for r in reversed(relations)]
    if word in (END, OPEN):
      if not stack:
        break
      parent, parent_word = stack.pop()
  return out


def test_any_tree_is_a_well_formed_formula():
  assert len(WORDS) == 14
  longest = 0
  for seed in range(2000):
    tokens = latex_of(random_tree(seed))
    latex_tree.parse(tokens)
    longest = max(longest, len(tokens))
  assert longest > 60


@given(st.lists(st.sampled_from(["x", "2", "^", "_", "{", "}", r"\frac", r"\sqrt", "[", "]", "'"]),
                max_size=14))  # fmt: skip
def test_back_and_forth_whatever_is_written(tokens):
  try:
    found = rows_of(tokens)
  except InexpressibleError:
    return
  back = latex_of(found)
  assert latex.normalise(back) == latex.normalise(tokens)
  assert rows_of(back) == found


def test_numbers_of_rows():
  words = TreeWords.from_words(["!", "^", "_", "{", "}", r"\limits", r"\frac", "x"])
  assert words.all[:3] == (END, START, OPEN) and words.all[-7:] == RELATIONS
  assert words.symbols == ("!", r"\frac", "x") and len(words) == 13
  found = rows(r"\frac { x } { ! }")
  encoded = words.encode(found)
  assert encoded.tolist()[:3] == [[4, 0, 1, 0], [2, 1, 4, 0b11], [5, 2, 6, 0]]
  assert words.decode(encoded) == found
  with pytest.raises(UnknownWordError, match=r"\['y'\]"):
    words.encode(rows("x y"))


@pytest.mark.parametrize("name, formulas", [("2014", 986), ("2016", 1147)])
def test_every_caption_of_crohme_is_a_tree(shared, name, formulas):
  lines = (shared / "data" / "crohme" / name / "captions.txt").read_text().splitlines()
  found = [(tokens, rows_of(tokens)) for line in lines if (tokens := line.split("\t")[1].split())]
  assert len(found) == formulas
  assert all(latex.normalise(latex_of(r)) == latex.normalise(t) for t, r in found)


def test_coverage_counts_and_shows(tmp_path, capsys, monkeypatch):
  texts = ["x ^ { 2 }", "x ^ 2", "^ { 2 } x y z", "^ { 2 } x", r"\sum \limits _ { i }"]
  path = tmp_path / "captions.txt.gz"
  with gzip.open(path, "wt") as f:
    f.write("\n".join(f"id\t{text}" for text in texts))
  found = san_coverage.coverage(san_coverage.read_formulas(path))
  assert (found.formulas, found.trees, found.same, found.same_normalised) == (5, 3, 1, 3)
  assert found.reasons == {"a script of nothing": 2}
  monkeypatch.setattr("sys.argv", ["san_coverage", "--compat", str(path)])
  san_coverage.main()
  said = capsys.readouterr().out
  assert "5 formulas, 2 with a tree (40.00%); back from it 1 token by token, 2 normalised" in said
  assert "2  a script of nothing: ^ { 2 } x   |   ^ { 2 } x y z" in said
