"""Looks at a prepared data set: python -m data_pipelines.verify NAME."""

import argparse
import collections
import dataclasses
import hashlib
import itertools
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8
from tqdm import tqdm

from data_pipelines import datasets
from data_pipelines.index import (
    CaptionIndex,
    RecordIndex,
    load_caption_index,
    load_index,
)
from data_pipelines.transforms import decode
from data_pipelines.verify_page import Shown, Table, page

BARS = " ▁▂▃▄▅▆▇█"
BINS = 32
LISTED = 5  # ids or words named in a message
READ = 128  # records held at once: photographs are large
SHOWN = 24  # pictures of each split on the page


@dataclasses.dataclass(frozen=True)
class Split:
  """What was found in one split.

  Attributes:
    captions: whether its pictures have captions; else each has one formula.
    ids, sizes: of its records.
    texts: of each record, as stored.
    tokens: of each text.
    words: how often each word occurs.
    pixels: a digest of each picture.
    shown: some of the pictures, evenly spaced.
    wrong: what fails.
  """

  name: str
  captions: bool
  ids: list[str]
  sizes: Int[np.ndarray, "N 2"]
  texts: list[tuple[str, ...]]
  tokens: Int[np.ndarray, "T"]
  words: collections.Counter[str]
  pixels: list[str]
  shown: list[Shown]
  wrong: list[str]

  @property
  def measures(self) -> dict[str, Int[np.ndarray, "N"]]:
    height, width = self.sizes.T
    return {"height": height, "width": width, "tokens": self.tokens}

  @property
  def all_texts(self) -> list[str]:
    return [t for texts in self.texts for t in texts]


def words_of(text: str, language: str) -> list[str]:
  """Words of a caption, to be counted: characters of Chinese, else lower-case words."""
  if language.startswith("zh"):
    return [c for c in text if not c.isspace()]
  return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())


def examine(builder: tfds.core.DatasetBuilder, name: str) -> Split:
  """Reads a split and decodes every picture, as training does."""
  captions = "texts" in builder.info.features
  texts: list[tuple[str, ...]]
  found: CaptionIndex | RecordIndex
  if captions:
    found = captioned = load_caption_index(builder, name)
    texts = captioned.texts
    words = [words_of(*p) for t, of in zip(texts, captioned.languages) for p in zip(t, of)]
  else:
    found = index = load_index(builder, name)
    texts = [(t,) for t in index.texts]
    words = [t.split() for t in index.texts]
  wrong = [f"repeated id {i}" for i, n in collections.Counter(found.ids).items() if n > 1]
  counts = collections.Counter(itertools.chain.from_iterable(words))
  if captions:
    hidden = not any(map(any, texts))  # a test whose captions are kept back
    wrong += [f"{i}: has no caption" for i, t in zip(found.ids, texts) if not any(t) and not hidden]
  else:
    vocabulary = set(builder.info.metadata["vocabulary"])
    unknown = {w: n for w, n in counts.items() if w not in vocabulary}
    wrong += [f"word not in the vocabulary: {w} ({n} times)" for w, n in unknown.items()]
  pixels: list[str] = []
  shown: list[Shown] = []
  sample = set(np.linspace(0, len(found.ids) - 1, min(SHOWN, len(found.ids))).astype(int))
  for number, record in enumerate(_read(builder, name)):
    picture = _picture(record, found.ids[number], 3 if captions else 1)
    if picture is None:
      pixels.append(f"no picture {number}")
      wrong.append(f"{found.ids[number]}: picture does not decode")
      continue
    pixels.append(hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).hexdigest())
    wrong += _check_numbers(record, picture, found.ids[number], texts[number], captions)
    if number in sample:
      shown.append(Shown(found.ids[number], picture, texts[number]))
  tokens = np.array([len(w) for w in words], int)
  return Split(
      name, captions, found.ids, found.sizes, texts, tokens, counts, pixels, shown, wrong
  )  # fmt: skip


def _read(builder: tfds.core.DatasetBuilder, name: str) -> Iterator[dict]:
  source = builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()})
  bar = tqdm(total=len(source), desc=f"decoding {name}", unit="picture", leave=False)
  with bar:
    for start in range(0, len(source), READ):
      for record in source.__getitems__(range(start, min(start + READ, len(source)))):
        yield record
        bar.update()


def _picture(record: dict, name: str, channels: int) -> UInt8[np.ndarray, "H W *C"] | None:
  try:
    return decode(record["image"], name, channels)
  except ValueError:
    return None


def _check_numbers(
    record: dict, picture: UInt8[np.ndarray, "H W *C"], name: str, texts: tuple[str, ...],
    captions: bool,
) -> list[str]:  # fmt: skip
  """What the stored numbers say otherwise than the picture and the text."""
  wrong, shape = [], picture.shape[:2]
  if shape != (record["height"], record["width"]):
    stored = (int(record["height"]), int(record["width"]))
    wrong.append(f"{name}: picture of {shape} is stored as {stored}")
  if captions and len(record["languages"]) != len(texts):
    wrong.append(f"{name}: {len(texts)} captions have {len(record['languages'])} languages")
  if not captions and len(texts[0].split()) != record["length"]:
    wrong.append(f"{name}: {len(texts[0].split())} tokens are stored as {record['length']}")
  return wrong


def shared(a: list[str], b: list[str]) -> set[str]:
  """What occurs in both."""
  return set(a) & set(b)


def repeated(split: Split) -> list[tuple[str, ...]]:
  """Ids of the records whose pictures are the same, pixel by pixel."""
  same: dict[str, list[str]] = {}
  for digest, name in zip(split.pixels, split.ids):
    same.setdefault(digest, []).append(name)
  return [tuple(names) for names in same.values() if len(names) > 1]


def same_pictures(a: Split, b: Split) -> list[tuple[str, str]]:
  """Ids of the records of two splits that have the same picture."""
  first = dict(zip(reversed(a.pixels), reversed(a.ids)))
  return [(first[digest], name) for digest, name in zip(b.pixels, b.ids) if digest in first]


def leaks(splits: list[Split]) -> list[str]:
  """What the validation split shares with train, so that it would not be held out.

  Formulas and pictures; short captions are the same by chance.
  """
  by_name = {s.name: s for s in splits}
  if not {"train", "validation"} <= by_name.keys():
    return []
  train, validation = by_name["train"], by_name["validation"]
  found = []
  texts = [] if train.captions else sorted(shared(train.all_texts, validation.all_texts))
  if texts:
    found.append(f"{len(texts)} formulas are in train and in validation: {_some(texts)}")
  pictures = [f"{a} = {b}" for a, b in same_pictures(train, validation)]
  if pictures:
    found.append(f"{len(pictures)} pictures are in train and in validation: {_some(pictures)}")
  return found


def outside(split: Split, train: Split) -> dict[str, int]:
  """Words of a split that train lacks, the most frequent first, with their counts."""
  return {w: n for w, n in split.words.most_common() if w not in train.words}


def histogram(values: Int[np.ndarray, "N"], low: int, high: int) -> str:
  """A line of bars; columns are equal ratios from `low` to `high`."""
  edges = np.geomspace(max(low, 1), max(high, low + 1, 2), BINS + 1)
  counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
  heights = np.ceil(counts / max(counts.max(), 1) * (len(BARS) - 1)).astype(int)
  return "".join(BARS[h] for h in heights)


def measures(splits: list[Split]) -> dict[str, dict[str, Int[np.ndarray, "N"]]]:
  """Values by measure and split; a test whose captions are kept back has no lengths."""
  found = {m: {s.name: s.measures[m] for s in splits} for m in splits[0].measures}
  kept = {m: {n: v for n, v in of.items() if len(v)} for m, of in found.items()}
  return {m: of for m, of in kept.items() if of}


def report(splits: list[Split]) -> str:
  """Counts, sizes, repetitions, words, and what the splits share, as text."""
  texts = "captions" if splits[0].captions else "formulas"
  lines = [f"{'split':<12}{'records':>9}{texts:>10}{'pictures':>10}   (different ones)"]
  for s in splits:
    different, pictures = len(set(s.all_texts)), len(set(s.pixels))
    lines.append(f"{s.name:<12}{len(s.pixels):>9,}{different:>10,}{pictures:>10,}")
  for measure, of_splits in measures(splits).items():
    values = of_splits.values()
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    head = f"{measure:<12}{'min':>6}{'median':>8}{'95 %':>7}{'max':>7}"
    lines += ["", f"{head}   {low} to {high}, logarithmic"]
    for name, v in of_splits.items():
      middle, most = np.percentile(v, (50, 95))
      numbers = f"{v.min():>6}{middle:>8.0f}{most:>7.0f}{v.max():>7}"
      lines.append(f"{name:<12}{numbers}   {histogram(v, low, high)}")
  for heading, rows in tables(splits):
    widths = [max(len(row[i]) for row in (heading, *rows)) for i in range(3)]
    lines += ["", *(_aligned(row, widths) for row in (heading, *rows))]
  return "\n".join(lines)


def _aligned(row: Sequence[str], widths: list[int]) -> str:
  first, *numbers, named = row
  middle = "".join(f"{n:>{w + 2}}" for n, w in zip(numbers, widths[1:]))
  return f"{first:<{widths[0]}}{middle}   {named}".rstrip()


def tables(splits: list[Split]) -> list[Table]:
  """What is the same, and words outside train; the last column names some."""
  texts = "captions" if splits[0].captions else "formulas"
  found: list[Table] = []
  rows = []
  for s in splits:
    groups = [" = ".join(names) for names in repeated(s)]
    more = len(s.pixels) - len(set(s.pixels))
    rows.append((s.name, f"{len(groups):,}", f"{more:,}", _some(groups)))
  found.append((("same pictures in", "groups", "to spare", ""), rows))
  rows = []
  for a, b in itertools.combinations(splits, 2):
    both, pictures = (len(shared(*x)) for x in ((a.all_texts, b.all_texts), (a.pixels, b.pixels)))
    named = _some([f"{x} = {y}" for x, y in same_pictures(a, b)])
    rows.append((f"{a.name}, {b.name}", f"{both:,}", f"{pictures:,}", named))
  if rows:
    found.append((("in both", texts, "pictures", ""), rows))
  train = next((s for s in splits if s.name == "train"), None)
  rows = []
  for s in splits:
    if train and s is not train:
      words = outside(s, train)
      share = sum(words.values()) / max(s.words.total(), 1)
      named = _some([f"{w} ({n})" for w, n in words.items()])
      rows.append((s.name, f"{len(words):,}", f"{share:.2%}", named))
  if rows:
    found.append((("words not in train", "different", "of all", ""), rows))
  return found


def _some(items: list[str]) -> str:
  more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
  return ", ".join(f"`{i}`" for i in items[:LISTED]) + more


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; returns the exit code: 0 sound, 1 something is wrong, 2 not there."""
  options = _parser().parse_args(arguments)
  try:
    builder = datasets.load(options.name, options.data_dir)
  except (datasets.UnknownDatasetError, datasets.NotPreparedError) as error:
    print(f"verify: {error}", file=sys.stderr)
    return 2
  print(f"{options.name} {builder.version} in {builder.data_dir}\n")
  splits, wrong = [], []
  for name in builder.info.splits:
    try:
      splits.append(examine(builder, name))
    except (OSError, RuntimeError) as error:  # array_record's word for a missing or damaged file
      wrong.append(f"{name} cannot be read, prepare with --overwrite: {error}")
  if splits:
    print(report(splits))
  wrong += [f"{s.name}: {w}" for s in splits for w in s.wrong] + leaks(splits)
  beside = pathlib.Path(builder.data_dir).with_name(f"{builder.version}.html")
  target = pathlib.Path(options.html or beside)
  written = _write_page(target, builder, splits, wrong)
  if written:
    print(f"\npage: {target}")
  if not wrong:
    held = "" if "validation" not in builder.info.splits else ", validation is held out"
    known = "" if splits[0].captions else ", every word is known"
    print(f"\nsound: every picture decodes{known}{held}")
    return 1 if options.html and not written else 0
  print(f"\n{len(wrong)} wrong:")
  for line in wrong:
    print(f"  {line}")
  return 1


def _write_page(
    target: pathlib.Path, builder: tfds.core.DatasetBuilder, splits: list[Split], wrong: list[str]
) -> bool:
  about = {
      "data set": f"{builder.name} {builder.version}",
      "licence": str(builder.info.redistribution_info.license or "not stated").strip(),
      "records": ", ".join(f"{s.name} {len(s.ids):,}" for s in splits),
  }
  numbers = (tables(splits), measures(splits)) if splits else ([], {})
  text = page(builder.name, about, wrong, *numbers, {s.name: s.shown for s in splits})
  try:
    target.write_text(text, encoding="utf-8")
  except OSError as error:
    print(f"verify: no page, give another --html=FILE: {error}", file=sys.stderr)
    return False
  return True


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
      prog="python -m data_pipelines.verify",
      description="Reads a prepared data set: counts, sizes, decoding, repetitions, unknown words,"
      " leaks; prints them and writes a page with some of the pictures.",
      epilog=f"data sets: {', '.join(datasets.DATASETS)}. Formulas of a test split in train"
      " are counted, not refused. Exit code: 0 sound, 1 something is wrong, 2 not there.",
  )
  parser.add_argument("name", help="data set")
  parser.add_argument(
      "--data_dir",
      default=datasets.default_data_dir(),
      help="where prepared data sets live (%(default)s; $TFDS_DATA_DIR changes it)",
  )
  parser.add_argument(
      "--html", metavar="FILE", help="the page (default: beside the data set, VERSION.html)"
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
