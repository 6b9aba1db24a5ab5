"""On which line, and how large, each row of a written formula stands.

Every symbol reaches from one height to another above and below the line that it is written on, in
sizes of that line: those heights, the same for all lines, and each line's size and place are fitted
in turns, so that the digits of a line of size 1 reach from 0 to 1 above it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from data_pipelines.builders.crohme_composed import rows
from data_pipelines.builders.crohme_composed.handwriting import Written, box, union
from data_pipelines.builders.crohme_composed.rows import Fraction, Row, Scripts

GREEK = frozenset((
    r"\alpha", r"\beta", r"\gamma", r"\theta", r"\pi", r"\phi", r"\mu", r"\sigma", r"\lambda"))
ROUNDS = 8
SCRIPT_SIZE = 0.55  # of a script that nothing tells the size of, in sizes of its base's line
SCRIPT_DOWN = {"sub": 0.2, "sup": 0.1}  # from the base's bottom or top to that script's line
AXIS = 0.45  # of a size above its line lies the bar of a fraction that stands alone


class Line(NamedTuple):
  """A place y (downwards, as the strokes) and a size; `sure` where symbols tell, not guesses."""

  y: float
  size: float
  sure: bool


def measures(token: str) -> bool:
  """Whether a symbol tells the size of its line: letters and digits, not what grows or floats."""
  return (len(token) == 1 and token.isalnum()) or token in GREEK


def all_rows(row: Row) -> Iterator[Row]:
  """A row and all rows within it, each after the one that it is in."""
  yield row
  for inner in rows.rows_in(row):
    yield from all_rows(inner)


def fit(written: Sequence[Written]) -> list[dict[int, Line]]:
  """For each formula the lines of its rows, by the `id` of the row, without those nothing tells."""
  lines, tokens, tops, bottoms = [], [], [], []
  names: dict[str, int] = {}
  of_row: list[tuple[int, int]] = []  # formula, id of the row
  for number, formula in enumerate(written):
    for row in all_rows(formula.row):
      own = [s for s in rows.on_line(row) if measures(s.token)]
      for sign in own:
        lines.append(len(of_row))
        tokens.append(names.setdefault(sign.token, len(names)))
        _, top, _, bottom = box(formula.strokes[sign])
        tops.append(top)
        bottoms.append(bottom)
      if own:
        of_row.append((number, id(row)))
  digits = np.array([name.isdigit() for name in names])
  size, y = _fit(np.array(lines), np.array(tokens), np.array(tops), np.array(bottoms), digits)
  found: list[dict[int, Line]] = [{} for _ in written]
  for (number, key), s, b in zip(of_row, size, y):
    if s > 0:
      found[number][key] = Line(float(b), float(s), True)
  for formula, known in zip(written, found):
    every = list(all_rows(formula.row))
    for row in reversed(every):
      guessed = None if id(row) in known else _guess(row, formula, known)
      if guessed is not None:
        known[id(row)] = guessed
    for row in every:
      if id(row) in known:
        _guess_scripts(row, formula, known)
  return found


def _fit(
    line: Int[np.ndarray, " S"],
    token: Int[np.ndarray, " S"],
    top: Float[np.ndarray, " S"],
    bottom: Float[np.ndarray, " S"],
    digits: np.ndarray,
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " L"]]:
  """Size and place of each line, from heights of symbols, downwards."""
  if not len(line):
    return np.zeros(0), np.zeros(0)
  count = np.bincount(line)
  alone = count[line] == 1
  high, low = np.full(len(digits), -1.0), np.zeros(len(digits))
  both = np.concatenate([line, line])
  found = np.concatenate([top, bottom])
  for _ in range(ROUNDS):
    at = np.concatenate([high[token], low[token]])
    # The regression of heights found on heights of the symbols, of all lines at once.
    n, sum_x, sum_y = 2 * count, np.bincount(both, at), np.bincount(both, found)
    xx, xy = np.bincount(both, at * at), np.bincount(both, at * found)
    size = (n * xy - sum_x * sum_y) / np.maximum(n * xx - sum_x**2, 1e-9)
    y = (sum_y - size * sum_x) / n
    good = (size[line] > 0) & ~alone
    for t in range(len(digits)):
      own = good & (token == t)
      if own.sum() >= 3:
        high[t] = np.median((top[own] - y[line[own]]) / size[line[own]])
        low[t] = np.median((bottom[own] - y[line[own]]) / size[line[own]])
    if digits.any():
      one, zero = high[digits].mean(), low[digits].mean()
      high, low = ((h - zero) / (zero - one) for h in (high, low))
  return size, y


def _guess(row: Row, formula: Written, known: Mapping[int, Line]) -> Line | None:
  """A row without letters or digits on its line: as large as what is in its fractions and roots."""
  inner = [known[id(r)] for r in rows.rows_in(row) if id(r) in known]
  if not inner:
    return None
  size = float(np.mean([line.size for line in inner]))
  for item in row:
    base = item.base if isinstance(item, Scripts) else item
    if isinstance(base, Fraction):
      bar = box(formula.strokes[base.bar])
      return Line(float(bar[1] + bar[3]) / 2 + AXIS * size, size, False)
  return Line(float(np.mean([line.y for line in inner])), size, False)


def _guess_scripts(row: Row, formula: Written, known: dict[int, Line]) -> None:
  """Adds lines of scripts of a row that have no letters or digits (primes, infinities, signs)."""
  line = known[id(row)]
  for item in rows.items_on_line(row):
    if not isinstance(item, Scripts):
      continue
    base = union([box(formula.strokes[s]) for s in rows.signs_of(item.base)])
    for name, script, edge in (("sub", item.sub, base[3]), ("sup", item.sup, base[1])):
      if script and id(script) not in known:
        y = float(edge) + SCRIPT_DOWN[name] * line.size
        known[id(script)] = Line(y, SCRIPT_SIZE * line.size, False)
