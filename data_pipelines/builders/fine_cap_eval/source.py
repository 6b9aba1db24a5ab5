"""Reads FineCapEval as it is supplied: a table of captions and phrases, and pictures."""

import csv
import pathlib

from data_pipelines.builders.captions import Captioned, Captions, Findings, pair, unclaimed
from data_pipelines.builders.files import list_files, pictures_in
from data_pipelines.builders.sources import read_lines

TABLE = "FineCapEval.csv"
COLUMNS = ["image", "caption", "background", "object", "relation"]
PLACES = ("images", "images.zip", "FineCapEval/images")
ROWS, PICTURES = 5_000, 1_000
CAPTIONS = 5  # of each picture

LAYOUT = """\
FineCapEval is not downloaded: put it into one directory laid out as

  FineCapEval.csv      columns image, caption, background, object, relation; 5,000 rows
  images/              the 1,000 pictures; or images.zip, or FineCapEval/images/

Its authors give both out in the folder of Google Drive that github.com/j-min/CLIP-Caption-Reward
names under "FineCapEval". For research, not for commercial use."""


def read_source(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
  """The pictures of the one split, in the order of the table."""
  texts = _read_table(directory, findings)
  places = [p for p in PLACES if (directory / p).exists()]
  if not places:
    findings.problems.add("images/", "is missing, and so is images.zip")
  listings = {p: list_files(directory, p, findings.problems) for p in places[:1]}
  pictures = pictures_in(listings, findings.problems)
  if places and not pictures:
    findings.problems.add(places[0], "holds no picture")
  if not (texts and pictures):
    return {}
  findings.count(TABLE, "pictures", len(texts), PICTURES)
  findings.count(TABLE, "rows", sum(map(len, texts.values())), ROWS)
  unclaimed(pictures, texts, findings)
  captions = []
  for file, of in texts.items():
    if len(of) != CAPTIONS:
      findings.gaps.add(TABLE, f"picture without {CAPTIONS} rows", file)
    kept = findings.captions(TABLE, file, of)
    # The published scorer and its files of captions call a picture by what is before its first dot.
    captions.append(Captions(file.split(".")[0], file, kept, ("en",) * len(kept)))
  return {"test": pair(TABLE, captions, pictures, findings)}


def _read_table(directory: pathlib.Path, findings: Findings) -> dict[str, list[str]]:
  """Captions of each picture in the order of the table."""
  lines = read_lines(directory, TABLE, findings.problems)
  rows = csv.reader((line + "\n" for line in lines), strict=True)
  texts: dict[str, list[str]] = {}
  try:
    header = [cell.strip() for cell in next(rows, [])]
    if lines and header != COLUMNS:
      wanted = f"its columns are {', '.join(header)}; they must be {', '.join(COLUMNS)}"
      findings.problems.add(TABLE, wanted)
      return {}
    for row in filter(None, rows):
      where = f"line {rows.line_num}"
      if len(row) != len(COLUMNS) or not row[0].strip():
        findings.problems.add(TABLE, f"row without {len(COLUMNS)} cells or without a name", where)
        continue
      texts.setdefault(row[0].strip(), []).append(row[1])
      if not all(cell.strip() for cell in row[1:]):
        findings.notes[f"{TABLE}: rows with an empty cell, which the published scorer skips"] += 1
  except csv.Error as error:
    findings.problems.add(TABLE, f"is not CSV ({error})", f"line {rows.line_num}")
  return texts
