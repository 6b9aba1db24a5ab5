r"""A rule that keeps every hypothesis the beginning of well-formed LaTeX.

A pushdown automaton over the words of a vocabulary: what `mmjax.text.latex_tree` parses, written
left to right, in arrays. A frame is an open run of items: the formula, a brace, an optional
argument, what is between `\left` and `\right`, or a cell of an array. It knows which scripts its
last item has, whether it has an `\over`, and how many arguments its last command or script still
waits for. Braces, fences and environments always close, arguments are never missing, no item has
two scripts of one kind, and enough room is left to finish.

It is narrower than the parser where that accepts what is no LaTeX, or reads several tokens as one:
`&` and `\\` stand in arrays alone; `\begin { name }` in several tokens, `\raisebox` and `\buildrel`
are never written; columns are of the letters l, c, r and bars.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mmjax.text import latex_tree
from mmjax.text.vocabulary import EOS, SPECIALS, Vocabulary

FRAMES = 24  # most that are open at once, the formula's apart
ARGUMENTS = 7  # most that a frame waits for

# Kinds of words.
(NEVER, STOP, SYMBOL, OPEN, CLOSE, BRACKET, CLOSE_BRACKET, COMMAND, SUB, SUP, MARK, LIMITS, INFIX,
 LEFT, LEFT_BARE, RIGHT, RIGHT_BARE, BEGIN, END, COLUMN_BREAK, ROW_BREAK) = range(21)  # fmt: skip

# What a frame is; environments count on from CELL.
FORMULA, BRACE, OPTION, FENCE, CELL = range(5)

# What comes next: the delimiter of a bare \left or \right; the brace of the columns of an array, or
# what is in it; an argument, which may be optional; an item, then 8 * frame + marks is added.
LEFT_DELIMITER, RIGHT_DELIMITER, COLUMNS_OPEN, COLUMNS, ARGUMENT, OPTIONAL, ITEM = range(7)

# What a word does to the frame.
STAY, ADD, PUSH, POP, POP_OPTION, CALL, SCRIPT, DIVIDE, NEXT_CELL = range(9)

SUB_MARK, SUP_MARK, INFIX_MARK = 1, 2, 4

_FORBIDDEN = 1 << 20  # a cost that no room is enough for
_KINDS = (
  {"{": OPEN, "}": CLOSE, "[": BRACKET, "]": CLOSE_BRACKET, "'": MARK, "&": COLUMN_BREAK}
  | dict.fromkeys(latex_tree.SUB, SUB) | dict.fromkeys(latex_tree.SUP, SUP)
  | dict.fromkeys(latex_tree.LIMITS, LIMITS) | dict.fromkeys(latex_tree.INFIXES, INFIX)
  | dict.fromkeys(latex_tree.ROW_BREAKS, ROW_BREAK)
  | {r"\begin": NEVER, r"\end": NEVER, r"\buildrel": NEVER}
)  # fmt: skip
_DELIMITERS = frozenset((
  *"()[]|/.<>", r"\{", r"\}", r"\|", r"\langle", r"\rangle", r"\lfloor", r"\rfloor", r"\lceil",
  r"\rceil", r"\lbrace", r"\rbrace", r"\lbrack", r"\rbrack", r"\vert", r"\Vert", r"\lvert",
  r"\rvert", r"\lVert", r"\rVert", r"\uparrow", r"\downarrow", r"\updownarrow", r"\backslash"))


class Frame(NamedTuple):
  """An open run of items."""

  kind: Int[Array, "*B"]  # FORMULA .. CELL + number of the environment
  marks: Int[Array, "*B"]  # scripts of the last item, and whether there is an infix
  waits: Int[Array, "*B"]  # arguments that are missing
  options: Int[Array, "*B"]  # optional ones that may come first
  script: Int[Array, "*B"]  # mark that the last item gets when none is missing any more, or 0


class State(NamedTuple):
  """Of each hypothesis."""

  frame: Frame  # the innermost
  outer: Int[Array, "B R F"]  # those around it, packed
  depth: Int[Array, "B R"]  # their number
  mode: Int[Array, "B R"]  # LEFT_DELIMITER .. COLUMNS, or ITEM
  need: Int[Array, "B R"]  # words to the nearest end
  written: Int[Array, "B R"]


class _Tables(NamedTuple):
  """What words do, by what comes next and word."""

  cost: np.ndarray  # [2 C, V] change of `need`, or _FORBIDDEN; then the same where frames are full
  action: np.ndarray  # [C, V]
  mode: np.ndarray  # [C, V] after it
  frame: np.ndarray  # [C, V] that is pushed
  arguments: np.ndarray  # [V] of a command
  options: np.ndarray  # [V]
  script: np.ndarray  # [V] mark of _ and ^


@dataclasses.dataclass(frozen=True)
class LatexGrammar:
  """The rule for texts of one vocabulary.

  Attributes:
    vocabulary: its words.
    max_length: most words of a text, which is finished then.

  Raises:
    ValueError: the vocabulary has no braces, or nothing to put in them.
  """

  vocabulary: Vocabulary
  max_length: int

  def __post_init__(self):
    words = set(self.vocabulary.words)
    if not {"{", "}"} <= words or all(_kind(w)[0] != SYMBOL for w in words):
      raise ValueError(
          "config.decode.grammar is True, but the vocabulary lacks braces or symbols: it is not one"
          " of LaTeX"
      )

  def init(self, batch: int, rows: int) -> State:
    zero = jnp.zeros((batch, rows), jnp.int32)
    outer = jnp.zeros((batch, rows, FRAMES), jnp.int32)
    return State(Frame(*[zero] * 5), outer, zero, zero + ITEM, zero, zero)

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    cost = self._tables.cost
    full = (state.depth == FRAMES) | (state.frame.waits > ARGUMENTS - 2)  # commands have up to 3
    room = self.max_length - state.written - state.need
    return jnp.asarray(cost)[_next(state) + full * (len(cost) // 2)] < room[..., None]

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    tables, at = self._tables, (_next(state), token)
    look = lambda table: jnp.asarray(table)[at if table.ndim == 2 else token]
    action = look(tables.action)
    pushes, pops = action == PUSH, (action == POP) | (action == POP_OPTION)

    place = jnp.arange(FRAMES)
    innermost = jnp.take_along_axis(state.outer, (state.depth - 1)[..., None], 2, mode="clip")
    frame = _select(pops, _unpack(innermost[..., 0]), state.frame)
    frame = _select((action == ADD) | (action == POP), _with_item(frame), frame)
    frame = frame._replace(options=frame.options - (action == POP_OPTION))
    waiting = frame.waits > 0
    called = frame._replace(
        waits=jnp.maximum(frame.waits - 1, 0) + look(tables.arguments),
        options=look(tables.options),
        script=jnp.where(waiting, frame.script, 0),
    )
    frame = _select(action == CALL, called, frame)
    one, none = jnp.ones_like(token), jnp.zeros_like(token)
    scripted = frame._replace(waits=one, options=none, script=look(tables.script))
    frame = _select(action == SCRIPT, scripted, frame)
    marks = jnp.where(action == DIVIDE, INFIX_MARK, frame.marks)
    frame = frame._replace(marks=jnp.where(action == NEXT_CELL, 0, marks))

    here = pushes[..., None] & (place == state.depth[..., None])
    outer = jnp.where(here, _pack(frame)[..., None], state.outer)
    frame = _select(pushes, Frame(look(tables.frame), none, none, none, none), frame)
    return State(
        frame,
        outer,
        state.depth + pushes - pops,
        look(tables.mode),
        state.need + look(tables.cost[: len(tables.cost) // 2]),
        state.written + 1,
    )

  @functools.cached_property
  def _tables(self) -> _Tables:
    words = [*SPECIALS, *self.vocabulary.words]
    kinds, arguments, options = (np.array(x) for x in zip(*map(_kind, words)))
    kinds[: len(SPECIALS)] = NEVER
    kinds[EOS] = STOP
    among = lambda *some: np.isin(kinds, some)

    names = [w[7:-1] for w in words if w.startswith(r"\begin{") and r"\end" + w[6:] in words]
    environment = np.array([
        names.index(w[w.index("{") + 1 : -1])
        if w.startswith((r"\begin{", r"\end{")) and w[w.index("{") + 1 : -1] in names
        else -1
        for w in words
    ])
    kinds[among(BEGIN, END) & (environment < 0)] = NEVER
    columned = np.array([name.rstrip("*") in latex_tree.WITH_COLUMNS for name in names], bool)
    columned = among(BEGIN) & np.append(columned, False)[environment]
    delimiters = np.array([w in _DELIMITERS for w in words])
    columns = np.array([w in ("l", "c", "r", "|") for w in words])
    if not delimiters.any():
      kinds[among(LEFT_BARE, RIGHT_BARE)] = NEVER
    if not among(RIGHT, RIGHT_BARE).any():
      kinds[among(LEFT, LEFT_BARE)] = NEVER

    count = ITEM + 8 * (CELL + len(names))
    cost = np.full((count, len(words)), _FORBIDDEN)
    action, mode = np.full(cost.shape, STAY), np.full(cost.shape, ITEM)
    frame = np.zeros(cost.shape, int)

    def allow(code: int, which: np.ndarray, price, does: int = STAY, then: int = ITEM, push=0):
      price = np.broadcast_to(price, which.shape)[which]
      cost[code, which], action[code, which] = price, does
      mode[code, which], frame[code, which] = then, np.broadcast_to(push, which.shape)[which]

    def allow_items(code: int, filled: int) -> None:
      r"""Items where `filled` arguments (0 or 1) are missing less with each; `]` is one."""
      symbols = among(SYMBOL, BRACKET, CLOSE_BRACKET) | (among(MARK) & bool(filled))
      allow(code, symbols, -filled, ADD)
      allow(code, among(COMMAND), arguments - filled, CALL)
      allow(code, among(OPEN), 1 - filled, PUSH, push=BRACE)
      allow(code, among(LEFT), close_fence - filled, PUSH, push=FENCE)
      allow(code, among(LEFT_BARE), 1 + close_fence - filled, PUSH, LEFT_DELIMITER, FENCE)
      allow(code, among(BEGIN) & ~columned, 1 - filled, PUSH, push=CELL + environment)
      allow(code, columned, 3 - filled, PUSH, COLUMNS_OPEN, CELL + environment)

    close_fence = 1 if among(RIGHT).any() else 2
    allow(LEFT_DELIMITER, delimiters, -1)
    allow(RIGHT_DELIMITER, delimiters, -1, POP)
    allow(COLUMNS_OPEN, among(OPEN), -1, STAY, COLUMNS)
    allow(COLUMNS, columns, 0, STAY, COLUMNS)
    allow(COLUMNS, among(CLOSE), -1)
    allow_items(ARGUMENT, 1)
    allow_items(OPTIONAL, 1)
    cost[OPTIONAL, among(BRACKET)] = _FORBIDDEN
    if among(CLOSE_BRACKET).any():
      allow(OPTIONAL, among(BRACKET), 1, PUSH, push=OPTION)
    for kind in range(CELL + len(names)):
      for marks in range(8):
        code = ITEM + 8 * kind + marks
        allow_items(code, 0)
        allow(code, among(MARK, LIMITS), 0)
        allow(code, among(SUB) & (not marks & SUB_MARK), 1, SCRIPT)
        allow(code, among(SUP) & (not marks & SUP_MARK), 1, SCRIPT)
        allow(code, among(INFIX) & (not marks & INFIX_MARK), 0, DIVIDE)
        if kind == FORMULA:
          allow(code, among(STOP), -1)  # it takes no room
        elif kind == BRACE:
          allow(code, among(CLOSE), -1, POP)
        elif kind == OPTION:
          allow(code, among(CLOSE_BRACKET), -1, POP_OPTION)
        elif kind == FENCE:
          allow(code, among(RIGHT), -close_fence, POP)
          allow(code, among(RIGHT_BARE), 1 - close_fence, STAY, RIGHT_DELIMITER)
        else:
          allow(code, among(COLUMN_BREAK, ROW_BREAK), 0, NEXT_CELL)
          allow(code, among(END) & (environment == kind - CELL), -1, POP)
    full = np.where((action == PUSH) | (action == CALL), _FORBIDDEN, cost)
    script = np.select([among(SUB), among(SUP)], [SUB_MARK, SUP_MARK], 0)
    small = lambda x: x.astype(np.int32)
    return _Tables(*map(small, (
        np.concatenate([cost, full]), action, mode, frame, arguments, options, script
    )))  # fmt: skip


def accepts(
    rule: LatexGrammar, tokens: Int[Array, "B N L"], lengths: Int[Array, "B N"]
) -> Bool[Array, "B N"]:
  """Whether `rule` allows each text word by word, and the stop behind it."""

  def one(carry, token):
    state, good, at = carry
    there = at < lengths
    word = jnp.where(there, token, EOS)
    fits = jnp.take_along_axis(rule.mask(state), word[..., None], 2)[..., 0]
    keep = lambda new, old: jnp.where(jnp.expand_dims(there, range(2, new.ndim)), new, old)
    state = jax.tree.map(keep, rule.advance(state, word), state)
    return (state, good & fits, at + 1), None

  first = rule.init(*lengths.shape), jnp.ones(lengths.shape, bool), jnp.int32(0)
  (state, good, _), _ = jax.lax.scan(one, first, jnp.moveaxis(tokens, -1, 0))
  return good & (state.need == 0)


def _kind(word: str) -> tuple[int, int, int]:
  """(kind, arguments, optional arguments) of a word."""
  if word in latex_tree.ARGUMENTS:
    missing = latex_tree.ARGUMENTS[word]
    needed = missing.lstrip("o")
    return (NEVER if "o" in needed else COMMAND), len(needed), len(missing) - len(needed)
  if word in _KINDS:
    return _KINDS[word], 0, 0
  for name, kind in ((r"\left", LEFT), (r"\right", RIGHT)):
    if word.startswith(name) and not word[len(name) : len(name) + 1].isalpha():
      return kind + (word == name), 0, 0
  for name, kind in ((r"\begin{", BEGIN), (r"\end{", END)):
    if word.startswith(name):
      return kind, 0, 0
  return SYMBOL, 0, 0


def _next(state: State) -> Int[Array, "B R"]:
  """Row of the tables."""
  frame = state.frame
  item = ITEM + 8 * frame.kind + frame.marks
  argument = jnp.where(frame.options > 0, OPTIONAL, ARGUMENT)
  code = jnp.where(frame.waits > 0, argument, item)
  return jnp.where(state.mode < ITEM, state.mode, code)


def _with_item(frame: Frame) -> Frame:
  """With one more item, or the next of the arguments that it waits for."""
  waits = jnp.maximum(frame.waits - 1, 0)
  script = jnp.where(frame.waits > 0, frame.script, 0)
  ended = jnp.where(script > 0, frame.marks | script, frame.marks & INFIX_MARK)
  marks = jnp.where(waits > 0, frame.marks, ended)
  return frame._replace(marks=marks, waits=waits, options=jnp.zeros_like(waits))


def _select(condition, yes: Frame, no: Frame) -> Frame:
  return Frame(*(jnp.where(condition, a, b) for a, b in zip(yes, no)))


def _pack(frame: Frame) -> Int[Array, "B R"]:
  kind, marks, waits, options, script = frame
  return (((kind * 8 + marks) * 8 + waits) * 4 + options) * 4 + script


def _unpack(x: Int[Array, "B R"]) -> Frame:
  return Frame(x >> 10, (x >> 7) & 7, (x >> 4) & 7, (x >> 2) & 3, x & 3)
