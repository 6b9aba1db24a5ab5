"""Generated pictures of generated formulas: data for a machine that has none."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders import parts
from data_pipelines.builders.formulas import formula_features
from data_pipelines.builders.synthetic import drawing, grammar

HEIGHT_LIMIT, WIDTH_LIMIT = 64, 160  # pixels
MAX_TOKENS = 14
PATIENCE = 10_000  # formulas drawn in a row that were all drawn before
LICENCE = "generated, no restriction"


class Synthetic(tfds.core.GeneratorBasedBuilder):
  """White ink on black, one channel, up to 64 x 160 pixels; each formula occurs once."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks

  def __init__(
      self, *, train: int = 10_000, validation: int = 500, test: int = 500, seed: int = 0, **of_tfds
  ):
    """`train`, `validation`, `test` pictures; the same for one seed."""
    self._counts = {"train": train, "validation": validation, "test": test}
    self._seed = seed
    super().__init__(**of_tfds)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description="Formulas of a small grammar, drawn by mathtext and distorted as by a pen.",
        features=formula_features(),
        metadata=tfds.core.MetadataDict(
            vocabulary=list(grammar.words()), licence=LICENCE, seed=self._seed
        ),
        license=LICENCE,
        disable_shuffling=True,  # the formulas come in random order
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    formulas = distinct_formulas(sum(self._counts.values()), self._seed)
    items = [Item(number, tokens, self._seed) for number, tokens in enumerate(formulas)]
    splits, start = {}, 0
    for name, size in self._counts.items():
      splits[name] = self._generate_examples(name, items[start : start + size])
      start += size
    return splits

  def _generate_examples(self, name: str, items: list["Item"]) -> Iterator[tuple[int, dict]]:
    return parts.examples(items, draw_record, name=name, rejected=refuse)


class Item(NamedTuple):
  """What a record is drawn from."""

  number: int
  tokens: tuple[str, ...]
  seed: int


def draw_record(item: Item) -> dict:
  rng = np.random.default_rng((item.seed, 1, item.number))
  picture = drawing.draw(item.tokens, rng, HEIGHT_LIMIT, WIDTH_LIMIT)
  _, png = cv2.imencode(".png", picture)
  return {
      "id": f"synthetic-{item.number:06d}",
      "image": png.tobytes(),
      "height": picture.shape[0],
      "width": picture.shape[1],
      "length": len(item.tokens),
      "text": " ".join(item.tokens),
  }


def refuse(item: Item, reason: str) -> None:
  """Every formula of the grammar can be drawn.

  Raises:
    ValueError: one could not.
  """
  raise ValueError(f"{item} could not be drawn: {reason}")


def distinct_formulas(count: int, seed: int) -> list[tuple[str, ...]]:
  """`count` different formulas in an order that does not tell when they were drawn.

  Raises:
    ValueError: the grammar hardly has so many formulas.
  """
  rng = np.random.default_rng((seed, 0))
  formulas: dict[tuple[str, ...], None] = {}
  repeats = 0
  while len(formulas) < count:
    formula = tuple(grammar.generate(rng, MAX_TOKENS))
    repeats = repeats + 1 if formula in formulas else 0
    if repeats == PATIENCE:
      raise ValueError(
          f"{count} different formulas were asked for, but after {len(formulas)} the grammar only "
          f"repeats itself; ask for fewer or raise MAX_TOKENS ({MAX_TOKENS})"
      )
    formulas[formula] = None
  # The first ones are shorter than the last: unmixed, the splits would differ in difficulty.
  found = list(formulas)
  return [found[i] for i in rng.permutation(count)]
