"""Reads a user's own folder: pictures and a table of their texts."""

import dataclasses
import hashlib
import pathlib

from data_pipelines.builders.captions import Captioned, Captions, Findings, pair, unclaimed
from data_pipelines.builders.files import PICTURES, Stored, list_files
from data_pipelines.builders.folder.table import PICTURE, SPLITS, Row, read_table
from data_pipelines.builders.sources import read_lines
from mmjax.text.latex import tokenize
from mmjax.text.vocabulary import SPECIALS

CAPTION = ("caption", "captions", "text", "texts")
TOKENS, LATEX = ("tokens", "formula", "text"), ("latex",)
HELD_OUT = 0.05  # for each of validation and test, where no column says the split
DICTIONARY = "dictionary.txt"

TABLE = """\
A folder of your own needs

  texts.csv (or .tsv, or .jsonl; any name, but only one)    a table with the names of its columns
  pictures, JPEG or PNG, in the folder or in folders in it

Columns, found by name, in any order:

  {picture}
      a picture by its name in the folder or in images/
{text}
  split
      train, validation or test; without it a twentieth of the pictures goes to validation and
      another to test, by a hash of the {key}, the same in every run"""
CAPTION_LAYOUT = TABLE.format(
    picture=", ".join(PICTURE),
    text="""\
  caption, captions, text, texts
      a caption, in .jsonl also a list of captions; more rows for a picture give it more captions
  language, lang
      of the caption ("en", "fr"); without it "zh" where it has a Chinese character, else "en\"""",
    key="picture's name",
)
FORMULA_LAYOUT = TABLE.format(
    picture=", ".join(PICTURE),
    text="""\
  tokens, formula, text
      the tokens of the formula, separated by blanks
  latex
      instead of these: a formula as LaTeX, which is split into tokens here""",
    key="formula",
) + """

dictionary.txt, the words one a line, may be given, too; without it they are the tokens of all
splits, sorted."""


def read_captions(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
  """The pictures of each split in the order of the table, with the captions of all their rows."""
  file, _, rows = read_table(directory, CAPTION, findings)
  pictures, rows = _find_pictures(directory, rows, findings)
  merged: dict[str, list[Row]] = {}
  for row in rows:
    merged.setdefault(row.picture, []).append(row)
  splits: dict[str, list[Captions]] = {}
  for name, mine in merged.items():
    found: list[tuple[str, str]] = []
    for row in mine:
      texts = findings.captions(file, f"{name} ({row.where})", row.texts)
      found += [(text, row.language or _language(text)) for text in texts]
    if len({row.split for row in mine}) > 1:
      findings.problems.add(file, "picture in two splits", f"{name} ({mine[-1].where})")
    split = mine[0].split or held_out(_id(name))
    captions = Captions(_id(name), name, tuple(t for t, _ in found), tuple(x for _, x in found))
    splits.setdefault(split, []).append(captions)
  return _with_pictures(file, splits, rows, pictures, findings)


def read_formulas(
    directory: pathlib.Path, findings: Findings
) -> tuple[dict[str, list[Captioned]], list[str]]:
  """The pictures of each split in the order of the table, each with its tokens; and all words."""
  file, column, rows = read_table(directory, TOKENS + LATEX, findings)
  pictures, rows = _find_pictures(directory, rows, findings)
  words: dict[str, None] = {}
  if (directory / DICTIONARY).exists():
    lines = read_lines(directory, DICTIONARY, findings.problems)
    words = dict.fromkeys(line.strip() for line in lines)
  splits: dict[str, list[Captions]] = {}
  used: set[str] = set()
  seen: set[str] = set()
  for row in rows:
    if row.picture in seen:
      findings.problems.add(file, "two formulas for a picture", f"{row.picture} ({row.where})")
    seen.add(row.picture)
    tokens: list[str] = []
    for text in findings.captions(file, f"{row.picture} ({row.where})", row.texts):
      tokens += tokenize(text) if column in LATEX else text.split()
    _check_tokens(file, row, tokens, words, findings)
    used.update(tokens)
    formula = " ".join(tokens)
    split = row.split or held_out(formula)  # by formula: all its pictures go together
    captions = Captions(_id(row.picture), row.picture, (formula,) if formula else (), ())
    splits.setdefault(split, []).append(captions)
  return _with_pictures(file, splits, rows, pictures, findings), list(words) or sorted(used)


def held_out(key: str) -> str:
  """The split of a picture whose table says none."""
  share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
  if share < HELD_OUT:
    return "test"
  return "validation" if share < 2 * HELD_OUT else "train"


def _check_tokens(
    file: str, row: Row, tokens: list[str], words: dict[str, None], findings: Findings
) -> None:
  for token in dict.fromkeys(tokens):
    where = f"{token} of {row.picture} ({row.where})"
    if token in SPECIALS:
      findings.problems.add(file, "token with a special meaning", where)
    elif words and token not in words:
      findings.problems.add(file, f"token not in {DICTIONARY}", where)
    elif not words and len(tokenize(token)) > 1 and set(token) & set("{}^_"):
      wrong = 'tokens not separated by blanks (call the column "latex" to have them separated)'
      findings.problems.add(file, wrong, where)


def _find_pictures(
    directory: pathlib.Path, rows: list[Row], findings: Findings
) -> tuple[dict[str, Stored], list[Row]]:
  """All pictures by their path in the folder, and the rows with such paths."""
  files = list_files(directory, ".", findings.problems)
  pictures = {n: s for n, s in files.items() if n.lower().endswith(PICTURES)}
  if not pictures:
    findings.problems.add("the folder", "has no picture (JPEG or PNG)")
  found = []
  for row in rows:
    inside = f"images/{row.picture}"
    elsewhere = row.picture not in pictures and inside in pictures
    found.append(dataclasses.replace(row, picture=inside) if elsewhere else row)
  return pictures, found


def _with_pictures(
    file: str,
    splits: dict[str, list[Captions]],
    rows: list[Row],
    pictures: dict[str, Stored],
    findings: Findings,
) -> dict[str, list[Captioned]]:
  if not rows or not pictures:
    return {}
  if not rows[0].split and not {"train", "validation"} <= splits.keys():
    few = f"{len(rows)} rows are too few to hold {HELD_OUT:.0%} of them out: add a column split"
    findings.problems.add(file, few)
  unclaimed(pictures, {row.picture for row in rows}, findings)
  return {
      split: pair(file, splits[split], pictures, findings)
      for split in dict.fromkeys(SPLITS.values())
      if split in splits
  }


def _id(picture: str) -> str:
  return picture.rsplit(".", 1)[0]


def _language(text: str) -> str:
  return "zh" if any("\u4e00" <= c <= "\u9fff" for c in text) else "en"
