"""Reads a table of pictures and texts whose columns are found by name."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterator

from data_pipelines.builders.captions import Findings
from data_pipelines.builders.sources import read_lines

TABLES = (".csv", ".tsv", ".jsonl")
PICTURE = ("image", "picture", "file", "file_name", "filename", "path")
SPLIT, LANGUAGE = ("split",), ("language", "lang")
SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the table; `where` it stands, and "" for a column that is not there."""

  where: str
  picture: str
  texts: list[str]
  split: str
  language: str


@dataclasses.dataclass(frozen=True)
class Columns:
  """Names of the columns, "" for one that is not there."""

  picture: str
  text: str
  split: str
  language: str


def read_table(
    directory: pathlib.Path, text_columns: tuple[str, ...], findings: Findings
) -> tuple[str, str, list[Row]]:
  """Name of the table, name of its column of texts, and its rows; none if it is unusable."""
  tables = sorted(
      p.name for p in directory.iterdir() if p.suffix in TABLES and not p.name.startswith(".")
  )
  if len(tables) != 1:
    found = f"found {', '.join(tables)}: leave one" if tables else "there is none"
    findings.problems.add("the table of texts", f"must be one .csv, .tsv or .jsonl file; {found}")
    return "", "", []
  (file,) = tables
  entries = list(_entries(directory, file, findings))
  if not entries:
    findings.problems.add(file, "has no rows")
    return file, "", []
  header = list(entries[0][1])
  columns = Columns(
      _column(file, header, PICTURE, "pictures", findings),
      _column(file, header, text_columns, "texts", findings),
      _column(file, header, SPLIT, "", findings),
      _column(file, header, LANGUAGE, "", findings),
  )
  if not columns.picture or not columns.text:
    return file, "", []
  rows = [_row(file, where, entry, columns, findings) for where, entry in entries]
  return file, columns.text, [r for r in rows if r is not None]


def _column(
    file: str, header: list[str], names: tuple[str, ...], needed: str, findings: Findings
) -> str:
  """The one of `names` in `header`; "" if there is none, a problem where it is `needed`."""
  found = [n for n in names if n in header]
  if len(found) > 1:
    findings.problems.add(file, f"columns {' and '.join(found)} mean the same: leave one")
  if not found and needed:
    known = f"its columns are {', '.join(header)}; it must be one of {', '.join(names)}"
    findings.problems.add(file, f"has no column for the {needed}: {known}")
  return found[0] if found else ""


def _row(
    file: str, where: str, entry: dict, columns: Columns, findings: Findings
) -> Row | None:
  texts = entry.get(columns.text)
  texts = [texts] if isinstance(texts, str) else texts
  if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
    findings.problems.add(file, f"no text or list of texts in {columns.text}", where)
    return None
  values = {}
  for column in (columns.picture, columns.split, columns.language):
    value = entry.get(column)
    if column and not (isinstance(value, str) and value.strip()):
      findings.problems.add(file, f"nothing in {column}", where)
      return None
    values[column] = str(value).strip() if column else ""
  name, split = values[columns.picture], values[columns.split]
  path = pathlib.PurePosixPath(name)
  if path.is_absolute() or ".." in path.parts:
    findings.problems.add(file, "picture outside the folder", f"{name} ({where})")
  elif split and split not in SPLITS:
    findings.problems.add(file, f"split that is none of {', '.join(SPLITS)}", f"{split} ({where})")
  else:
    return Row(where, name, texts, SPLITS.get(split, ""), values[columns.language])
  return None


def _entries(
    directory: pathlib.Path, file: str, findings: Findings
) -> Iterator[tuple[str, dict]]:
  """Where each row of the table stands, and its values by column, in small letters."""
  lines = read_lines(directory, file, findings.problems)
  if file.endswith(".jsonl"):
    yield from _json_entries(file, lines, findings)
    return
  text = (f"{line}\n" for line in lines)
  if file.endswith(".tsv"):
    # Quotes mean nothing there, so that LaTeX and captions may have them.
    reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
  else:
    reader = csv.reader(text, strict=True)
  try:
    header = [name.strip().lower() for name in next(reader, [])]
    for values in reader:
      if len(values) == len(header):
        yield f"line {reader.line_num}", dict(zip(header, values))
      elif values:
        wrong = f"not {len(header)} columns as in the first line"
        findings.problems.add(file, wrong, f"line {reader.line_num}")
  except csv.Error as error:
    findings.problems.add(file, f"is not a sound table ({error})", f"line {reader.line_num}")


def _json_entries(
    file: str, lines: list[str], findings: Findings
) -> Iterator[tuple[str, dict]]:
  for number, line in enumerate(lines, start=1):
    try:
      entry = json.loads(line)
    except json.JSONDecodeError as error:
      findings.problems.add(file, "not JSON", f"line {number} ({error.msg})")
      continue
    if isinstance(entry, dict):
      yield f"line {number}", {str(k).strip().lower(): v for k, v in entry.items()}
    else:
      findings.problems.add(file, "not a JSON object", f"line {number}")
