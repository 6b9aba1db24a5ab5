"""CROHME with further training pictures, composed from the pen strokes of its training formulas."""

from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders import parts
from data_pipelines.builders.crohme import crohme_dataset_builder, source
from data_pipelines.builders.crohme.crohme_dataset_builder import Crohme, refuse
from data_pipelines.builders.crohme_composed import composing, handwriting
from data_pipelines.builders.crohme_composed.composing import Item

COMPOSED = 20_000  # pictures that train has more than CROHME's
SAMPLE = 500  # further ones, which no training sees


class CrohmeComposed(Crohme):
  """`train` is CROHME's and composed pictures, `composed` more of these, the rest is CROHME's."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"""\
{source.LAYOUT}

and beside them {handwriting.FILE}: lines of JSON with id, source, writer, strokes and symbols,
see data_pipelines/builders/crohme_composed/README.md."""
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "CROHME"
  DESCRIPTION = (
      f"{Crohme.DESCRIPTION} Training pictures are composed from the strokes of its symbols, too."
  )

  def __init__(
      self, *, composed: int = COMPOSED, sample: int = SAMPLE, seed: int = 0, **of_supplied
  ):
    """`composed` further pictures in train and `sample` in a split of their own, by `seed`."""
    self._composed, self._sample, self._seed = composed, sample, seed
    super().__init__(**of_supplied)

  def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list]:
    splits = super()._splits(dl_manager)
    directory = str(dl_manager.manual_dir)
    items = composing.items(splits, directory, self._composed + self._sample, self._seed)
    self.info.metadata.update(composed=self._composed, seed=self._seed)
    train = [*splits.pop("train"), *items[: self._composed]]
    return {"train": train, "composed": items[self._composed :], **splits}

  def _generate_examples(
      self, name: str, records: Sequence[source.Record | Item]
  ) -> Iterator[tuple[int, dict]]:
    return parts.examples(records, features, name=name, rejected=refuse)


def features(item: source.Record | Item) -> dict:
  """The features of a record of CROHME or of a picture to compose."""
  if isinstance(item, Item):
    return composing.make(item)
  return crohme_dataset_builder.features(item)
