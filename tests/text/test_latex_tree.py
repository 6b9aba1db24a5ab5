"""Trees that keep every token of a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.text import latex_tree
from mmjax.text.latex_tree import (
  Array,
  Command,
  Group,
  Infix,
  MalformedError,
  Script,
  Scripted,
  Symbol,
  compounds,
  parse,
  write,
)
from tests.text.round_trip import failures, read

KEPT = [
  "", "x", "{ }", "{ { x } }", "x ^ 2 _ { 1 }", "_ 1 x", "{ } ^ 2", "x '", "f '' ( x )",
  "x ' _ 1 ^ { 2 }", r"\sum \limits _ i", r"\int \nolimits ^ a", r"a \sp 2 \sb { 1 }",
  r"\frac 1 2", r"\frac { 1 } 2", r"\frac \sqrt 2 3", r"\sqrt [ 3 ] x", r"\sqrt [ { ] } ] x",
  r"\sqrt { [ } 3 ]", r"[ x ]", r"x ^ [", r"\left( x \right)", r"\left ( x \right ]",
  r"\left\langle x \right.", r"\leftarrow x \rightarrow", r"x ^ \left( a \right)",
  r"{ 1 \over 2 }", r"1 \over x + { y \atop z }", r"\buildrel d \over = { a \over b }",
  r"\begin{array} { l c | r } { a } & b & { } \\ \hline c & d \end{array}",
  r"\begin { array } { @ { } c } a \\ \end { array }",
  r"\begin { matrix } a & b \cr c \end { matrix }",
  r"\begin{array} [ t ] { c } x \end{array}", r"\begin{cases} \end{cases}", r"a & b \\ c",
  r"\begin{matrix} \begin{matrix} a & b \\ c \end{matrix} & { & } \\ \end{matrix}",
  r"\raisebox { 1 p t } [ 2 p t ] [ 3 p t ] { x }", r"\raisebox { 1 p t } { x }",
  r"\xrightarrow [ a ] { b }", r"\xrightarrow b", r"\frac ' 2", r"{ \rm x }",
  r"\operatorname* { lim }",
]

MALFORMED = [
  ("{ x", "1 braces, fences"), ("x }", r"token 2 \(}\): no brace is open"), ("x ^", "1 braces"),
  (r"\frac { 1 }", "1 braces"), (r"{ \frac { 1 } }", r"token 6 \(}\): no brace"),
  ("x ^ 2 ^ 3", r"token 4 \(\^\): two scripts of one kind"), (r"x _ 2 \sb 3", "two scripts"),
  ("x ^ _ 1", "a script where an argument should be"), (r"\frac \limits 1 2", "limits where"),
  (r"\left( x", "1 braces, fences"), (r"x \right)", r"no \\left is open"),
  (r"{ \left( x } \right)", "no brace is open"), (r"\left( { x \right) }", r"no \\left is open"),
  (r"x \left", "has no delimiter"), (r"\begin{array} { c } x", "2 braces"),
  (r"x \end{array}", r"no \\begin is open"), (r"\begin{cases} { x \end{cases} }", r"no \\begin"),
  (r"\begin{cases} x \end{matrix}", "that is open is cases, not matrix"),
  (r"\begin array", "a name or columns in braces are missing"),
  (r"\begin{array} x \end{array}", "a name or columns"), (r"\begin{array} [ { c }", "a bracket"),
  (r"\begin { array", "a name or columns"), (r"a \over b \over c", "has a fraction of this kind"),
  (r"\sqrt [ 3 ]", "1 braces"),
  (r"\begin{cases} \frac & 2 \end{cases}", "the end of a cell where an"),
  (r"x ^ \\", "the end of a cell"),
]

TOKENS = ("", "x", "{", "}", "{", "}", "_", "^", "'", "[", "]", "&", r"\\", r"\limits", r"\frac",
          r"\sqrt", r"\over", r"\left(", r"\right)", r"\left", r"\begin{matrix}", r"\end{matrix}",
          r"\begin", r"\end", r"\raisebox")


@pytest.mark.parametrize("formula", KEPT)
def test_every_token_comes_back(formula):
  assert write(parse(formula.split())) == formula.split()


@pytest.mark.parametrize("formula, message", MALFORMED)
def test_malformed_formulas_say_what_is_wrong(formula, message):
  with pytest.raises(MalformedError, match=message):
    parse(formula.split())


@given(st.lists(st.sampled_from(TOKENS), max_size=12))
def test_a_formula_comes_back_or_is_malformed(tokens):
  try:
    tree = parse(tokens)
  except MalformedError:
    return
  assert write(tree) == tokens


def tree_of(formula):
  return parse(formula.split())


def braced(*items):
  return Group([*items], ("{",), ("}",))


def test_tree_of_scripts_and_commands():
  tree = tree_of(r"\frac { x ' _ 1 } 2 \sqrt [ 3 ] y")
  assert tree == Group([
    Command(r"\frac", [
      braced(Scripted(Symbol("x"), [Script("'"), Script("_", Group([Symbol("1")]))])),
      Group([Symbol("2")])]),
    Command(r"\sqrt", [Group([Symbol("3")], ("[",), ("]",)), Group([Symbol("y")])])])


def test_tree_of_fences_and_fractions():
  tree = tree_of(r"\left( a \over b \right ]")
  assert tree == Group([
    Group([Infix(r"\over", Group([Symbol("a")]), Group([Symbol("b")]))],
          (r"\left(",), (r"\right", "]"))])


def test_tree_of_an_array():
  tree = tree_of(r"\begin { array } { c c } a & { b } \\ \end { array }")
  assert tree == Group([Array(
    "array", [[Group([Symbol("a")]), Group([braced(Symbol("b"))])], [Group([])]], [r"\\"],
    (r"\begin", "{", "array", "}", "{", "c", "c", "}"), (r"\end", "{", "array", "}"))])


def test_compounds_come_before_what_is_inside_them():
  tree = tree_of(r"\frac { a } b ^ c")
  kinds = [type(node).__name__ for node in compounds(tree)]
  assert kinds == ["Group", "Scripted", "Command", "Script", "Group", "Group", "Group"]
  assert compounds(Symbol("x")) == compounds("x") == []


@pytest.mark.parametrize("opening, closing", [
  ("{", "}"), ("x ^ {", "}"), (r"\frac 1 {", "}"), (r"\sqrt", ""), (r"\left(", r"\right)"),
  (r"\begin{cases}", r"\end{cases}")])
def test_deep_nesting(opening, closing):
  tokens = [*opening.split() * 3000, "x", *closing.split() * 3000]
  assert write(parse(tokens)) == tokens


@pytest.mark.parametrize("name, malformed", [
  ("crohme/train/captions.txt", 0), ("crohme/2014/captions.txt", 0),
  ("crohme/2014/captions_limits.txt", 0), ("crohme/2016/captions.txt", 0),
  ("crohme/2016/captions_limits.txt", 0),
  ("crohme/2016/captions_unnormalized.txt", 2),  # \frac } { 1 } { 2 }
  ("hme100k/test_labels.txt.gz", 1),  # b ^ { 2 } ^ { 3 }
  ("im2latex100k/formulas_train_first3000.norm.txt.gz", 0),
])
def test_formulas_of_data_sets_come_back(shared, name, malformed):
  failed = failures(read(shared / "data" / name))
  assert len(failed) == malformed
  assert not [reason for reason, _ in failed if reason == "comes back changed"]


def test_arguments_are_known():
  assert set("".join(latex_tree.ARGUMENTS.values())) == {"m", "o"}
  assert all(kinds.endswith("m") for kinds in latex_tree.ARGUMENTS.values())
