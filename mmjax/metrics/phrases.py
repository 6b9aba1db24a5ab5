"""The phrases of FineCapEval: what annotators saw in a picture, by category."""

from pathlib import Path

from mmjax.metrics.files import FileError, read_columns

Phrases = dict[str, tuple[list[str], ...]]  # of each picture, those of each of `CATEGORIES`

CATEGORIES = ("background", "object", "relation")
SEPARATOR = "\\;"  # of phrases in a cell
# Cells that the published scorer, which reads by pandas, takes for empty: it skips their rows.
NOTHING = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip


def read_phrases(path: Path | str) -> Phrases:
  """Phrases of each picture in a file of FineCapEval's layout.

  A row has an image, a caption, and of each category phrases that stand apart by a backslash and a
  semicolon; a row with a cell of `NOTHING` is skipped, as are phrases of one character.

  Raises:
    FileError: the file cannot be read, or lacks a column.
  """
  phrases: Phrases = {}
  try:
    rows = read_columns(path, ("caption", *CATEGORIES))
  except FileError as e:
    wanted = ", ".join(("image", "caption", *CATEGORIES))
    raise FileError(f"{e}; fine_cap_eval scores by a file that has the columns {wanted}") from e
  for name, cells in rows:
    found = phrases.setdefault(name, tuple([] for _ in CATEGORIES))
    if NOTHING & set(cells):
      continue
    for cell, kept in zip(cells[1:], found):
      kept += [phrase for phrase in cell.lower().split(SEPARATOR) if len(phrase) > 1]
  return phrases
