"""Looks at a prepared data set: python -m data_pipelines.verify NAME."""

import argparse
import collections
import dataclasses
import hashlib
import itertools
import sys

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from tqdm import tqdm

from data_pipelines import datasets
from data_pipelines.index import CHUNK, RecordIndex, load_index
from data_pipelines.transforms import decode

BARS = " ▁▂▃▄▅▆▇█"
BINS = 32
LISTED = 5  # ids or words named in a message


@dataclasses.dataclass(frozen=True)
class Split:
  """What was found in one split; `pixels` has a digest of each picture, `wrong` what fails."""

  name: str
  index: RecordIndex
  pixels: list[str]
  wrong: list[str]

  @property
  def measures(self) -> dict[str, Int[np.ndarray, "N"]]:
    height, width = self.index.sizes.T
    return {"height": height, "width": width, "tokens": self.index.lengths}


def examine(builder: tfds.core.DatasetBuilder, name: str) -> Split:
  """Reads a split and decodes every picture, as training does."""
  index, vocabulary = load_index(builder, name), set(builder.info.metadata["vocabulary"])
  wrong = [f"repeated id {i}" for i, n in collections.Counter(index.ids).items() if n > 1]
  unknown = collections.Counter(w for t in index.texts for w in t.split() if w not in vocabulary)
  wrong += [f"word not in the vocabulary: {w} ({n} times)" for w, n in unknown.items()]
  source = builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()})
  pixels = []
  bar = tqdm(total=len(source), desc=f"decoding {name}", unit="picture", leave=False)
  for start in range(0, len(source), CHUNK):
    records = source.__getitems__(range(start, min(start + CHUNK, len(source))))
    for number, record in enumerate(records, start=start):
      digest, fault = _check_record(record, index.ids[number], index.texts[number])
      pixels.append(digest)
      wrong += fault
    bar.update(len(records))
  bar.close()
  return Split(name, index, pixels, wrong)


def _check_record(record: dict, name: str, text: str) -> tuple[str, list[str]]:
  """Digest of the pixels, and what is wrong with the record."""
  try:
    picture = decode(record["image"], name)
  except (ValueError, cv2.error):  # OpenCV raises on empty bytes
    return f"no picture {name}", [f"{name}: picture does not decode"]
  wrong = []
  if picture.shape != (record["height"], record["width"]):
    stored = (int(record["height"]), int(record["width"]))
    wrong.append(f"{name}: picture of {picture.shape} is stored as {stored}")
  if len(text.split()) != record["length"]:
    wrong.append(f"{name}: {len(text.split())} tokens are stored as {record['length']}")
  return hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).hexdigest(), wrong


def shared(a: list[str], b: list[str]) -> set[str]:
  """What occurs in both."""
  return set(a) & set(b)


def leaks(splits: list[Split]) -> list[str]:
  """Formulas that the validation split shares with train: it would not be held out."""
  by_name = {s.name: s for s in splits}
  if not {"train", "validation"} <= by_name.keys():
    return []
  both = shared(by_name["train"].index.texts, by_name["validation"].index.texts)
  if not both:
    return []
  return [f"{len(both)} formulas are in train and in validation: {_some(sorted(both))}"]


def histogram(values: Int[np.ndarray, "N"], low: int, high: int) -> str:
  """A line of bars; columns are equal ratios from `low` to `high`."""
  edges = np.geomspace(max(low, 1), max(high, low + 1, 2), BINS + 1)
  counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
  heights = np.ceil(counts / max(counts.max(), 1) * (len(BARS) - 1)).astype(int)
  return "".join(BARS[h] for h in heights)


def report(splits: list[Split]) -> str:
  """Counts, sizes and what the splits share, as text."""
  lines = [f"{'split':<12}{'records':>9}{'formulas':>10}{'pictures':>10}   (different ones)"]
  for s in splits:
    formulas, pictures = len(set(s.index.texts)), len(set(s.pixels))
    lines.append(f"{s.name:<12}{len(s.pixels):>9,}{formulas:>10,}{pictures:>10,}")
  for measure in splits[0].measures:
    values = [s.measures[measure] for s in splits]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    head = f"{measure:<12}{'min':>6}{'median':>8}{'95 %':>7}{'max':>7}"
    lines += ["", f"{head}   {low} to {high}, logarithmic"]
    for s, v in zip(splits, values):
      middle, most = np.percentile(v, (50, 95))
      numbers = f"{v.min():>6}{middle:>8.0f}{most:>7.0f}{v.max():>7}"
      lines.append(f"{s.name:<12}{numbers}   {histogram(v, low, high)}")
  lines += ["", f"{'in both':<27}{'formulas':>9}{'pictures':>10}"]
  for a, b in itertools.combinations(splits, 2):
    texts, pixels = shared(a.index.texts, b.index.texts), shared(a.pixels, b.pixels)
    lines.append(f"{a.name + ', ' + b.name:<27}{len(texts):>9,}{len(pixels):>10,}")
  return "\n".join(lines)


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
  if not wrong:
    print("\nsound: every picture decodes, every word is known, validation is held out")
    return 0
  print(f"\n{len(wrong)} wrong:")
  for line in wrong:
    print(f"  {line}")
  return 1


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
      prog="python -m data_pipelines.verify",
      description="Reads a prepared data set: counts, sizes, decoding, unknown words, leaks.",
      epilog=f"data sets: {', '.join(datasets.DATASETS)}. Formulas of a test split in train"
      " are counted, not refused. Exit code: 0 sound, 1 something is wrong, 2 not there.",
  )
  parser.add_argument("name", help="data set")
  parser.add_argument(
      "--data_dir",
      default=datasets.default_data_dir(),
      help="where prepared data sets live (%(default)s; $TFDS_DATA_DIR changes it)",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
