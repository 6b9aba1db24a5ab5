"""im2markup's normal form, its defects, and its labels of IM2LATEX-100K."""

import dataclasses

import pytest

from mmjax.text.im2markup import AS_PUBLISHED, normalise

NORMAL_FORMS = [
  # groups and scripts
  ("{x}", "{ x }"), ("x^2_1", "x _ { 1 } ^ { 2 }"), ("x_{a}", "x _ { a }"),
  (r"x^\frac12", r"x ^ { \frac 1 2 }"), (r"_1 x^2", "_ 1 x ^ { 2 }"), ("{}^2x", "{ } ^ { 2 } x"),
  (r"{^a_b}", "{ ^ a _ { b } }"), (r"\sum\limits_i^n", r"\sum _ { i } ^ { n }"),
  (r"f''(x)", r"f ^ { \prime \prime } ( x )"), (r"H'_{z}", r"H _ { z } ^ { \prime }"),
  (r"a^{'}", "a ^ { ' }"), (r"a \sp b_c", r"a \sp b _ { c }"),
  # fractions and roots
  (r"\frac{a}b", r"\frac { a } b"), (r"{a \over b}", r"{ \frac { a } { b } }"),
  (r"{{a}\over{b}}", r"{ \frac { a } { b } }"), (r"{n\choose k}", r"{ \binom { n } { k } }"),
  (r"\dfrac ab", r"\frac a b"), (r"{a \atop b}", r"{ a \atop b }"),
  (r"{\bf a\over b}", r"{ \bf \frac { a } { b } }"), (r"\sqrt x", r"\sqrt x"),
  (r"\buildrel a\over b", r"\frac { \buildrel a } { b }"),
  # accents and lines
  (r"\hat x", r"\hat { x }"), (r"\hat{x}", r"\hat { x }"), (r"\widehat x", r"\widehat x"),
  (r"\overline x", r"\overline { x }"), (r"\phantom 2", r"\phantom { 2 }"),
  (r"\rule{0in}{.25in}", r"\rule { 0 in } { 0.25 in }"),
  (r"\rule{-1.0pt}{2cm}", r"\rule { -1 pt } { 2 cm }"),
  # fences
  (r"\left ( x \right.", r"\left( x \right."), (r"\left\{x\right>", r"\left\{ x \right>"),
  (r"\big(x\Bigr)", r"\big ( x \Bigr )"),
  # operators
  (r"\sin x", r"\operatorname { s i n } x"), (r"\lim_x", r"\operatorname* { l i m } _ { x }"),
  # fonts and text
  (r"{\rm ab}", r"\mathrm { a b }"), (r"a \rm b c", r"a \mathrm { b c }"),
  (r"x_{\rm a}", r"x _ { \mathrm { a } }"), (r"{\cal L}", r"{ \cal L }"),
  (r"\mathbf v", r"\mathbf v"), (r"\mbox{if  $a_1$}", r"\mathrm { i f ~ a _ 1 ~ }"),
  (r"\hbox{a}\text{b'}", r"\mathrm { a } \mathrm { b ' }"), (r"\textrm{a b}", r"\textrm { a b }"),
  (r"\mbox{\hskip 1cm}", r"\mathrm { \hspace { ~ 1 c m } }"),
  (r"\mathrm{\Gamma}", r"\mathrm { \Gamma }"),
  # spaces and comments
  (r"a\ b\,c~d", r"a \ b \, c ~ d"), (r"a\hskip1cm b", r"a \hspace { 1 c m } b"),
  (r"$a$\>b\~c", "a b c"), ("%a%b", "a"), ("a\r\n", "a"), (r"\label{a}b\label {c}", "b"),
  (r"a\label b", r"a \label b"), (r"a--b\*c*", r"a -- b \* c *"),
  (r"\hspace*{1cm}", r"\hspace * { 1 c m }"),
  ("aé", "a"),
  # arrays
  (r"\begin{array}{c|c}a&{b}\\[2pt] \hline c\\\end{array}",
   r"\begin{array} { c | c } { a } & { { b } } \\ \hline { c } \\ \end{array}"),
  (r"\matrix{a&b\cr c}", r"\begin{matrix} { a } & { b } \\ { c } \\ \end{matrix}"),
  (r"\pmatrix{a\cr}", r"\left( \begin{matrix} { a } \\ \end{matrix} \right)"),
  (r"\begin{cases}a\end{cases}", r"\left\{ \begin{cases} { a } \\ \end{cases} \right."),
  # what is lost
  ("{x", ""), ("", ""), (r"\hat\sin", ""), (r"x^\hat y", ""), (r"\rule{x}{y}", ""),
]

DEFECTS = [
  ("percent_cuts", r"a\%b", "a \\", r"a \% b"),
  ("breaks_to_spaces", r"a\\b", r"a \, b", ""),
  ("last_script_wins", r"x'^2", r"x ^ { 2 }", r"x ^ { \prime 2 }"),
  ("last_script_wins", r"x'^{2a}_1", r"x _ { 1 } ^ { 2 a }", r"x _ { 1 } ^ { \prime 2 a }"),
  ("root_index_lost", r"\sqrt[3]x", r"\sqrt [ [object Object] ] x", r"\sqrt [ 3 ] x"),
  ("greek_spelled", r"{\rm \mu}", r"\mathrm { \ m u }", r"\mathrm { \mu }"),
  ("roman_rewritten", r"\frac{\rm a}{b}", "", r"\frac { \mathrm { a } } { b }"),
  ("breaks_outside_lost", r"\begin{array}{c}a\end{array}\\b", "",
   r"\begin{array} { c } { a } \\ \end{array} \\ b"),
  ("columns_lost", r"\begin{array}{@{}c}a\end{array}", "",
   r"\begin{array} { @ { } c } { a } \\ \end{array}"),
  ("lines_doubled", r"\overline{ab}", r"\overline { { a b } }", r"\overline { a b }"),
]


@pytest.mark.parametrize("raw, expected", NORMAL_FORMS)
def test_normal_form(raw, expected):
  assert normalise(raw) == expected.split()


@pytest.mark.parametrize("name, raw, published, mended", DEFECTS)
def test_defects_can_be_turned_off(name, raw, published, mended):
  assert normalise(raw) == published.split()
  assert normalise(raw, dataclasses.replace(AS_PUBLISHED, **{name: False})) == mended.split()


def test_every_defect_is_tested():
  assert {d[0] for d in DEFECTS} == {f.name for f in dataclasses.fields(AS_PUBLISHED)}


def test_deep_nesting():
  assert len(normalise("{" * 2000 + "x" + "}" * 2000)) == 4001


def test_labels_of_im2latex(shared):
  lines = (shared / "data/im2latex100k/sample_labels.tsv").read_text().split("\n")[:-1]
  rows = [line.split("\t") for line in lines]
  assert len(rows) == 1200
  assert not [name for _, name, label, raw in rows if normalise(raw) != label.split()]
