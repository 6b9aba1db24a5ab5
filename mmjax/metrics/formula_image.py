"""Scores of printed formulas by their pictures, as im2markup's (Deng et al., ICML 2017).

Both sides are rendered and compared column by column, so that all ways to write what prints the
same are one. The scores depend on the renderer, whose name is therefore among them.
"""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from mmjax.metrics import edit, formula_pairs, formula_renderer
from mmjax.metrics.formula_renderer import Picture, Renderer
from mmjax.metrics.measured import Measured, Scores

_DARK = 128  # gray values up to it are ink
_SAME = 5  # columns with fewer pixels that differ are the same
_RUN = 5  # shorter runs of columns that differ do not count


def measure(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str | None],
    renderer: Renderer | None = None,
    processes: int = 1,
    cache: pathlib.Path | None = None,
    as_published: bool = False,
) -> Measured:
  """Edit score of pixel columns, and shares of formulas that look the same.

  Samples none of whose references can be drawn are left out, as im2markup does. Of several
  references the nearest counts.

  Args:
    references: for each sample one or more strings of LaTeX.
    hypotheses: one such string for each sample, or None where it was dropped; that, an empty one,
      and one that cannot be drawn have no columns and are wrong.
    renderer: of `formula_renderer.find`; None for the best there is.
    processes: that draw and compare at the same time.
    cache: folder that keeps pictures from call to call; None for none.
    as_published: columns that only the hypothesis has never make it wrong, however many: a slip of
      im2markup's script, which published shares have.

  Returns:
    Statistics whose scores (0..1) are `image_edit`: 1 - sum of edit distances of columns / sum of
    the larger numbers of columns; `image_exact`: share of pictures that are the same, but for up to
    four pixels a column and runs of up to four columns; `image_exact_no_space`: the same without
    blank columns; and, with the renderer's name, `drawn_NAME` and `references_drawn_NAME`: shares
    of hypotheses, and of samples, that could be drawn.

  Raises:
    ValueError: no samples, lengths that differ, a sample without reference, or no reference that
      can be drawn.
  """
  formula_pairs.check(references, hypotheses)
  renderer = renderer or formula_renderer.find()
  written = [h if h and h.strip() else None for h in hypotheses]
  formulas = [f for sample in references for f in sample] + [h for h in written if h is not None]
  pictures = formula_renderer.render(formulas, renderer, processes, cache)
  jobs = [
    ([p for r in sample if (p := pictures[r]) is not None],
     None if hypothesis is None else pictures[hypothesis])
    for sample, hypothesis in zip(references, written)]
  compared = formula_renderer.map_over(
    functools.partial(_row, as_published=as_published), jobs, processes)
  statistics = np.array([*compared], np.float64)
  if not statistics[:, 1].any():
    raise ValueError(
      f"{renderer.name} can draw none of {len(references)} references; the first is "
      f"{references[0][0]!r}")
  return Measured(statistics, functools.partial(_summarise, name=renderer.name))


def compare(
    reference: Picture, hypothesis: Picture, as_published: bool = False
) -> tuple[int, bool, bool]:
  """How two pictures differ.

  Args:
    reference, hypothesis: [h w] gray, black on white; their tops are aligned.
    as_published: whether columns that only the hypothesis has never count for the other two.

  Returns:
    Edit distance of columns; whether the pictures are the same within the tolerances; and whether
    they are without their blank columns.
  """
  height = max(reference.shape[0], hypothesis.shape[0])
  first, second = _columns(reference, height), _columns(hypothesis, height)
  distance = edit.edit_distance([c.tobytes() for c in first], [c.tobytes() for c in second])
  exact = not distance or _alike(first, second, as_published)
  first, second = first[first.any(1)], second[second.any(1)]
  no_space = len(first) == len(second) == 0 or (
    min(len(first), len(second)) > 0 and _alike(first, second, as_published))
  return distance, exact, no_space


def _row(pair: tuple[list[Picture], Picture | None], as_published: bool) -> list[float]:
  """Statistics of a sample: 1, reference drawn, hypothesis drawn, distance, columns, shares."""
  references, hypothesis = pair
  if not references:
    return [1.0, *[0.0] * 6]
  if hypothesis is None:
    columns = min(r.shape[1] for r in references)
    return [1.0, 1.0, 0.0, columns, columns, 0.0, 0.0]
  results = [compare(r, hypothesis, as_published) for r in references]
  nearest = min(range(len(results)), key=lambda i: results[i][0])
  columns = max(references[nearest].shape[1], hypothesis.shape[1])
  return [1.0, 1.0, 1.0, results[nearest][0], columns,
          float(any(r[1] for r in results)), float(any(r[2] for r in results))]


def _columns(picture: Picture, height: int) -> UInt8[np.ndarray, "w bytes"]:
  """Columns of ink, a bit each pixel, all of one height."""
  ink = np.zeros((picture.shape[1], height), bool)
  ink[:, : picture.shape[0]] = (picture <= _DARK).T
  return np.packbits(ink, axis=1)


def _alike(
    first: UInt8[np.ndarray, "v bytes"], second: UInt8[np.ndarray, "w bytes"], as_published: bool
) -> bool:
  """Whether all runs of columns that differ are short."""
  kinds = _kinds(np.concatenate([first, second]))
  for width, other in differing_runs(kinds[: len(first)], kinds[len(first) :]):
    if (width if as_published else max(width, other)) >= _RUN:
      return False
  return True


def _kinds(columns: UInt8[np.ndarray, "n bytes"]) -> list[int]:
  """A number for each column; nearly equal ones share that of the first of them."""
  numbers: dict[bytes, int] = {}
  seen = np.zeros_like(columns)
  count = 0
  for column in columns:
    key = column.tobytes()
    if key in numbers:
      continue
    near: Bool[np.ndarray, " n"] = np.bitwise_count(seen[:count] ^ column).sum(1) < _SAME
    if near.any():
      numbers[key] = int(near.argmax())
    else:
      numbers[key] = count
      seen[count] = column
      count += 1
  return [numbers[c.tobytes()] for c in columns]


def differing_runs(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
  """Lengths in both sequences of the runs of one kind of edit in a shortest script.

  Which of the shortest scripts follows python-Levenshtein's editops of its time: from the end
  back, a run of insertions or deletions goes on as long as it can; else a match is taken before a
  substitution, that before an insertion, that before a deletion.
  """
  start = 0
  while start < min(len(first), len(second)) and first[start] == second[start]:
    start += 1
  end = 0
  while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
    end += 1
  a, b = first[start : len(first) - end], second[start : len(second) - end]
  table = _table(a, b)
  i, j = len(a), len(b)
  runs: list[tuple[int, int]] = []
  before, going = "", ""  # the edit of the step before, and an insertion or deletion going on
  while i or j:
    cost = table[i, j]
    left = j and cost == table[i, j - 1] + 1
    up = i and cost == table[i - 1, j] + 1
    if going == "insert" and left:
      step = "insert"
    elif going == "delete" and up:
      step = "delete"
    elif i and j and a[i - 1] == b[j - 1] and cost == table[i - 1, j - 1]:
      step = "keep"
    elif i and j and cost == table[i - 1, j - 1] + 1:
      step = "replace"
    else:
      step = "insert" if left else "delete"
    width, other = int(step in ("delete", "replace")), int(step in ("insert", "replace"))
    if step == before and runs and step != "keep":
      runs[-1] = runs[-1][0] + width, runs[-1][1] + other
    elif step != "keep":
      runs.append((width, other))
    going = step if step in ("insert", "delete") else ""
    before = step
    i -= step != "insert"
    j -= step != "delete"
  return runs[::-1]


def _table(a: Sequence[int], b: Sequence[int]) -> np.ndarray:
  """Edit distances of all pairs of beginnings, [len(a) + 1, len(b) + 1]."""
  columns = np.asarray(b, np.int64)
  steps = np.arange(len(b) + 1)
  table = np.empty((len(a) + 1, len(b) + 1), np.int64)
  table[0] = steps
  for row, item in enumerate(a, 1):
    new = table[row - 1] + 1
    new[1:] = np.minimum(new[1:], table[row - 1, :-1] + (columns != item))
    table[row] = np.minimum.accumulate(new - steps) + steps
  return table


def _summarise(sums: Float[np.ndarray, "*R S"], name: str) -> Scores:
  count, references, drawn, distance, columns, exact, no_space = np.moveaxis(sums, -1, 0)
  some = np.maximum(references, 1)
  return {
    "image_edit": 1 - distance / np.maximum(columns, 1),
    "image_exact": exact / some,
    "image_exact_no_space": no_space / some,
    f"drawn_{name}": drawn / some,
    f"references_drawn_{name}": references / count,
  }
