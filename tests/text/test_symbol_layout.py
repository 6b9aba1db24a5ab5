"""Symbol-layout graphs, worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.text import latex, latex_tree
from mmjax.text.symbol_layout import NO_QUIRKS, Quirks, layout

SYMBOLS = [
  # right, sub, sup
  ("x + 1", "O x, OR +, ORR 1"),
  ("x _ { 1 } ^ { 2 } y", "O x, OSub 1, OSup 2, OR y"),
  ("x ^ { a b }", "O x, OSup a, OSupR b"),
  ("{ a b } ^ 2 c", "O a, OR b, ORSup 2, ORR c"),
  ("f ' _ 1 ^ 2", r"O f, OSup \prime, OSupR 2, OSub 1"),
  ("^ 2 x", "O , OSup 2, OR x"),
  ("x { } _ 2", "O x, OR , ORSub 2"),
  # above, below: fractions and limits
  (r"\frac { a b } c d", "O -, OAbove a, OAboveR b, OBelow c, OR d"),
  (r"{ a \over b } d", "O -, OAbove a, OBelow b, OR d"),
  (r"\frac a b ^ 2", "O -, OAbove a, OBelow b, OSup 2"),
  (r"{ n \choose k }", r"O \binom, OAbove n, OBelow k"),
  (r"\sum _ { i } ^ n x", r"O \sum, OBelow i, OAbove n, OR x"),
  (r"\lim _ { x \to 0 } x", r"O \lim, OBelow x, OBelowR \rightarrow, OBelowRR 0, OR x"),
  (r"\int \limits _ 0 ^ 1 x", r"O \int, OSub 0, OSup 1, OR x"),
  (r"\mathop { a r g } _ x", "O a, OR r, ORR g, ORRBelow x"),
  (r"\underset { a } { b } c", "O b, OBelow a, OR c"),
  (r"\stackrel ? = x", "O =, OAbove ?, OR x"),
  (r"\xrightarrow [ a ] { b c } d", r"O \xrightarrow, OBelow a, OAbove b, OAboveR c, OR d"),
  # inside, index of a root
  (r"\sqrt { a b } c", r"O \sqrt, OInside a, OInsideR b, OR c"),
  (r"\sqrt [ 3 ] x ^ 2", r"O \sqrt, OAbove 3, OInside x, OSup 2"),
  (r"\overline { a b } c", r"O \overline, OInside a, OInsideR b, OR c"),
  (r"\hat x", r"O \hat, OInside x"),
  # fences, fonts, spaces
  (r"\left( x \right] ^ 2", "O (, OR x, ORR ], ORRSup 2"),
  (r"\left. x \right\rbrace", r"O x, OR \}"),
  (r"\mathrm { s i n } \, { \bf x } \hspace { 1 c m } \big ( \quad y",
   "O s, OR i, ORR n, ORRR x, ORRRR (, ORRRRR y"),
  # arrays
  (r"( \begin{array} { c c } a & b \\ c & { } \\ \end{array} ) ^ 2",
   "O (, OR array, ORInside row, ORInsideInside cell, ORInsideInsideInside a, "
   "ORInsideInsideCell cell, ORInsideInsideCellInside b, ORInsideRow row, "
   "ORInsideRowInside cell, ORInsideRowInsideInside c, ORInsideRowInsideCell cell, "
   "ORR ), ORRSup 2"),
  ("", ""),
  (r"\, { }", ""),
]

ALIKE = [
  ("x ^ 2 _ 1", "x _ { 1 } ^ { 2 }"), ("{ x }", "x"), (r"\sum \limits _ i", r"\sum _ { i }"),
  ("<", r"\lt"), ("a > b", r"a \gt b"), (r"\le", r"\leq"), (r"\ne", r"\neq"),
  (r"\dots", r"\ldots"), (r"x \to y", r"x \rightarrow y"), (r"| x |", r"\left| x \right|"),
  ("x '", r"x ^ { \prime }"), (r"x ' ^ 2", r"x ^ { \prime 2 }"), (r"\dfrac 1 2", r"\frac 1 2"),
  (r"{ 1 \over 2 }", r"\frac { 1 } { 2 }"), (r"\mathrm { x }", "x"), (r"a \; b", "a b"),
  ("{ a b } ^ 2", "a b ^ 2"), (r"\Vert x", r"\| x"),
]


def of(formula, quirks=NO_QUIRKS):
  return layout(latex_tree.parse(formula.split()), quirks)


@pytest.mark.parametrize("formula, expected", SYMBOLS)
def test_symbols_by_their_paths(formula, expected):
  graph = of(formula)
  pairs = [p.split(" ", 1) for p in expected.split(", ")] if expected else []
  assert graph.symbols == dict(pairs)
  # Every symbol but the first hangs by one edge on the path that its own extends.
  assert sorted(to for _, to, _ in graph.edges) == sorted(p for p in graph.symbols if p != "O")
  assert all(source + relation == to and source in graph.symbols
             for source, to, relation in graph.edges)


@pytest.mark.parametrize("first, second", ALIKE)
def test_ways_to_write_one_layout(first, second):
  assert of(first) == of(second)


def test_without_quirks_capital_gamma_is_itself():
  assert of(r"\Gamma") != of(r"\gamma")
  assert of(r"\Gamma", Quirks(capital_gamma=True)) == of(r"\gamma")


def test_root_twice_adds_one_edge():
  quirks = Quirks(root_twice=True)
  for formula in (r"\sqrt { a b c }", r"\sqrt { { a b } c }", r"\sqrt { \frac x y b } c"):
    plain, twice = of(formula), of(formula, quirks)
    assert plain.symbols == twice.symbols
    assert twice.edges - plain.edges == {("O", "OInsideR", "Inside")}
    assert plain.edges < twice.edges
  for formula in (r"\sqrt a b", r"\sqrt { a _ b }", r"\overline { a b }", "x ^ { a b }"):
    assert of(formula) == of(formula, quirks)


def test_inline_limits():
  quirks = Quirks(inline_limits=True)
  assert of(r"\sum _ i ^ n", quirks).symbols == {"O": r"\sum", "OSub": "i", "OSup": "n"}
  assert of(r"\int \limits _ i ^ n", quirks).symbols == {"O": r"\int", "OBelow": "i", "OAbove": "n"}
  assert of(r"\underset a b", quirks) == of(r"\underset a b")


@pytest.mark.parametrize("opening, closing", [
  ("{", "}"), ("x ^ {", "}"), (r"\frac 1 {", "}"), (r"\sqrt", ""), (r"\left(", r"\right)"),
  (r"\begin{cases}", r"\end{cases}")])
def test_deep_nesting(opening, closing):
  tokens = [*opening.split() * 1000, "y", *closing.split() * 1000]
  assert "y" in layout(latex_tree.parse(tokens)).symbols.values()


formulas = st.recursive(
  st.sampled_from(["x", "1", r"\sum", "'", r"\Gamma", r"\mathrm { a b }"]),
  lambda inner: st.one_of(
    st.tuples(inner, inner).map(" ".join), inner.map("{{ {} }}".format),
    inner.map(r"\sqrt [ 3 ] {{ {} }}".format), inner.map(r"\left( {} \right)".format),
    st.tuples(inner, inner).map(lambda p: r"\frac {{ {} }} {{ {} }}".format(*p)),
    st.tuples(inner, inner).map(lambda p: "{{ {} }} ^ {{ {} }} _ 1".format(*p)),
    st.tuples(inner, inner).map(lambda p: r"\overset {{ {} }} {{ {} }} ^ 2".format(*p)),
    st.tuples(inner, inner).map(lambda p: r"\begin{{cases}} {} & {} \end{{cases}}".format(*p))),
  max_leaves=12)


@given(formulas)
def test_the_canonical_form_has_the_same_layout(formula):
  canonical = latex.normalise(formula.split())
  assert layout(latex_tree.parse(canonical)) == of(formula)


@pytest.mark.parametrize("name", ["train/captions.txt", "2014/captions_limits.txt"])
def test_no_symbol_of_crohme_is_lost(shared, name):
  silent = {"{", "}", "^", "_", r"\limits"}
  for line in (shared / "data/crohme" / name).read_text().splitlines():
    tokens = line.split("\t")[1].split()
    indices = sum(tokens[i - 1 : i + 1] == [r"\sqrt", "["] for i in range(1, len(tokens)))
    expected = sum(t not in silent for t in tokens) - 2 * indices  # the brackets of an index
    symbols = layout(latex_tree.parse(tokens)).symbols.values()
    assert sum(symbol != "" for symbol in symbols) == expected
