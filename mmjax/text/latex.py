"""LaTeX formulas as tokens, and one canonical form for the ways to write the same formula."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

_TOKEN = re.compile(r"\\\s|\\[A-Za-z]+|\\\S|\S")

# Commands that take arguments; any other word stands for itself, as \cos does.
_ONE_ARGUMENT = (
  r"\sqrt", r"\overline", r"\underline", r"\overbrace", r"\underbrace", r"\overrightarrow",
  r"\overleftarrow", r"\hat", r"\widehat", r"\bar", r"\vec", r"\dot", r"\ddot", r"\tilde",
  r"\widetilde", r"\check", r"\boxed", r"\mathrm", r"\mathbf", r"\mathit", r"\mathsf", r"\mathcal",
  r"\mathbb", r"\mathfrak", r"\mbox", r"\text", r"\operatorname", r"\begin", r"\end")
_TWO_ARGUMENTS = (
  r"\frac", r"\dfrac", r"\tfrac", r"\binom", r"\overset", r"\underset", r"\stackrel")
_ARGUMENTS = dict.fromkeys(_ONE_ARGUMENT, 1) | dict.fromkeys(_TWO_ARGUMENTS, 2)

# These act on all of the group around them, so that its braces are never redundant.
_GROUP_WIDE = (
  r"\over", r"\atop", r"\choose", r"\rm", r"\bf", r"\it", r"\cal", r"\displaystyle",
  r"\textstyle", r"\scriptstyle")


class _MalformedError(ValueError):
  """The tokens are no formula."""


@dataclasses.dataclass
class _Item:
  """A symbol, a command with its arguments, or a braced group, with its scripts."""

  base: list[str]
  group: list["_Item"] | None = None  # of a braced group; `base` is then what the braces hold
  scripts: dict[str, list[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _List:
  """An open run of items; `close` is the token that ends it, None for the whole formula's."""

  close: str | None
  items: list[_Item] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Call:
  """A command, `_` or `^` that still waits for arguments."""

  name: str
  missing: int
  index: list[str] = dataclasses.field(default_factory=list)
  arguments: list[list[str]] = dataclasses.field(default_factory=list)


_Stack = list[Any]  # of _List and _Call, the innermost last


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
    return _write(_parse(kept))
  except _MalformedError:
    return kept


def _parse(tokens: list[str]) -> list[_Item]:
  """Items of the formula, by a stack rather than recursion: models write deep nonsense."""
  stack: _Stack = [_List(close=None)]
  for i, token in enumerate(tokens):
    top = stack[-1]
    if token == "{":
      stack.append(_List(close="}"))
    elif isinstance(top, _List) and token == top.close:
      _close(stack)
    elif token == "}":
      raise _MalformedError("a closing brace without its opening one")
    elif token in ("_", "^"):
      _open_script(stack, token)
    elif token in _ARGUMENTS:
      stack.append(_Call(token, _ARGUMENTS[token]))
    elif token == "[" and isinstance(top, _Call) and tokens[i - 1] == r"\sqrt":
      stack.append(_List(close="]"))
    else:
      _deliver(stack, _Item([token]))
  root = stack.pop()
  if stack or isinstance(root, _Call):
    raise _MalformedError("a brace is left open or an argument is missing")
  return _without_redundant_groups(root.items)


def _close(stack: _Stack) -> None:
  """Ends the run on top of the stack: a group, or the index of a root."""
  ended = stack.pop()
  items = _without_redundant_groups(ended.items)
  if ended.close == "]":
    stack[-1].index = _write(items)
  else:
    _deliver(stack, _Item(_write(items), group=items))


def _open_script(stack: _Stack, token: str) -> None:
  """Begins a script of the last item; at the start of a run, of an empty group."""
  top = stack[-1]
  if isinstance(top, _Call):
    raise _MalformedError("a script where an argument should be")
  if not top.items:
    top.items.append(_Item([], group=[]))
  if token in top.items[-1].scripts:
    raise _MalformedError("two scripts of one kind")
  stack.append(_Call(token, 1))


def _deliver(stack: _Stack, item: _Item) -> None:
  """Hands a finished item to what waits for it, and on as long as that finishes a command."""
  while isinstance(call := stack[-1], _Call):
    call.arguments.append(item.base)
    call.missing -= 1
    if call.missing:
      return
    stack.pop()
    if call.name in ("_", "^"):
      stack[-1].items[-1].scripts[call.name] = item.base
      return
    item = _Item(_write_call(call))
  stack[-1].items.append(item)


def _without_redundant_groups(items: list[_Item]) -> list[_Item]:
  """Items with each group replaced by what it holds, where that prints the same."""
  out = []
  for item in items:
    if item.group is None or any(
        member.group is None and member.base[0] in _GROUP_WIDE for member in item.group):
      out.append(item)
    elif not item.scripts:
      out.extend(item.group)
    elif not item.group:
      out.append(item)
    else:
      *first, last = item.group  # scripts of a group stand at its last item: { d x } ^ { 2 }
      alone = _Item(_write([last]), group=[last]) if last.scripts else last
      out.extend([*first, dataclasses.replace(alone, scripts=item.scripts)])
  if len(out) == 1 and out[0].group is not None and not out[0].scripts:
    return out[0].group
  return out


def _write(items: list[_Item]) -> list[str]:
  """Tokens of a run of items."""
  out: list[str] = []
  for item in items:
    if item.group is None:
      out += item.base
    elif item.base or out:  # an empty group at the start of a run goes without saying
      out += ["{", *item.base, "}"]
    for mark in ("_", "^"):
      if mark in item.scripts:
        out += [mark, "{", *item.scripts[mark], "}"]
  return out


def _write_call(call: _Call) -> list[str]:
  """Tokens of a command with its index, if any, and its arguments."""
  out = [call.name]
  if call.index:
    # A bracket inside the index would end it too soon.
    guarded = ["{", *call.index, "}"] if "]" in call.index else call.index
    out += ["[", *guarded, "]"]
  for argument in call.arguments:
    out += ["{", *argument, "}"]
  return out
