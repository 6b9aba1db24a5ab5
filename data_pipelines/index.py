"""What the batch plan needs of a split, read without decoding a picture."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int32

CHUNK = 1024  # records read at once


@dataclasses.dataclass(frozen=True)
class RecordIndex:
  """Sizes and texts of the records of a split, in record order.

  Attributes:
    sizes: height and width, pixels.
    lengths: tokens, without specials.
    ids: names of the records.
    texts: tokens joined by one space.
  """

  sizes: Int32[np.ndarray, "N 2"]
  lengths: Int32[np.ndarray, "N"]
  ids: list[str]
  texts: list[str]


@dataclasses.dataclass(frozen=True)
class CaptionIndex:
  """Sizes and captions of the records of a split, in record order.

  Attributes:
    sizes: height and width, pixels.
    ids: names of the records.
    texts: the captions of each record as they were written; none where a test split hides them.
    languages: of each caption, as `texts`.
  """

  sizes: Int32[np.ndarray, "N 2"]
  ids: list[str]
  texts: list[tuple[str, ...]]
  languages: list[tuple[str, ...]]


def load_index(builder: tfds.core.DatasetBuilder, split: str) -> RecordIndex:
  """Reads the index of `split` of a data set of formulas.

  Raises:
    ValueError: no such split; names those there are.
  """
  sizes, lengths, ids, texts = [], [], [], []
  for r in _records(builder, split):
    sizes.append((r["height"], r["width"]))
    lengths.append(r["length"])
    ids.append(r["id"].decode())
    texts.append(r["text"].decode())
  return RecordIndex(
      np.array(sizes, np.int32).reshape(-1, 2), np.array(lengths, np.int32), ids, texts
  )


def load_caption_index(builder: tfds.core.DatasetBuilder, split: str) -> CaptionIndex:
  """Reads the index of `split` of a data set of captions.

  Raises:
    ValueError: no such split; names those there are.
  """
  sizes, ids, texts, languages = [], [], [], []
  for r in _records(builder, split):
    sizes.append((r["height"], r["width"]))
    ids.append(r["id"].decode())
    texts.append(tuple(t.decode() for t in r["texts"]))
    languages.append(tuple(t.decode() for t in r["languages"]))
  return CaptionIndex(np.array(sizes, np.int32).reshape(-1, 2), ids, texts, languages)


def _records(builder: tfds.core.DatasetBuilder, split: str) -> Iterator[dict]:
  """Every record of `split` with its picture left encoded."""
  check_split(builder, split)
  source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
  for start in range(0, len(source), CHUNK):
    yield from source.__getitems__(range(start, min(start + CHUNK, len(source))))


def check_split(builder: tfds.core.DatasetBuilder, split: str) -> None:
  """Raises ValueError, naming the splits of `builder`, if `split` is not one of them."""
  if split not in builder.info.splits:
    splits = ", ".join(builder.info.splits)
    raise ValueError(f"{builder.name} in {builder.data_dir} has no split {split!r}, only {splits}")
