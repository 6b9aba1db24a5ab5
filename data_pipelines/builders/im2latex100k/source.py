"""Reads and checks the lists of IM2LATEX-100K in the forms in which it is handed on."""

import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable

from data_pipelines.builders.im2latex100k import tex
from data_pipelines.builders.ink import Place, crop, find_pictures, halve, ink
from data_pipelines.builders.parts import ItemError
from data_pipelines.builders.sources import Problems
from data_pipelines.builders.supplied import count_deviations, record
from data_pipelines.builders.texts import is_there, named, read_words, text_lines
from mmjax.text import im2markup

NAMES = {"train": "train", "validation": "validate", "test": "test"}  # ours -> the files'
PUBLISHED = {"train": 83_884, "validation": 9_320, "test": 10_355}
FILTERED = {"train": 75_275, "validation": 8_370, "test": 10_355}  # _filter lists, CSV files
_PREFIXES = ("im2latex_", "")  # of the lists' names
REPEATED = {"train": 14}  # images that the published list names twice, with other formulas
UNKNOWN = "<UNK>"
TEX = "+tex"  # ends the ids of pictures drawn here

# (archive or folder, whether its pictures are whole pages)
PICTURES = (
    ("formula_images_processed", False),
    ("formula_images_processed.zip", False),
    ("sample_images.zip", False),
    ("formula_images", True),
    ("formula_images.zip", True),
)

LAYOUT = """\
IM2LATEX-100K is not downloaded: put it into one directory laid out in one of these ways (text files
may be gzipped, name.gz).

im2markup's files (github.com/harvardnlp/im2markup; Zenodo record 56198):
  im2latex_formulas.norm.lst        a normalised formula a line (or im2latex_formulas.lst, raw)
  im2latex_{train,validate,test}_filter.lst  lines "<image>.png <line>": 75,275, 8,370, 10,355
    (or im2latex_{train,validate,test}.lst   lines "<line> <image> basic": 83,884, 9,320, 10,355)
  formula_images_processed/         <image>.png, black on white (or formula_images/, whole pages)

The files of the Kaggle copy:
  im2latex_{train,validate,test}.csv  columns formula, image
  formula_images_processed/

Tables:
  sample_labels.tsv                 lines "<split><TAB><image><TAB>normalised formula<TAB>..."
  formulas_{train,validate,test}.norm.tsv    lines "<image><TAB>normalised formula"
  sample_images.zip or formula_images_processed/

vocab.txt or latex_vocab.txt, where there is one, gives the words and their order."""


@dataclasses.dataclass(frozen=True)
class Formula:
  """One record to be made: its words and where its picture lies (None: it is to be drawn)."""

  id: str
  text: str
  place: Place | None
  page: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
  """What was found.

  Attributes:
    splits: formulas of `train`, `validation`, `test` in the order of the lists.
    words: of the vocabulary file; empty without one.
    labels: "normalised", or "normalised here" from a raw list.
    deviations: from what was published.
    left_out: rows of the published lists that give no record, as they always do.
  """

  splits: dict[str, list[Formula]]
  words: list[str]
  labels: str
  deviations: list[str]
  left_out: list[str]


def read_source(directory: str | pathlib.Path, render: bool = False) -> Source:
  """Reads the lists of a directory laid out as `LAYOUT` and finds the pictures.

  Args:
    directory: the manual directory.
    render: whether formulas without a picture are to be drawn.

  Raises:
    SourceError: something is missing or damaged; names all of it.
  """
  directory, problems = pathlib.Path(directory), Problems("IM2LATEX-100K", LAYOUT)
  if is_there(directory, "im2latex_train.csv"):
    rows, published, labels = _read_csv(directory, problems), FILTERED, "normalised"
  elif formulas := _formula_list(directory):
    rows, published = _read_lists(directory, formulas, problems)
    labels = "normalised" if "norm" in formulas else "normalised here"
  else:
    rows, published, labels = _read_tables(directory, problems, render), PUBLISHED, "normalised"
  places, page = _find_pictures(directory, problems, needed=not render)
  words = _read_vocabulary(directory, problems)
  problems.raise_any(directory)

  splits, deviations, left_out = {}, [], []
  for split, of_split in rows.items():
    unusable = collections.Counter[str]()
    formulas_of_split: dict[str, Formula] = {}
    lacking = []
    for name, text in of_split:
      if not text:
        unusable["without a formula"] += 1
      elif UNKNOWN in text.split():
        unusable["with an unknown word"] += 1
      elif name in formulas_of_split or name + TEX in formulas_of_split:
        unusable["that repeat an earlier one"] += 1
      elif name in places:
        formulas_of_split[name] = Formula(name, text, places[name], page)
      elif render:
        formulas_of_split[name + TEX] = Formula(name + TEX, text, None)
      else:
        lacking.append(name)
    splits[split] = list(formulas_of_split.values())
    left_out += [f"{split}: {n:,} rows {why}" for why, n in unusable.items()]
    deviations += count_deviations({split: len(of_split)}, {split: published[split]})
    if lacking:
      deviations.append(f"{split}: {len(lacking):,} formulas without picture: {named(lacking)}")
  for split in (s for s, formulas in splits.items() if not formulas):
    problems.add(split, "has no formula with a picture")
  problems.raise_any(directory)
  return Source(splits, words, labels, deviations, left_out)


def make(formula: Formula) -> dict:
  """The record of a formula; its picture is white on black.

  Raises:
    ItemError: the picture cannot be used or drawn.
  """
  try:
    if formula.place is None:
      picture = tex.draw(formula.text)
    else:
      picture = ink(formula.place.read(), paper="light")
      if formula.page:
        picture = halve(crop(picture, tex.MARGIN))
  except ValueError as error:
    raise ItemError(str(error)) from error
  return record(formula.id, picture, formula.text)


Rows = dict[str, list[tuple[str, str]]]  # (image, text) of each split


def _read_csv(directory: pathlib.Path, problems: Problems) -> Rows:
  rows: Rows = {}
  for split, name in NAMES.items():
    file = f"im2latex_{name}.csv"
    lines = io.StringIO("\n".join(text_lines(directory, file, problems)), newline="")
    table = csv.DictReader(lines, strict=True)
    rows[split] = []
    try:
      if not {"formula", "image"} <= set(table.fieldnames or ()):
        if table.fieldnames:
          problems.add(file, "has no columns formula and image in its first line")
        continue
      for line in table:
        if None in line.values() or None in line or not line["image"].strip():
          problems.add(file, "not as many fields as columns, or no image", f"line {table.line_num}")
        else:
          rows[split].append((_stem(line["image"]), " ".join(line["formula"].split())))
    except csv.Error as error:
      problems.add(file, f"is no CSV ({error})", f"line {table.line_num}")
    _check_repeats(file, rows[split], problems, allowed=REPEATED.get(split, 0))
  return rows


def _formula_list(directory: pathlib.Path) -> str:
  """The list of formulas, normalised before raw; "" if there is none."""
  names = {p.name.removesuffix(".gz") for p in directory.glob("*formulas*.lst*")}
  return min(names, key=lambda n: ("norm" not in n, n), default="")


def _read_lists(
    directory: pathlib.Path, formulas: str, problems: Problems
) -> tuple[Rows, dict[str, int]]:
  """Rows, and how many were published of the kind of lists there are."""
  texts = text_lines(directory, formulas, problems, latin=True)
  split_words = str.split if "norm" in formulas else im2markup.normalise
  lists = [f"{prefix}{name}_filter.lst" for name in NAMES.values() for prefix in _PREFIXES]
  filtered = any(is_there(directory, file) for file in lists)
  rows: Rows = {}
  for split, name in NAMES.items():
    name = f"{name}_filter.lst" if filtered else f"{name}.lst"
    file = next((p + name for p in _PREFIXES if is_there(directory, p + name)), _PREFIXES[0] + name)
    rows[split] = []
    for number, line in enumerate(text_lines(directory, file, problems), start=1):
      fields = line.split()
      if len(fields) == 2 and fields[1].isdigit():
        image, at = _stem(fields[0]), int(fields[1])
      elif len(fields) == 3 and fields[0].isdigit():
        image, at = fields[1], int(fields[0])
      else:
        problems.add(file, 'not "<image>.png <line>" or "<line> <image> basic"', f"line {number}")
        continue
      if at < len(texts):
        rows[split].append((image, " ".join(split_words(texts[at]))))
      elif texts:  # a missing list is one problem, not one for each row
        problems.add(file, f"line that {formulas} of {len(texts):,} lines lacks", f"{image} ({at})")
    _check_repeats(file, rows[split], problems, allowed=REPEATED.get(split, 0))
  return rows, FILTERED if filtered else PUBLISHED


def _read_tables(directory: pathlib.Path, problems: Problems, render: bool) -> Rows:
  """The sample's labels, then what the tables of the splits have besides."""
  rows: Rows = {split: [] for split in NAMES}
  sample = "sample_labels.tsv"
  if is_there(directory, sample):
    ours = {name: split for split, name in NAMES.items()}
    for number, line in enumerate(text_lines(directory, sample, problems), start=1):
      fields = line.split("\t")
      if len(fields) < 3 or fields[0] not in ours or not fields[1].strip():
        problems.add(sample, 'not "<split><TAB><image><TAB>formula"', f"line {number}")
      else:
        rows[ours[fields[0]]].append((_stem(fields[1]), " ".join(fields[2].split())))
  elif not any(is_there(directory, f"formulas_{name}.norm.tsv") for name in NAMES.values()):
    problems.add("im2latex_formulas.norm.lst", "is missing, and so is every other form's list")
    return rows
  for split, name in NAMES.items():
    if is_there(directory, f"formulas_{name}.norm.tsv"):
      rows[split] += _read_table(directory, f"formulas_{name}.norm.tsv", rows[split], problems)
    _check_repeats(sample, rows[split], problems)
  if render:
    rows["train"] += _read_nameless(directory, rows, problems)
  return rows


def _read_table(
    directory: pathlib.Path, file: str, known: Iterable[tuple[str, str]], problems: Problems
) -> list[tuple[str, str]]:
  """Rows of images that are not among the `known`."""
  rows, had = [], {image for image, _ in known}
  for number, line in enumerate(text_lines(directory, file, problems), start=1):
    image, tab, text = line.partition("\t")
    if not tab or not image.strip():
      problems.add(file, 'not "<image><TAB>formula"', f"line {number}")
    elif _stem(image) not in had:
      rows.append((_stem(image), " ".join(text.split())))
  return rows


def _read_nameless(
    directory: pathlib.Path, rows: Rows, problems: Problems
) -> list[tuple[str, str]]:
  """Formulas of train that come without the names of their pictures, and are in no split yet."""
  had, found = {text for split in rows.values() for _, text in split}, []
  for path in sorted(directory.glob("formulas_train*.norm.txt*")):
    file = path.name.removesuffix(".gz")
    for number, line in enumerate(text_lines(directory, file, problems), start=1):
      text = " ".join(line.split())
      if text not in had:
        had.add(text)
        found.append((f"{file.split('.')[0]}-{number:05d}", text))
  return found


def _check_repeats(
    file: str, rows: list[tuple[str, str]], problems: Problems, allowed: int = 0
) -> None:
  counts = collections.Counter(image for image, _ in rows)
  repeated = [image for image, count in counts.items() if count > 1]
  if len(repeated) > allowed:
    for image in repeated:
      problems.add(file, "repeated image", image)


def _find_pictures(
    directory: pathlib.Path, problems: Problems, needed: bool
) -> tuple[dict[str, Place], bool]:
  """Places by name, and whether they are whole pages."""
  for name, page in PICTURES:
    if (directory / name).exists():
      return find_pictures(directory, name, problems), page
  if needed:
    packed = [p.name for p in directory.glob("formula_images*.tar*")]
    remedy = f": unpack {packed[0]}" if packed else ", and so is every other place of pictures"
    problems.add("formula_images_processed", f"is missing{remedy}")
  return {}, False


def _read_vocabulary(directory: pathlib.Path, problems: Problems) -> list[str]:
  for file in ("vocab.txt", "latex_vocab.txt"):
    if is_there(directory, file):
      return read_words(directory, file, problems)
  return []


def _stem(image: str) -> str:
  return image.strip().rsplit("/", 1)[-1].removesuffix(".png")
