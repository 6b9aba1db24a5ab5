"""Reads the captions of COCO: Karpathy's splits, the official ones, or a small sample."""

import pathlib
from collections.abc import Iterable, Iterator

from data_pipelines.builders.captions import Captioned, Captions, Findings, pair, unclaimed
from data_pipelines.builders.files import Stored, list_files, pictures_in, read_json, read_stored
from data_pipelines.builders.parts import ItemError

KARPATHY = "dataset_coco.json"
KARPATHY_SPLITS = {"train": "train", "restval": "restval", "val": "validation", "test": "test"}
KARPATHY_PUBLISHED = {"train": 82_783, "restval": 30_504, "validation": 5_000, "test": 5_000}
OFFICIAL_SPLITS = {"train": "train", "val": "validation"}
OFFICIAL_PUBLISHED = {
    "2014": {"train": 82_783, "validation": 40_504},
    "2017": {"train": 118_287, "validation": 5_000},
}
SAMPLE, SAMPLE_PICTURES = "captions.json", "images.zip"
SAMPLE_SPLITS = {"train2017": "train", "val2017": "validation"}
FOLDERS = ("train2014", "val2014", "train2017", "val2017")

LAYOUT = """\
COCO is not downloaded: put it into one directory laid out as

  dataset_coco.json               Karpathy's splits, which papers compare on; or
  captions_train2017.json         the official ones, in this directory or in annotations/
  captions_val2017.json           (or both of 2014)
  train2014/ val2014/             the pictures of Karpathy's splits and of 2014; or
  train2017/ val2017/             those of 2017, the same under other names

Each folder may be a zip archive instead (train2014.zip), here or in images/. Pictures and
annotations: cocodataset.org; Karpathy's file: caption_datasets.zip of
cs.stanford.edu/people/karpathy/deepimagesent. Annotations are CC BY 4.0, pictures keep their
licences at Flickr."""


def read_source(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
  """The pictures of each split, in the order of the annotations."""
  places = _places(directory)
  years = [y for y in OFFICIAL_PUBLISHED if _find(directory, f"captions_train{y}.json")]
  if (directory / KARPATHY).exists():
    files = {KARPATHY: _read_karpathy(directory, findings)}
    published = KARPATHY_PUBLISHED
  elif len(years) > 1:
    findings.problems.add("captions_train*.json", f"is there of {' and '.join(years)}: leave one")
    return {}
  elif years:
    files, published = _read_official(directory, years[0], findings), OFFICIAL_PUBLISHED[years[0]]
    places = {f: p for f, p in places.items() if f.endswith(years[0])}
  elif (directory / SAMPLE).exists():
    files, published = {SAMPLE: _read_sample(directory, findings)}, OFFICIAL_PUBLISHED["2017"]
    places = {SAMPLE_PICTURES: SAMPLE_PICTURES}
  else:
    findings.problems.add(KARPATHY, "is missing, and so is captions_train2017.json")
    return {}
  listings = {p: list_files(directory, p, findings.problems) for p in places.values()}
  pictures = pictures_in(listings, findings.problems)
  if not pictures:
    findings.problems.add("train2014/ val2014/", "no folder or archive with pictures")
    return {}
  splits: dict[str, list[Captioned]] = {}
  for file, read in files.items():
    for name, captions in read.items():
      findings.count(f"{file} {name}", "pictures", len(captions), published[name])
      captions = [_renamed(c, pictures) for c in captions]
      splits[name] = pair(file, captions, pictures, findings)
  unclaimed(pictures, {i.captions.file for items in splits.values() for i in items}, findings)
  return splits


def _find(directory: pathlib.Path, file: str) -> pathlib.Path | None:
  paths = (directory / file, directory / "annotations" / file)
  return next((p for p in paths if p.exists()), None)


def _places(directory: pathlib.Path) -> dict[str, str]:
  """Where the pictures of each official folder are, of those that are there."""
  found: dict[str, str] = {}
  for folder in FOLDERS:
    for place in (folder, f"images/{folder}", f"{folder}.zip", f"images/{folder}.zip"):
      if (directory / place).exists():
        found.setdefault(folder, place)
  return found


def _renamed(captions: Captions, pictures: dict[str, Stored]) -> Captions:
  """With the name of 2017 where only that is there: `COCO_val2014_000000000001.jpg` without prefix.

  The pictures of 2017 are those of 2014 in other splits.
  """
  short = captions.file.rpartition("_")[2]
  if captions.file in pictures or short not in pictures:
    return captions
  return Captions(captions.id, short, captions.texts, captions.languages)


def _read_karpathy(
    directory: pathlib.Path, findings: Findings
) -> dict[str, list[Captions]]:
  splits: dict[str, list[Captions]] = {name: [] for name in KARPATHY_SPLITS.values()}
  document = _document(directory / KARPATHY, findings)
  fields = {"filename": str, "cocoid": int, "split": str, "sentences": list}
  for entry in _entries(KARPATHY, document, "images", fields, findings):
    raw = [s["raw"] for s in entry["sentences"] if isinstance(s, dict) and "raw" in s]
    if len(raw) != len(entry["sentences"]) or not all(isinstance(text, str) for text in raw):
      findings.problems.add(KARPATHY, 'no "sentences" with "raw" texts', entry["filename"])
    elif entry["split"] not in KARPATHY_SPLITS:
      findings.problems.add(KARPATHY, f"unknown split {entry['split']!r}", entry["filename"])
    else:
      captions = _captions(KARPATHY, entry["cocoid"], entry["filename"], raw, findings)
      splits[KARPATHY_SPLITS[entry["split"]]].append(captions)
  return splits


def _read_official(
    directory: pathlib.Path, year: str, findings: Findings
) -> dict[str, dict[str, list[Captions]]]:
  files: dict[str, dict[str, list[Captions]]] = {}
  for part, split in OFFICIAL_SPLITS.items():
    file = f"captions_{part}{year}.json"
    path = _find(directory, file)
    if path is None:
      findings.gaps.add(file, "is missing")
      continue
    document = _document(path, findings)
    names: dict[int, str] = {}
    texts: dict[int, list[str]] = {}
    for entry in _entries(file, document, "images", {"id": int, "file_name": str}, findings):
      if entry["id"] in names:
        findings.problems.add(file, "repeated id", str(entry["id"]))
      names[entry["id"]], texts[entry["id"]] = entry["file_name"], []
    fields = {"image_id": int, "caption": str}
    for entry in _entries(file, document, "annotations", fields, findings):
      if entry["image_id"] in texts:
        texts[entry["image_id"]].append(entry["caption"])
      else:
        findings.problems.add(file, "caption of an unknown image_id", str(entry["image_id"]))
    files[file] = {split: [_captions(file, i, n, texts[i], findings) for i, n in names.items()]}
  return files


def _read_sample(directory: pathlib.Path, findings: Findings) -> dict[str, list[Captions]]:
  splits: dict[str, list[Captions]] = {name: [] for name in SAMPLE_SPLITS.values()}
  document = _document(directory / SAMPLE, findings)
  fields = {"file_name": str, "image_id": int, "split": str, "captions": list}
  for entry in _entries(SAMPLE, document, "images", fields, findings):
    texts, split = entry["captions"], SAMPLE_SPLITS.get(entry["split"])
    if split is None or not all(isinstance(text, str) for text in texts):
      wrong = "unknown split or captions that are no texts"
      findings.problems.add(SAMPLE, wrong, entry["file_name"])
      continue
    name = entry["file_name"].rpartition("/")[2]
    splits[split].append(_captions(SAMPLE, entry["image_id"], name, texts, findings))
  return splits


def _document(path: pathlib.Path, findings: Findings) -> dict:
  try:
    document = read_json(read_stored(Stored(str(path))))
  except (ItemError, ValueError) as error:
    findings.problems.add(path.name, str(error))
    return {}
  if not isinstance(document, dict):
    findings.problems.add(path.name, "is not an object of COCO's layout")
    return {}
  return document


def _entries(
    file: str, document: dict, key: str, fields: dict[str, type], findings: Findings
) -> Iterator[dict]:
  """Each entry of the list `key` that has all `fields`; others are problems."""
  if not document:
    return  # said before
  entries = document.get(key)
  if not isinstance(entries, list) or not entries:
    findings.problems.add(file, f'has no list "{key}"')
    return
  for number, entry in enumerate(entries, start=1):
    has = entry if isinstance(entry, dict) else {}
    lacks = [f for f, kind in fields.items() if type(has.get(f)) is not kind]
    if lacks:
      wrong = f'entry of "{key}" without a sound {", ".join(lacks)}'
      name = has.get("file_name") or has.get("filename") or ""
      findings.problems.add(file, wrong, f"number {number} {name}".rstrip())
    else:
      yield entry


def _captions(
    file: str, number: int, name: str, texts: Iterable[str], findings: Findings
) -> Captions:
  kept = findings.captions(file, name, texts)
  return Captions(str(number), name, kept, ("en",) * len(kept))
