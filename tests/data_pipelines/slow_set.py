"""A data set whose records take their time and are counted, to be interrupted by tests."""

import os
import time

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from made_crohme import png

from data_pipelines.builders import parts
from data_pipelines.builders.formulas import formula_features
from data_pipelines.datasets import Dataset, SourceError

ROW = Dataset(
    name="slow", builder="slow_set.Slow", splits=("train", "test"), manual=False, licence="none"
)
COUNTS = {"train": 90, "test": 20}
BAD = 7  # the item of each split that cannot be used


def make(item: tuple[str, int]) -> dict:
  split, number = item
  time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
  if log := os.environ.get("SLOW_LOG"):
    with open(log, "a") as lines:
      lines.write(f"{os.getpid()} {split} {number}\n")
  if number == BAD:
    raise parts.ItemError("is bad")
  seed = number + len(split) * 1000
  height, width = 20 + number % 7, 30 + number % 11
  return {
      "id": f"{split}-{number}",
      "image": png(height, width, seed=seed),
      "height": np.int32(height),
      "width": np.int32(width),
      "length": 1,
      "text": f"{number}",
  }


class Slow(tfds.core.GeneratorBasedBuilder):
  """`COUNTS` records but for the bad ones; refuses a bad one if SLOW_STRICT is set."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = epath.Path(__file__)

  def _info(self):
    words = tfds.core.MetadataDict(vocabulary=[str(n) for n in range(90)])
    return tfds.core.DatasetInfo(
        builder=self, features=formula_features(), metadata=words, disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {n: self._generate_examples(n, count) for n, count in COUNTS.items()}

  def _generate_examples(self, split, count):
    rejected = []
    items = [(split, n) for n in range(count)]
    tell = lambda item, reason: rejected.append(f"{item[0]} {item[1]} {reason}")
    yield from parts.examples(items, make, name=split, rejected=tell)
    if rejected and os.environ.get("SLOW_STRICT"):
      raise SourceError("; ".join(rejected))
