r"""LaTeX in im2markup's normal form, that of IM2LATEX-100K's labels (Deng et al., ICML 2017).

im2markup prints the syntax tree of a modified, early KaTeX. Rules: every script is braced,
subscript first; `\limits` goes; a prime is `^ { \prime }`; fractions are `\frac` or `\binom`;
fences are one token with their delimiter; cells of arrays are braced, each row ends with `\\`;
named operators are spelled, `\operatorname { s i n }`; text is `\mathrm { a ~ b }`. What cannot be
parsed becomes empty. `Defects` lists what damages the formula; each can be turned off.
"""

import dataclasses
import re

from mmjax.text import latex_tree
from mmjax.text.latex_tree import (
  Array,
  Command,
  Group,
  Infix,
  MalformedError,
  Node,
  Script,
  Scripted,
  Symbol,
)


@dataclasses.dataclass(frozen=True)
class Defects:
  r"""Known defects of im2markup's normaliser; all on, as its labels have them.

  Attributes:
    percent_cuts: a formula ends at its first `\%`, as at a comment.
    breaks_to_spaces: `\\` becomes `\,` in a formula without array, matrix or cases.
    last_script_wins: of two superscripts only the last stays, so that `x'^2` loses its prime.
    root_index_lost: the index of a root is printed as `[object Object]`.
    greek_spelled: a small Greek letter in roman type falls apart, `\mathrm { \ m u }`.
    roman_rewritten: `{\rm` is replaced as text by `\mathrm{`, so that `\frac{\rm a}{b}` has no
      argument in braces any more and is lost.
    breaks_outside_lost: a formula with an array and a `\\` or `&` outside it is lost.
    columns_lost: an array with columns other than `l`, `c`, `r` and `|` is lost.
    lines_doubled: an argument in braces of `\overline` and `\underline` gets a second pair.
  """

  percent_cuts: bool = True
  breaks_to_spaces: bool = True
  last_script_wins: bool = True
  root_index_lost: bool = True
  greek_spelled: bool = True
  roman_rewritten: bool = True
  breaks_outside_lost: bool = True
  columns_lost: bool = True
  lines_doubled: bool = True


AS_PUBLISHED = Defects()


def _commands(names: str) -> frozenset[str]:
  return frozenset("\\" + name for name in names.split())


_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|\s|.)|\s+|---?|.", re.S)
_PLAIN = "\0"  # ends a token that is to stand for itself, whatever it means to the parser
# KaTeX of that age does not know these, and prints them as they come.
_UNKNOWN = frozenset((r"\sp", r"\sb", r"\atop", r"\brace", r"\brack", r"\buildrel"))
_TEXTS = frozenset((r"\mbox", r"\hbox", r"\vbox", r"\text"))
_OLD_ARRAYS = {r"\matrix": "matrix", r"\pmatrix": "pmatrix", r"\cases": "cases"}
_FENCED = {"pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "vmatrix": ("|", "|"),
           "Vmatrix": (r"\Vert", r"\Vert"), "Bmatrix": (r"\{", r"\}"), "cases": (r"\{", ".")}
_OPERATORS = _commands(
  "arcsin arccos arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln log sec sin sinh tan "
  "tanh")
_LIMIT_OPERATORS = _commands("det gcd inf lim liminf limsup max min Pr sup")
_SYMBOL_OPERATORS = _commands(
  "coprod bigvee bigwedge biguplus bigcap bigcup int intop prod sum bigotimes bigoplus bigodot "
  "oint bigsqcup smallint")
_GREEK = _commands(
  "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma "
  "tau upsilon phi chi psi omega varepsilon vartheta varpi varrho varsigma varphi")
_FRACTIONS = {r"\frac": r"\frac", r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\over": r"\frac",
              r"\binom": r"\binom", r"\choose": r"\binom"}
_FONTS = frozenset(latex_tree.FONTS) - {r"\mathnormal", r"\boldsymbol", r"\bm"}
_ACCENTS = _commands("acute grave ddot tilde bar breve check hat vec dot")
# All that follows in the group belongs to a switch, a fraction without braces too.
_SWITCHES = _commands(
  "rm bf cal it sf tt tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge")
# Commands that take a bare command as their argument only if it binds more tightly.
_GREEDY = frozenset((*_FONTS, *_FRACTIONS, *_TEXTS, r"\stackrel"))

_Job = str | tuple[Node, bool]  # a token, or a node and whether it is in roman type


def normalise(latex: str, defects: Defects = AS_PUBLISHED) -> list[str]:
  """Tokens of a formula in normal form; none where it cannot be parsed.

  Args:
    latex: raw LaTeX of one formula, without dollar signs or environment around it.
    defects: of the original to reproduce.
  """
  try:
    tokens = _lex(_rewrite(latex, defects))
    tree = latex_tree.parse(tokens)
    out = _Printer(defects).print(tree)
  except MalformedError:
    return []
  return _without_label([token for token in out if token.isascii()])


def _rewrite(latex: str, defects: Defects) -> str:
  """What the original does to the text before it parses it."""
  line = re.sub(r"hskip(.*?)(cm|in|pt|mm|em)", r"hspace{\1\2}", latex.replace("\r", " ").strip())
  line = re.sub(r"^%", "", line)
  line = re.split("%" if defects.percent_cuts else r"(?<!\\)%", line, maxsplit=1)[0]
  line = re.sub(r"\\label\{.*?\}", "", re.sub(r"\\~|\\>|\$", " ", line))
  arrays = any(word in line for word in ("matrix", "cases", "array", "begin"))
  if defects.breaks_to_spaces and not arrays:
    line = line.replace(r"\\", r"\,")
  if defects.roman_rewritten:
    line = re.sub(r"\{ ?\\rm|\\rm\{", r"\\mathrm{", line)
  return line


def _lex(line: str) -> list[str]:
  """Tokens; blanks are kept, as `~`, in text, where scripts and primes mean nothing either."""
  tokens: list[str] = []
  ends: list[tuple[str, str]] = []  # what closes each open brace, and the kind of group
  pending = ""  # the kind of group that the next brace opens
  for token in _TOKEN.findall(line):
    text = bool(ends) and ends[-1][1] == "text"
    if token.isspace():
      if text:
        tokens.append("~" + _PLAIN)
      continue
    if token == "{":
      kind = pending or ("text" if text else "math")
      array = kind not in ("text", "math")
      tokens.append(rf"\begin{{{kind}}}" if array else token)
      ends.append((rf"\end{{{kind}}}" if array else "}", "math" if array else kind))
    elif token == "}" and ends:
      tokens.append(ends.pop()[0])
    elif token in _OLD_ARRAYS:
      pending = _OLD_ARRAYS[token]
      continue
    elif token in _UNKNOWN or (text and token in ("_", "^", "'", "&")):
      tokens.append(token + _PLAIN)
    elif token[1:2].isspace():
      tokens.append("\\")
    elif token[1:2].isalpha() and token[-1] == "*" and token != r"\operatorname*":
      tokens += [token[:-1], "*"]
    else:
      tokens.append(token)
    pending = "text" if token in _TEXTS else ""
  return tokens


def _without_label(tokens: list[str]) -> list[str]:
  """Tokens without the first label; one with a blank before its brace has come this far."""
  start = tokens.index(r"\label") if r"\label" in tokens else len(tokens)
  if tokens[start + 1 : start + 2] != ["{"] or "}" not in tokens[start:]:
    return tokens
  return tokens[:start] + tokens[tokens.index("}", start) + 1 :]


class _Printer:
  """Prints a tree as im2markup does, with a stack of what is still to be printed."""

  def __init__(self, defects: Defects):
    self.defects = defects

  def print(self, tree: Group) -> list[str]:
    out: list[str] = []
    jobs: list[_Job] = [(tree, False)]
    while jobs:
      job = jobs.pop()
      if isinstance(job, str):
        out.append(job)
      else:
        jobs.extend(reversed(self._jobs(*job)))
    return out

  def _jobs(self, node: Node, roman: bool) -> list[_Job]:
    if isinstance(node, Symbol):
      return [*self._symbol(node.token, roman)]
    if isinstance(node, Group):
      inner = self._row(node.items, roman)
      return [*_joined(node.opening), *inner, *_joined(node.closing)]
    if isinstance(node, Scripted):
      return self._scripted(node, roman)
    if isinstance(node, Infix):
      return self._infix(node, roman)
    if isinstance(node, Array):
      return self._array(node, roman)
    return self._command(node, roman)

  def _symbol(self, token: str, roman: bool) -> list[str]:
    if token in _OPERATORS or token in _LIMIT_OPERATORS:
      name = r"\operatorname" if token in _OPERATORS else r"\operatorname*"
      return [name, "{", *token[1:], "}"]
    if token in (*latex_tree.ROW_BREAKS, "&") and self.defects.breaks_outside_lost:
      raise MalformedError(f"{token} outside of an array")
    if roman and token in _GREEK and self.defects.greek_spelled:
      return [*token]
    return [token.removesuffix(_PLAIN)]

  def _row(self, items: list[Node], roman: bool) -> list[_Job]:
    r"""Items of a group; `\rm` puts all that follow it into roman type."""
    for at, item in enumerate(items):
      if isinstance(item, Symbol) and item.token == r"\rm":
        rest = Group(items[at + 1 :])
        return [*((i, roman) for i in items[:at]), r"\mathrm", "{", (rest, True), "}"]
    return [(item, roman) for item in items]

  def _scripted(self, node: Scripted, roman: bool) -> list[_Job]:
    base: Node = node.base
    scripts = [s for s in node.scripts if s.mark not in latex_tree.LIMITS]
    out: list[_Job] = []
    if isinstance(base, Group) and not base.opening and scripts:
      # A script of nothing is printed as it comes; its argument, or the prime, takes the others.
      first, *scripts = scripts
      if first.argument is None:
        base = Symbol(first.mark)
      else:
        out, base = [first.mark], first.argument
    sub = None
    sup: list[Script] = []
    for script in scripts:
      if script.mark == "_":
        sub = script.argument
      elif self.defects.last_script_wins and sup and not (script.mark == "'" == sup[-1].mark):
        sup = [script]
      else:
        sup.append(script)
    out.append((base, roman))
    if sub is not None:
      out += ["_", *self._braced(sub, roman)]
    if sup:
      primes: list[Node] = [Symbol(r"\prime") for s in sup if s.mark == "'"]
      written = [s.argument for s in sup if s.argument is not None]
      whole = written[0] if written and not primes else Group(
        [*primes, *(i for group in written for i in group.items)], ("{",), ("}",))
      out += ["^", *self._braced(whole, roman)]
    return out

  def _braced(self, argument: Group, roman: bool) -> list[_Job]:
    if argument.opening:
      return [(argument, roman)]
    self._refuse_function(argument, greedy=False)
    return ["{", (argument, roman), "}"]

  def _refuse_function(self, argument: Group, greedy: bool) -> None:
    """KaTeX takes a function as a bare argument only of one that binds less tightly."""
    if argument.opening:
      return
    item = argument.items[0]
    name = item.name if isinstance(item, Command) else getattr(item, "token", "")
    function = (name in _GREEDY or name in _ACCENTS or name in _OPERATORS
                or name in _LIMIT_OPERATORS or name in _SYMBOL_OPERATORS
                or name in (r"\sqrt", r"\overline", r"\underline"))
    if function and (greedy or name not in _GREEDY):
      raise MalformedError(f"{name} as an argument without braces")

  def _infix(self, node: Infix, roman: bool) -> list[_Job]:
    above = node.above.items
    start = max((i + 1 for i, item in enumerate(above)
                 if isinstance(item, Symbol) and item.token in _SWITCHES), default=0)
    numerator, denominator = (
      items[0] if len(items) == 1 and isinstance(items[0], Group) and items[0].opening == ("{",)
      else Group(items, ("{",), ("}",)) for items in (above[start:], node.below.items))
    # Through a row of its own, so that a \rm before the fraction holds it.
    fraction = Command(_FRACTIONS[node.name], [numerator, denominator])
    return [(Group([*above[:start], fraction]), roman)]

  def _command(self, node: Command, roman: bool) -> list[_Job]:
    name, arguments = node.name, node.arguments
    if name in _FRACTIONS or name in _FONTS or name in _TEXTS or name == r"\stackrel":
      for argument in arguments:
        self._refuse_function(argument, greedy=True)
    if name in _FRACTIONS:
      return [_FRACTIONS[name], *((a, roman) for a in arguments)]
    if name in _TEXTS:
      return [r"\mathrm", (arguments[0], False)]
    if name in _FONTS:
      return [name, (arguments[0], name == r"\mathrm")]
    if name in _ACCENTS:
      return [name, *self._braced(arguments[0], roman)]
    if name in (r"\overline", r"\underline"):
      self._refuse_function(arguments[0], greedy=False)
      if arguments[0].opening and not self.defects.lines_doubled:
        return [name, (arguments[0], roman)]
      return [name, "{", (arguments[0], roman), "}"]
    if name == r"\phantom":
      return [name, "{", (Group(arguments[0].items), roman), "}"]
    if name == r"\sqrt" and len(arguments) == 2:
      index: list[_Job] = [(Group(arguments[0].items), roman)]
      if self.defects.root_index_lost:
        index = ["[object", "Object]"]
      return [name, "[", *index, "]", (arguments[1], roman)]
    if name == r"\rule":
      return [name, *(part for a in arguments for part in _length(a))]
    return [name, *((a, roman) for a in arguments)]

  def _array(self, node: Array, roman: bool) -> list[_Job]:
    left, right = _FENCED.get(node.name, ("", ""))
    name = "matrix" if node.name.endswith("matrix") else node.name
    out: list[_Job] = [r"\left" + left] if left else []
    out.append(rf"\begin{{{name}}}")
    if name in ("array", "tabular"):
      columns = node.opening[node.opening.index("{", node.opening.index("}")) + 1 : -1]
      if self.defects.columns_lost and not set(columns) <= set("lcr|"):
        raise MalformedError(f"columns {columns}")
      out += ["{", *columns, "}"]
    for number, row in enumerate(node.rows):
      if number:
        _drop_length(row[0])
      if len(row) == 1 and not row[0].items:
        continue
      first = row[0].items
      if first and isinstance(first[0], Symbol) and first[0].token == r"\hline":
        out.append(r"\hline")
        row = [Group(first[1:]), *row[1:]]
      for column, cell in enumerate(row):
        out += ["&"] if column else []
        out += ["{", (Group(cell.items), roman), "}"]
      out.append(r"\\")
    out.append(rf"\end{{{name}}}")
    return [*out, r"\right" + right] if right else out


def _joined(tokens: tuple[str, ...]) -> list[str]:
  r"""`\left` and its delimiter as one token; other tokens around a group as they are."""
  return ["".join(tokens)] if tokens else []


def _drop_length(cell: Group) -> None:
  """Removes the length of the row break before a cell: [ 6 p t ]."""
  tokens = [i.token if isinstance(i, Symbol) else "" for i in cell.items]
  if tokens[:1] == ["["] and "]" in tokens:
    del cell.items[: tokens.index("]") + 1]


def _length(argument: Group) -> list[str]:
  """A length as number and unit, each one token."""
  text = "".join(latex_tree.write(argument)[1:-1])
  match = re.fullmatch(r"([-+]?)(\d+\.?\d*|\.\d+)([a-z]+)", text)
  if match is None:
    raise MalformedError(f"length {text}")
  return ["{", f"{float(match[1] + match[2]):g}", match[3], "}"]
