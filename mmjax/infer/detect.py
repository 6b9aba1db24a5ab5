r"""What stands in the pictures of a prepared data set, by one detector or several.

  python -m mmjax.infer.detect --data=flickr8k --detector=imagenet --output=concepts.jsonl

A line of JSON for each picture: {"id", "detector", "objects": [{"label", "score", "class", and
with boxes "box": [left, top, right, bottom] in pixels}, ...]}, of each class the surest object.
Classes of a second detector are numbered on. A run that was cut short goes on where it stopped.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipelines import datasets
from data_pipelines.batching import round_up
from data_pipelines.datasets import NotPreparedError, UnknownDatasetError
from data_pipelines.index import CHUNK, check_split
from data_pipelines.transforms import decode, resize
from mmjax.convert.state_dict import WeightsError
from mmjax.infer import detectors
from mmjax.infer.detectors import Detector


class OutputError(ValueError):
  """A file that detections cannot be added to."""


def detect(
    used: Sequence[Detector], threshold: float, name: str, builder, splits: Sequence[str],
    output: Path, batch: int,
) -> tuple[int, int]:  # fmt: skip
  """Adds a line to `output` for each picture of the splits that it lacks.

  Args:
    used: detectors.
    threshold: score from which on a class counts as seen.
    name: of all that, which stands in every line; lines of another one are not added to.
    builder: of a prepared data set.
    splits: of it.
    output: the file.
    batch: pictures at a time.

  Returns:
    Pictures looked at now, and objects seen in them.

  Raises:
    OutputError: `output` is something else, or of another detector.
    ValueError: no such split; a picture that does not decode.
  """
  for split in splits:
    check_split(builder, split)
  done = _mended(output, name)
  looked = seen = 0
  all_of = sum(builder.info.splits[split].num_examples for split in splits)
  progress = tqdm(total=all_of, initial=len(done), unit="picture", disable=None)
  with output.open("a") as lines, progress:
    for ids, pictures in _batches(builder, splits, done, batch):
      for row in _rows(used, threshold, name, ids, pictures):
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        seen += len(row["objects"])
      lines.flush()
      looked += len(ids)
      progress.update(len(ids))
  return looked, seen


def _mended(output: Path, name: str) -> set[str]:
  """Ids of the pictures in `output`, of which a line that was cut short is removed."""
  if not output.exists():
    output.parent.mkdir(parents=True, exist_ok=True)
    return set()
  data = output.read_bytes()
  whole = data[: data.rfind(b"\n") + 1]
  done = set()
  for number, line in enumerate(whole.splitlines(), 1):
    try:
      row = json.loads(line)
      done.add(row["id"])
      other = row["detector"]
    except (ValueError, KeyError, TypeError) as e:
      raise OutputError(f"{output}, line {number}: holds no detection; give another file") from e
    if other != name:
      raise OutputError(
          f"{output}, line {number}: of {other}, not of {name}; give another file or remove it"
      )
  if len(whole) < len(data):
    os.truncate(output, len(whole))
  return done


def _batches(
    builder, splits: Sequence[str], done: set[str], batch: int
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
  """Ids and pixels of the pictures that are not `done`, `batch` at a time."""
  ids, pictures = [], []
  for split in splits:
    source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    for start in range(0, len(source), CHUNK):
      for record in source.__getitems__(range(start, min(start + CHUNK, len(source)))):
        name = record["id"].decode()
        if name in done:
          continue
        ids.append(name)
        pictures.append(decode(record["image"], name, channels=3))
        if len(ids) == batch:
          yield ids, pictures
          ids, pictures = [], []
  if ids:
    yield ids, pictures


def _rows(
    used: Sequence[Detector], threshold: float, name: str, ids: Sequence[str],
    pictures: Sequence[np.ndarray],
) -> list[dict]:  # fmt: skip
  """The line of each picture."""
  rows: list[dict] = [{"id": i, "detector": name, "objects": []} for i in ids]
  first = 0  # class of the detector
  for detector in used:
    side = detector.side
    canvas = np.zeros((round_up(len(ids), 8), side, side, 3), np.uint8)  # few shapes to compile
    for i, picture in enumerate(pictures):
      canvas[i] = resize(picture, side, side, "bilinear")
    scores, boxes = detector.see(canvas)
    for i, picture in enumerate(pictures):
      for n in np.flatnonzero(scores[i] >= threshold):
        o = {"label": detector.labels[n], "score": round(float(scores[i, n]), 4),
             "class": first + int(n)}  # fmt: skip
        if boxes is not None:
          height, width = picture.shape[:2]
          o["box"] = [round(float(v), 1) for v in boxes[i, n] * (width, height, width, height)]
        rows[i]["objects"].append(o)
    first += len(detector.labels)
  return rows


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code: 0 done, 1 could not be written, 2 bad input."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.infer.detect", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      epilog="exit code: 0 done, 1 could not be written, 2 wrong usage or bad input",
  )  # fmt: skip
  add = parser.add_argument
  add("--data", required=True, metavar="NAME", help="a prepared data set")
  add("--data_dir", type=Path, metavar="DIR", help="where prepared data sets lie")
  add("--splits", metavar="NAME,...", help="of the data set (all)")
  add("--detector", required=True, metavar="NAME,...", help="imagenet: a classifier of pictures;"
      " coco80: a detector of objects, mostly the better one")  # fmt: skip
  add("--weights", default="", metavar="PATH,...", help="of the detectors, in their order; nothing:"
      " those of a package, where there is one")  # fmt: skip
  add("--threshold", type=float, default=0.2, metavar="P",
      help="score of what counts as seen (%(default)s)")  # fmt: skip
  add("--output", type=Path, required=True, metavar="FILE", help="where lines are added (.jsonl)")
  add("--batch", type=int, default=16, metavar="N", help="pictures at a time (%(default)s)")
  o = parser.parse_args(arguments)
  if o.batch < 1:
    parser.error("--batch must be 1 or more")
  if not 0 < o.threshold < 1:
    parser.error("--threshold must be between 0 and 1")
  try:
    builder = datasets.load(o.data, o.data_dir or datasets.default_data_dir())
    names, sources = o.detector.split(","), o.weights.split(",")
    if len(sources) > len(names):
      raise ValueError(f"--weights={o.weights} are more than the detectors: {o.detector}")
    used = [detectors.load(n, w) for n, w in itertools.zip_longest(names, sources, fillvalue="")]
    name = f"{o.detector} {o.threshold:g}"
    splits = o.splits.split(",") if o.splits else list(builder.info.splits)
    looked, seen = detect(used, o.threshold, name, builder, splits, o.output, o.batch)
  except (ValueError, WeightsError, NotPreparedError, UnknownDatasetError) as e:
    print(f"detect: {e}", file=sys.stderr)
    return 2
  except OSError as e:
    print(f"detect: {e}", file=sys.stderr)
    return 1
  print(f"{looked:,} pictures looked at, {seen / max(looked, 1):.2f} concepts a picture;"
        f" all are in {o.output}")  # fmt: skip
  return 0


if __name__ == "__main__":
  sys.exit(main())
