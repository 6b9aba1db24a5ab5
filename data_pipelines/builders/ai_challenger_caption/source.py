"""Reads the captions of AI Challenger 2017 as the organizers gave them out."""

import pathlib

from data_pipelines.builders.captions import Captioned, Captions, Findings, pair, unclaimed
from data_pipelines.builders.files import Stored, list_files, pictures_in, read_json, read_stored
from data_pipelines.builders.parts import ItemError

CAPTIONS = 5  # of each picture
PUBLISHED = {"train": 210_000, "validation": 30_000, "test_a": 30_000, "test_b": 30_000}
REQUIRED = ("train", "validation")
SAMPLE, SAMPLE_PICTURES = "annotations_sample.json", "images"

LAYOUT = """\
AI Challenger is not downloaded (its site is closed): put it into one directory laid out as

  caption_train_annotations_20170902.json        a list of {"url", "image_id", "caption": 5 texts}
  caption_train_images_20170902/                 210,000 pictures named by image_id
  caption_validation_annotations_20170910.json
  caption_validation_images_20170910/            30,000
  caption_test_a_images_20180103/                30,000, may be left out
  caption_test_b_images_20180103/                30,000, may be left out

Each folder may be a zip archive instead; the organizers' own, ai_challenger_caption_train_20170902
and so on, which hold both, are read as a folder or as a zip archive, too. Where a test split has
an annotation file of this kind, its captions are read."""


def read_source(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
  """The pictures of each split, in the order of its annotations."""
  if (directory / SAMPLE).exists():
    sample = Stored(str(directory / SAMPLE))
    return {"train": _read_split(directory, "train", sample, [SAMPLE_PICTURES], findings)}
  splits = {}
  for name in PUBLISHED:
    places = _places(directory, name)
    found = sorted(directory.glob(f"caption_{name}_annotations_*.json"))
    if found or places:
      file = Stored(str(found[0])) if found else None
      splits[name] = _read_split(directory, name, file, places, findings)
    elif name in REQUIRED:
      findings.gaps.add(f"caption_{name}_annotations_*.json", "is missing")
  return splits


def _places(directory: pathlib.Path, split: str) -> list[str]:
  """Folders and archives with files of `split`; an archive beside its own contents is left out."""
  found: dict[str, str] = {}
  for pattern in (f"ai_challenger_caption_{split}_*", f"caption_{split}_images_*"):
    for path in sorted(directory.glob(pattern)):  # a folder comes before the archive of its name
      if path.is_dir() or path.suffix == ".zip":
        found.setdefault(path.name.removesuffix(".zip"), path.name)
  return list(found.values())


def _read_split(
    directory: pathlib.Path,
    split: str,
    annotations: Stored | None,
    places: list[str],
    findings: Findings,
) -> list[Captioned]:
  listings = {p: list_files(directory, p, findings.problems) for p in places}
  pictures = pictures_in(listings, findings.problems)
  if not pictures:
    findings.problems.add(f"caption_{split}_images_*", "is missing or has no pictures")
  annotations = annotations or next(
      (s for files in listings.values() for n, s in files.items() if _is_annotation(n, split)), None
  )
  if annotations is None and split in REQUIRED:
    findings.problems.add(f"caption_{split}_annotations_*.json", "is missing")
  elif annotations is None:
    captions = [Captions(_id(name), name, (), ()) for name in pictures]
    findings.count(split, "pictures", len(captions), PUBLISHED[split])
    return pair(split, captions, pictures, findings, captioned=False)
  else:
    file = pathlib.Path(annotations.path).name
    captions = _read_annotations(annotations, file, findings)
    findings.count(file, "pictures", len(captions), PUBLISHED[split])
    unclaimed(pictures, {c.file for c in captions}, findings)
    return pair(file, captions, pictures, findings)
  return []


def _is_annotation(name: str, split: str) -> bool:
  return pathlib.PurePosixPath(name).match(f"caption_{split}_annotations_*.json")


def _id(file: str) -> str:
  return file.rsplit(".", 1)[0]


def _read_annotations(annotations: Stored, file: str, findings: Findings) -> list[Captions]:
  """Captions of each picture, empty ones skipped; a picture may be left with none."""
  try:
    entries = read_json(read_stored(annotations))
  except (ItemError, ValueError) as error:
    findings.problems.add(file, str(error))
    return []
  if not isinstance(entries, list) or not entries:
    findings.problems.add(file, 'is not a list of {"image_id", "caption"}')
    return []
  read = []
  for number, entry in enumerate(entries, start=1):
    name, texts = _fields(entry)
    if name is None or texts is None:
      wrong = 'entry without "image_id" (a text) and "caption" (a list of texts)'
      findings.problems.add(file, wrong, f"number {number}{f' {name}' if name else ''}")
      continue
    if len(texts) != CAPTIONS:
      findings.gaps.add(file, f"picture without {CAPTIONS} captions", name)
    kept = findings.captions(file, name, texts)
    read.append(Captions(_id(name), name, kept, ("zh",) * len(kept)))
  return read


def _fields(entry: object) -> tuple[str | None, list[str] | None]:
  if not isinstance(entry, dict):
    return None, None
  name, texts = entry.get("image_id"), entry.get("caption")
  is_texts = isinstance(texts, list) and all(isinstance(t, str) for t in texts)
  return name if isinstance(name, str) and name else None, texts if is_texts else None
