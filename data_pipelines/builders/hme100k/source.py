"""Reads and checks the labels of HME100K and finds its photographs."""

import dataclasses
import pathlib

from data_pipelines.builders.ink import Place, find_pictures, ink
from data_pipelines.builders.parts import ItemError
from data_pipelines.builders.sources import UNREADABLE, Problems, open_archive
from data_pipelines.builders.supplied import count_deviations, record
from data_pipelines.builders.texts import is_there, named, read_words, split_lines, text_lines

SPLITS = ("train", "test")
PUBLISHED = {"train": 74_502, "test": 24_607}

LAYOUT = """\
HME100K is not downloaded: register at ai.100tal.com/dataset for it, and put into one directory

  train_labels.txt    lines "train_0.jpg<TAB>word word ...", 74,502; also train/train_labels.txt or
                      within train.zip
  test_labels.txt     likewise, 24,607
  train_images/       the photographs; also train/train_images/, train_images.zip or train.zip
  test_images/        likewise
  dictionary.txt      the words, one a line; may be left out

Labels may be gzipped (train_labels.txt.gz)."""


@dataclasses.dataclass(frozen=True)
class Formula:
  """One record to be made: its words and where its photograph lies."""

  id: str
  text: str
  place: Place


@dataclasses.dataclass(frozen=True)
class Source:
  """Formulas of `train` and `test` in label order; words of the dictionary, empty without one."""

  splits: dict[str, list[Formula]]
  words: list[str]
  deviations: list[str]


def read_source(directory: str | pathlib.Path) -> Source:
  """Reads the labels of a directory laid out as `LAYOUT` and finds the photographs.

  Raises:
    SourceError: something is missing or damaged; names all of it.
  """
  directory, problems = pathlib.Path(directory), Problems("HME100K", LAYOUT)
  splits: dict[str, list[Formula]] = {}
  deviations = []
  for split in SPLITS:
    labels = _read_labels(directory, split, problems)
    places = _find_photographs(directory, split, problems)
    splits[split] = [Formula(n, text, places[n]) for n, text in labels.items() if n in places]
    deviations += count_deviations({split: len(labels)}, {split: PUBLISHED[split]})
    lacking = [n for n in labels if n not in places]
    if labels and places and not splits[split]:
      problems.add(split, "has no label with a photograph")
    if lacking and places:
      deviations.append(f"{split}: {len(lacking):,} labels without photograph: {named(lacking)}")
    surplus = [n for n in places if n not in labels]
    if surplus and labels:
      deviations.append(f"{split}: {len(surplus):,} photographs without label: {named(surplus)}")
  dictionary = "dictionary.txt"
  words = read_words(directory, dictionary, problems) if is_there(directory, dictionary) else []
  problems.raise_any(directory)
  return Source(splits, words, deviations)


def make(formula: Formula) -> dict:
  """The record of a formula: its photograph as 255 - grey, upright, at its own size.

  Raises:
    ItemError: the photograph cannot be used.
  """
  try:
    picture = ink(formula.place.read(), paper="light")
  except ValueError as error:
    raise ItemError(str(error)) from error
  return record(formula.id, picture, formula.text)


def _read_labels(directory: pathlib.Path, split: str, problems: Problems) -> dict[str, str]:
  """Text of each id (the name without `.jpg`), in the order of the file."""
  file = f"{split}_labels.txt"
  if is_there(directory, f"{split}/{file}") and not is_there(directory, file):
    file = f"{split}/{file}"
  if is_there(directory, file) or not (directory / f"{split}.zip").exists():
    lines = text_lines(directory, file, problems)
  else:
    lines = _lines_in_archive(directory, f"{split}.zip", file, problems)
  labels: dict[str, str] = {}
  for number, line in enumerate(lines, start=1):
    image, tab, text = line.partition("\t")
    image, text = image.strip().removesuffix(".jpg"), " ".join(text.split())
    if not (tab and image and text):
      problems.add(file, 'not "<image>.jpg<TAB>word word ..."', f"line {number}")
    elif image in labels:
      problems.add(file, "repeated id", f"{image} (line {number})")
    else:
      labels[image] = text
  return labels


def _lines_in_archive(
    directory: pathlib.Path, archive: str, file: str, problems: Problems
) -> list[str]:
  """Lines of the labels that lie within the archive of the photographs."""
  with open_archive(directory, archive, problems) as opened:
    if opened is None:
      return []
    members = [m for m in opened.namelist() if m.rsplit("/", 1)[-1] == file]
    if not members:
      problems.add(file, f"is missing, in {archive} too")
      return []
    try:
      return split_lines(opened.read(members[0]), f"{archive}/{members[0]}", problems)
    except UNREADABLE as error:
      problems.add(f"{archive}/{members[0]}", f"cannot be read ({error})")
      return []


def _find_photographs(
    directory: pathlib.Path, split: str, problems: Problems
) -> dict[str, Place]:
  choices = (f"{split}_images", f"{split}/{split}_images", f"{split}_images.zip", f"{split}.zip")
  for name in choices:
    if (directory / name).exists():
      return find_pictures(directory, name, problems)
  problems.add(choices[0], "is missing, and so is every other place of the photographs")
  return {}
