"""Reads Flickr8k and Flickr8k-CN as they are supplied."""

import csv
import pathlib
from collections.abc import Iterable

from data_pipelines.builders.captions import Captioned, Captions, Findings, pair, unclaimed
from data_pipelines.builders.files import list_files, pictures_in
from data_pipelines.builders.sources import read_lines

CAPTIONS = 5  # of each picture and language
PUBLISHED = {"train": 6_000, "validation": 1_000, "test": 1_000}
LISTS = {
    "train": ("train.txt", "Flickr_8k.trainImages.txt"),
    "validation": ("val.txt", "Flickr_8k.devImages.txt"),
    "test": ("test.txt", "Flickr_8k.testImages.txt"),
}
ENGLISH = ("captions_en.txt", "Flickr8k.token.txt", "captions.txt")
CHINESE = ("captions_zh.txt", "flickr8kzhc.caption.txt")
FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images")
ARCHIVES = ("Flickr8k_Dataset.zip", "images*.zip")
# The copies in circulation at 224 x 224 lack it.
KNOWN_MISSING = ("3050606344_af711c726c.jpg",)

LAYOUT = """\
Flickr8k is not downloaded: put it into one directory laid out as

  Flickr8k.token.txt               lines "NAME.jpg#0<TAB>a caption"; or captions.txt, the CSV of
                                   Kaggle with columns image and caption; or captions_en.txt
  Flickr_8k.trainImages.txt        6,000 file names, one a line; or train.txt
  Flickr_8k.devImages.txt          1,000; or val.txt
  Flickr_8k.testImages.txt         1,000; or test.txt
  Flicker8k_Dataset/ or Images/    the pictures; or Flickr8k_Dataset.zip or images*.zip
  flickr8kzhc.caption.txt          Chinese captions, may be left out; or captions_zh.txt

The authors give the pictures, Flickr8k_Dataset.zip, and the texts, Flickr8k_text.zip, out on
request (hockenmaier.cs.illinois.edu/Framing_Image_Description); a copy at Kaggle has no lists: take
them from Flickr8k_text.zip. Chinese captions: data/ of github.com/li-xirong/flickr8kcn. For
research, not for commercial use."""


def read_source(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
  """The pictures of each split, in the order of its list."""
  texts = {"en": _read_captions(directory, _first(directory, ENGLISH), findings)}
  if any((directory / file).exists() for file in CHINESE):
    texts["zh"] = _read_captions(directory, _first(directory, CHINESE), findings)
  lists = {name: _read_list(directory, name, findings) for name in LISTS}
  places = _places(directory, findings)
  listings = {p: list_files(directory, p, findings.problems) for p in places}
  pictures = pictures_in(listings, findings.problems)
  if not (pictures and all(texts.values()) and all(lists.values())):
    return {}  # what is missing altogether is one problem, not one for each picture
  unclaimed(pictures, texts["en"], findings)
  splits: dict[str, list[Captioned]] = {}
  for name, files in lists.items():
    file = _first(directory, LISTS[name])
    captions = [_captions(f, file, texts, findings) for f in files]
    splits[name] = pair(file, captions, pictures, findings, known_missing=KNOWN_MISSING)
  return splits


def _first(directory: pathlib.Path, files: Iterable[str]) -> str:
  """The first of `files` that is there, or the one that the layout asks for."""
  files = list(files)
  return next((f for f in files if (directory / f).exists()), files[1])


def _places(directory: pathlib.Path, findings: Findings) -> list[str]:
  places = [f for f in FOLDERS if (directory / f).is_dir()]
  places += sorted(p.name for pattern in ARCHIVES for p in directory.glob(pattern))
  if not places:
    findings.problems.add(f"{FOLDERS[0]}/", "is missing, and so is every other name for it")
  return places


def _read_list(directory: pathlib.Path, split: str, findings: Findings) -> list[str]:
  file = _first(directory, LISTS[split])
  names = [line.strip() for line in read_lines(directory, file, findings.problems)]
  if names:
    findings.count(file, "names", len(names), PUBLISHED[split])
  return names


def _read_captions(
    directory: pathlib.Path, file: str, findings: Findings
) -> dict[str, list[str]]:
  """Captions of each picture in the order of the file."""
  lines = read_lines(directory, file, findings.problems)
  if not lines:
    return {}
  rows = _csv_rows(file, lines, findings) if lines[0].strip() == "image,caption" else (
      _token_rows(file, lines, findings)
  )
  captions: dict[str, list[str]] = {}
  for number, name, text in rows:
    kept = findings.captions(file, f"{name} (line {number})", [text])
    captions.setdefault(name, []).extend(kept)
  return captions


def _token_rows(
    file: str, lines: list[str], findings: Findings
) -> Iterable[tuple[int, str, str]]:
  """Line number, name and text of lines `NAME#...<blank>TEXT`."""
  seen = set()
  for number, line in enumerate(lines, start=1):
    key, *text = line.split(maxsplit=1)
    name, mark, index = key.partition("#")
    if not (name and mark and index):
      findings.problems.add(file, 'not "NAME.jpg#NUMBER<TAB>caption"', f"line {number}")
      continue
    if key in seen:
      findings.problems.add(file, "repeated caption number", f"{key} (line {number})")
    seen.add(key)
    yield number, name, text[0] if text else ""


def _csv_rows(
    file: str, lines: list[str], findings: Findings
) -> Iterable[tuple[int, str, str]]:
  reader = csv.reader(lines, strict=True)
  next(reader)
  try:
    for row in reader:
      if len(row) == 2:
        yield reader.line_num, row[0].strip(), row[1]
      else:
        findings.problems.add(file, 'not "image,caption"', f"line {reader.line_num}")
  except csv.Error as error:
    findings.problems.add(file, f"is not CSV ({error})", f"line {reader.line_num}")


def _captions(
    name: str, file: str, texts: dict[str, dict[str, list[str]]], findings: Findings
) -> Captions:
  """All captions of a picture, language by language."""
  found: list[tuple[str, str]] = []
  for language, of in texts.items():
    mine = of.get(name, [])
    if len(mine) != CAPTIONS:
      findings.gaps.add(file, f"picture without {CAPTIONS} captions of {language}", name)
    found += [(text, language) for text in mine]
  return Captions(
      name.rsplit(".", 1)[0], name, tuple(t for t, _ in found), tuple(x for _, x in found)
  )
