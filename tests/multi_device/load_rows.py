"""Loads the rows that one of several hosts has of each batch: FOLDER INDEX COUNT START."""

import hashlib
import json
import sys

import tensorflow_datasets as tfds

from data_pipelines import datasets, pipeline
from data_pipelines.augment import Augment
from data_pipelines.batching import Options, Plan
from data_pipelines.index import load_index
from mmjax.text.vocabulary import Vocabulary


def rows(folder, index: int, count: int, start: int = 0, seed: int = 0) -> list[list[str]]:
  """Digest of each row of each step."""
  builder = datasets.load("synthetic", folder)
  found = load_index(builder, "train")
  source = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
  words = Vocabulary.from_words(builder.info.metadata["vocabulary"])
  augment = Augment(rotate=3.0, elastic=1.5, stroke=1.0)
  options = Options(batch=8, multiple=4, max_buckets=3, scale_range=(0.7, 1.4), augment=augment)
  plan = Plan(found.sizes, found.lengths, options, train=True, seed=seed, epochs=2)
  loaded = pipeline.batches(
      plan,
      pipeline.Records(source, found.ids),
      pipeline.encode_texts(found.texts, words),
      start=start,
      process_index=index,
      process_count=count,
  )
  return [[digest(batch, row) for row in range(len(batch["real"]))] for batch in loaded]


def digest(batch: dict, row: int) -> str:
  parts = [f"{k} {v[row].shape} ".encode() + v[row].tobytes() for k, v in sorted(batch.items())]
  return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


if __name__ == "__main__":
  at, *numbers = sys.argv[1:]
  print(json.dumps(rows(at, *map(int, numbers))))
