"""A small data set of captioned pictures: smooth colours, up to three texts each."""

import cv2
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.captions import caption_features
from data_pipelines.datasets import Dataset

ROW = Dataset(
    name="captioned",
    builder="captions_set.Captioned",
    splits=("train", "validation"),
    manual=False,
    licence="none",
)
COUNTS = {"train": 24, "validation": 7}
NOUNS = ("dog", "cat", "bird", "horse")


def pixels(height: int, width: int, seed: int) -> np.ndarray:
  """Smooth colours, RGB."""
  coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
  return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def jpeg(picture: np.ndarray) -> bytes:
  return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def texts_of(number: int) -> tuple[str, ...]:
  noun = NOUNS[number % 4]
  texts = (f"a {noun} runs", f"the {noun} number {number} runs over the green grass", f"{noun}s")
  return texts[: 3 - (number == 5)]


class Captioned(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version("1.0.0")
  code_path = epath.Path(__file__)

  def _info(self):
    return tfds.core.DatasetInfo(
        builder=self, features=caption_features(), disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {n: self._generate_examples(n, count) for n, count in COUNTS.items()}

  def _generate_examples(self, split, count):
    for number in range(count):
      height, width = 40 + number % 5 * 8, 60 - number % 3 * 16
      seed = number + 100 * (split == "validation" and number > 0)  # one picture is in both
      texts = texts_of(number)
      yield number, {
          "id": f"{split}-{number}",
          "image": jpeg(pixels(height, width, seed)),
          "height": height,
          "width": width,
          "texts": texts,
          "languages": ["en"] * len(texts),
      }
