"""Tokens and canonical forms of LaTeX formulas."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.text import latex

NORMAL_FORMS = [
  # scripts
  (r"\sum \limits _ { l } x", r"\sum _ { l } x"),
  ("x ^ { 2 } _ { 1 }", "x _ { 1 } ^ { 2 }"),
  ("x ^ 2 _ 1", "x _ { 1 } ^ { 2 }"),
  ("x _ \\alpha y", "x _ { \\alpha } y"),
  (r"x ^ \frac 1 2", r"x ^ { \frac { 1 } { 2 } }"),
  ("x ^ { y ^ { 2 } _ 1 }", "x ^ { y _ { 1 } ^ { 2 } }"),
  ("_ 1 x", "_ { 1 } x"),
  ("x { } ^ 2", "x { } ^ { 2 }"),
  ("{ } ^ 2 x", "^ { 2 } x"),
  ("x ^ { }", "x ^ { }"),
  # groups
  ("{ x }", "x"),
  ("{ { x } }", "x"),
  ("{ } x { } y", "x y"),
  ("{ d x } ^ { 2 }", "d x ^ { 2 }"),
  ("x ^ { { { 2 } } }", "x ^ { 2 }"),
  (r"n { \times } n", r"n \times n"),
  ("{ x ^ 2 } ^ 3", "{ x ^ { 2 } } ^ { 3 }"),
  ("{ x _ 1 } ^ 2", "{ x _ { 1 } } ^ { 2 }"),
  ("{ a x _ 1 } ^ 2", "a { x _ { 1 } } ^ { 2 }"),
  ("{ { { x ^ 2 } ^ 3 } }", "{ x ^ { 2 } } ^ { 3 }"),
  (r"{ 1 \over 2 } x", r"{ 1 \over 2 } x"),
  (r"{ { 1 \over 2 } } { x }", r"{ 1 \over 2 } x"),
  (r"x ^ { { 1 \over 2 } }", r"x ^ { 1 \over 2 }"),
  (r"{ a { \rm b } c } d", r"a { \rm b } c d"),
  # commands
  (r"\frac h 2", r"\frac { h } { 2 }"),
  (r"\frac { { a } } { { 2 g } }", r"\frac { a } { 2 g }"),
  (r"{ \frac { 1 } 6 } n", r"\frac { 1 } { 6 } n"),
  (r"\frac \sqrt 2 3", r"\frac { \sqrt { 2 } } { 3 }"),
  (r"\sqrt x", r"\sqrt { x }"),
  (r"\sqrt [ 3 ] x", r"\sqrt [ 3 ] { x }"),
  (r"\sqrt [ { { 3 } } ] { x }", r"\sqrt [ 3 ] { x }"),
  (r"\sqrt [ { ] } ] x", r"\sqrt [ { ] } ] { x }"),
  (r"\sqrt [ ] x", r"\sqrt { x }"),
  (r"\sqrt { [ } 3 ]", r"\sqrt { [ } 3 ]"),
  (r"\frac [ ] x ^ [", r"\frac { [ } { ] } x ^ { [ }"),
  (r"\cos { 2 x } [ y ]", r"\cos 2 x [ y ]"),
  (r"\overline { a b } c", r"\overline { a b } c"),
  ("", ""),
]

MALFORMED = [
  "{", "}", "} {", "x ^", "x _ {", "{ x ^ }", r"\frac", r"\frac { 1 }", r"\frac 1 }",
  r"2 ^ { \frac } { p } { q }", "x ^ 2 ^ 3", "x _ 1 ^ 2 _ 3", "x ^ _ 1", r"\sqrt [ 3 { x }",
  r"\sqrt [ 3 ]", r"\sqrt ^ 2", "{ " * 200, " ".join([r"\sqrt"] * 200),
]

TOKENS = ("", "x", "1", "{", "}", "{", "}", "_", "^", "[", "]", r"\limits", r"\sum", r"\frac",
          r"\sqrt", r"\over", r"\rm", "'")
token_lists = st.lists(st.sampled_from(TOKENS), max_size=24)

# Formulas with braces of every kind, most of them well formed.
formulas = st.recursive(
  st.sampled_from(["x", "1", "[", "]", r"\sum", r"\rm", "{ }", r"\sqrt [ 3 ] x"]),
  lambda inner: st.one_of(
    st.tuples(inner, inner).map(" ".join),
    inner.map("{{ {} }}".format),
    inner.map(r"\sqrt {{ {} }}".format),
    st.tuples(inner, inner).map(lambda p: r"\frac {{ {} }} {{ {} }}".format(*p)),
    st.tuples(inner, inner).map(lambda p: "{{ {} }} ^ {{ {} }}".format(*p)),
    st.tuples(inner, inner).map(lambda p: "{{ {} }} _ {{ {} }} ^ 2".format(*p))),
  max_leaves=12).map(str.split)


@st.composite
def written_twice(draw, depth=2):
  """One formula in canonical form, and with braces and script order drawn at random."""
  canonical, loose = [], []
  for _ in range(draw(st.integers(1, 3))):
    symbol = draw(st.sampled_from(["x", "1", "(", "]", r"\sum"]))
    kinds = ["symbol", "group", "frac", "root", "scripts"] if depth else ["symbol"]
    kind = draw(st.sampled_from(kinds))
    parts = [draw(written_twice(depth - 1)) for _ in range(2)] if kind != "symbol" else []
    braced = [["{", *tight, "}"] for tight, _ in parts]
    free = [w if len(w) == 1 and draw(st.booleans()) else
            ["{", "{", *w, "}", "}"] if draw(st.booleans()) else ["{", *w, "}"] for _, w in parts]
    if kind == "symbol":
      canonical += [symbol]
      loose += draw(st.sampled_from([[symbol], ["{", symbol, "}"], ["{", "}", symbol]]))
    elif kind == "group":
      canonical += parts[0][0]
      loose += ["{", *parts[0][1], "}"]
    elif kind == "frac":
      canonical += [r"\frac", *braced[0], *braced[1]]
      loose += ["{", r"\frac", *free[0], *free[1], "}"]
    elif kind == "root":
      canonical += [r"\sqrt", "[", "3", "]", *braced[0]]
      loose += [r"\sqrt", "[", "{", "3", "}", "]", *free[0]]
    else:
      canonical += [symbol, "_", *braced[0], "^", *braced[1]]
      scripts = draw(st.permutations([["_", *free[0]], ["^", *free[1]]]))
      loose += ["{", symbol, "}", r"\limits", *scripts[0], *scripts[1]]
  return canonical, loose


def read_captions(path):
  lines = path.read_text(encoding="utf-8").splitlines()
  return {name: caption.split() for name, caption in (line.split("\t") for line in lines)}


@pytest.mark.parametrize("raw, tokens", [
  (r"\frac12", [r"\frac", "1", "2"]),
  (r"\sum\limits_{i}^\infty x", [r"\sum", r"\limits", "_", "{", "i", "}", "^", r"\infty", "x"]),
  (r"\{x\|y\}\,z\\", [r"\{", "x", r"\|", "y", r"\}", r"\,", "z", r"\\"]),
  ("a\\ b\t c\n", ["a", "b", "c"]),
  ("x\\", ["x", "\\"]),
  (" ", []),
])
def test_tokenize(raw, tokens):
  assert latex.tokenize(raw) == tokens


def test_detokenize_joins_with_single_spaces():
  assert latex.detokenize([r"\frac", "{", "1", "}"]) == r"\frac { 1 }"


@pytest.mark.parametrize("raw, expected", NORMAL_FORMS)
def test_normal_form(raw, expected):
  assert latex.detokenize(latex.normalise(raw.split())) == expected


@pytest.mark.parametrize("formula", MALFORMED)
def test_malformed_only_loses_limits(formula):
  tokens = formula.split()
  assert latex.normalise([r"\limits", *tokens, r"\limits"]) == tokens


@pytest.mark.parametrize("opening, closing", [
  ("{", "}"), ("x ^ {", "}"), (r"\frac 1 {", "}"), (r"\sqrt", ""), ("{", "} ^ 2")])
def test_deep_nesting_is_parsed(opening, closing):
  depth = 1000
  tokens = [*opening.split() * depth, "x", *closing.split() * depth]
  once = latex.normalise(tokens)
  assert latex.normalise(["{", *tokens, "}"]) == once  # only a parsed formula loses the braces


@settings(deadline=None)
@given(st.one_of(token_lists, formulas))
def test_normalise_is_idempotent_and_never_raises(tokens):
  once = latex.normalise(tokens)
  assert r"\limits" not in once
  assert latex.normalise(once) == once


@settings(deadline=None)
@given(written_twice())
def test_ways_to_write_a_formula_meet_in_one(formula):
  canonical, loose = formula
  assert latex.normalise(loose) == canonical
  assert latex.normalise(canonical) == canonical


@settings(deadline=None)
@given(formulas)
def test_braces_around_a_formula_are_redundant(tokens):
  assert latex.normalise(["{", *tokens, "}"]) == latex.normalise(tokens)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["x", "2", "{", r"\{", r"\frac", r"\,", r"\\", r"\|", "_"])))
def test_tokens_survive_a_text(tokens):
  assert latex.tokenize(latex.detokenize(tokens)) == tokens
  tight = re.sub(r"(?<![A-Za-z]) ", "", latex.detokenize(tokens))
  assert latex.tokenize(tight) == tokens


@pytest.mark.parametrize("name", [
  "train/captions.txt", "2014/captions.txt", "2014/captions_limits.txt", "2016/captions.txt",
  "2016/captions_limits.txt"])
def test_every_crohme_caption_is_a_formula(shared, name):
  for tokens in read_captions(shared / "data/crohme" / name).values():
    assert latex.tokenize(latex.detokenize(tokens)) == tokens
    assert latex.normalise(["{", *tokens, "}"]) == latex.normalise(tokens)


def different(first, second, form):
  assert first.keys() == second.keys()
  return {name for name in first if form(first[name]) != form(second[name])}


def test_limits_of_crohme_2016(shared):
  plain = read_captions(shared / "data/crohme/2016/captions.txt")
  limits = read_captions(shared / "data/crohme/2016/captions_limits.txt")
  assert len(different(plain, limits, list)) == 83
  # Two differ by more than \limits, by braces that one list leaves out: \frac { 1 } x.
  assert different(plain, limits, lambda t: [w for w in t if w != r"\limits"]) == {
    "UN_116_em_335", "UN_133_em_1134"}
  assert not different(plain, limits, latex.normalise)


def test_unnormalised_crohme_2016(shared):
  plain = read_captions(shared / "data/crohme/2016/captions.txt")
  raw = read_captions(shared / "data/crohme/2016/captions_unnormalized.txt")
  assert len(different(plain, raw, list)) == 50
  # What is left are misplaced braces: \sqrt { [ } 4 ] { - g }, and twice { \frac } { 1 } { 2 }.
  assert different(plain, raw, latex.normalise) == {
    "UN_126_em_584", "UN_133_em_1136", "UN_453_em_671"}


def test_limits_of_crohme_2014(shared):
  wap = read_captions(shared / "data/crohme/2014/captions.txt")
  limits = read_captions(shared / "data/crohme/2014/captions_limits.txt")
  assert len(different(wap, limits, list)) == 85
  # These six are corrected in one list: \pi or \Pi, a brace closed too late, commas as subscripts.
  assert different(wap, limits, latex.normalise) == {
    f"RIT_2014_{n}" for n in (51, 133, 191, 216, 217, 225)}
