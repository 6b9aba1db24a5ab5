"""LaTeX formulas as tokens, and one canonical form for the ways to write the same formula."""

import re
from collections.abc import Sequence
from typing import TypeGuard

from mmjax.text import latex_tree
from mmjax.text.latex_tree import Command, Group, Infix, Node, Script, Scripted, Symbol

_TOKEN = re.compile(r"\\\s|\\[A-Za-z]+|\\\S|\S")

# These act on all of the group around them, so that its braces are never redundant.
_GROUP_WIDE = frozenset((
  r"\rm", r"\bf", r"\it", r"\cal", r"\displaystyle", r"\textstyle", r"\scriptstyle",
  r"\scriptscriptstyle"))
_ORDER = dict.fromkeys(latex_tree.SUB, 0) | {"'": 1} | dict.fromkeys(latex_tree.SUP, 2)


def tokenize(latex: str) -> list[str]:
  r"""Tokens of raw or space-separated LaTeX as CROHME captions have them: `\frac`, `\{`, `x`.

  Whitespace is dropped, the control space (a backslash and a blank) with it.
  """
  return [t for t in _TOKEN.findall(latex) if not t[-1].isspace()]


def detokenize(tokens: Sequence[str]) -> str:
  """The tokens joined by single spaces, as caption files have them."""
  return " ".join(tokens)


def normalise(tokens: Sequence[str]) -> list[str]:
  r"""One canonical form for token lists that print the same formula.

  `\limits` is dropped; a subscript comes before its superscript; arguments of scripts and commands
  are braced once; other braces stay only where they show (`{ x ^ { 2 } } ^ { 3 }`, `{ } ^ { 2 }`).
  A list that is no formula (unbalanced braces, missing arguments, two superscripts) comes back
  with `\limits` dropped and nothing else changed. Never raises; idempotent.
  """
  kept = [t for t in tokens if t != r"\limits"]
  try:
    return latex_tree.write(canonical(latex_tree.parse(kept)))
  except latex_tree.MalformedError:
    return kept


def canonical(tree: Group) -> Group:
  """The tree that `normalise` writes; changes and returns `tree`."""
  for node in reversed(latex_tree.compounds(tree)):  # what is inside a node comes before it
    if isinstance(node, Group):
      _without_redundant_groups(node)
    elif isinstance(node, Command):
      node.arguments = [a for a in map(_braced, node.arguments) if a.items or a.opening == ("{",)]
    elif isinstance(node, Script) and node.argument is not None:
      node.argument = _braced(node.argument)
  return tree


def _braced(argument: Group) -> Group:
  """An argument in braces, or in its brackets; one in brackets may hold none that would end it."""
  if argument.opening == ("[",):
    if "]" in latex_tree.write(argument)[:-1]:
      argument.items = [Group(argument.items, ("{",), ("}",))]
  else:
    argument.opening, argument.closing = ("{",), ("}",)
  return argument


def _without_redundant_groups(group: Group) -> None:
  """Replaces braced groups by what they hold, where that prints the same, and orders scripts."""
  out: list[Node] = []
  for item in group.items:
    if isinstance(item, Scripted):
      scripts = [s for s in item.scripts if s.mark not in latex_tree.LIMITS]
      scripts.sort(key=lambda s: _ORDER[s.mark])
      if scripts:
        out += _with_scripts(item.base, scripts)
        continue
      item = item.base
    out += item.items if _is_redundant(item) else [item]
  if len(out) == 1 and isinstance(out[0], Group) and out[0].opening == ("{",):
    out = out[0].items
  for at, item in enumerate(out):
    if isinstance(item, Scripted) and isinstance(item.base, Group) and not item.base.items:
      # An empty base goes without saying at the start of a run.
      item.base = Group([], ("{",), ("}",)) if at else Group([])
  group.items = out


def _is_redundant(item: Node) -> TypeGuard[Group]:
  """Whether an item is a group whose braces change nothing, scripts apart."""
  return isinstance(item, Group) and item.opening in ((), ("{",)) and not any(
    isinstance(i, Infix) or (isinstance(i, Symbol) and i.token in _GROUP_WIDE) for i in item.items)


def _with_scripts(base: Node, scripts: list[Script]) -> list[Node]:
  """Scripts of a group stand at its last item: { d x } ^ { 2 } is d x ^ { 2 }."""
  if not _is_redundant(base) or not base.items:
    return [Scripted(base, scripts)]
  *first, last = base.items
  if isinstance(last, Scripted):
    last = Group([last], ("{",), ("}",))
  return [*first, Scripted(last, scripts)]
