"""Builders of formulas whose files the user supplies: counts, held-out formulas, words, records."""

import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from jaxtyping import UInt8
from numpy import ndarray

from data_pipelines.builders.formulas import formula_features
from data_pipelines.builders.ink import encode_png
from data_pipelines.builders.parts import examples
from data_pipelines.datasets import SourceError

VALIDATION_SHARE = 0.05  # of the formulas of train
LISTED = 20  # lines of a message


def is_validation(text: str) -> bool:
  """Whether a training formula is held out: by its text, so all its pictures go together."""
  digest = hashlib.sha256(text.encode()).digest()
  return int.from_bytes(digest[:8]) < VALIDATION_SHARE * 2**64


def hold_out(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
  """(train, validation) of items that have a `text`.

  Raises:
    SourceError: one of them would be empty.
  """
  train = [i for i in items if not is_validation(i.text)]
  validation = [i for i in items if is_validation(i.text)]
  if not train or not validation:
    few = f"its {len({i.text for i in items})} formulas are too few"
    raise SourceError(f"train: {few} to hold {VALIDATION_SHARE:.0%} of them out")
  return train, validation


def gather_words(
    given: Iterable[str], train: Iterable[str], others: Iterable[str]
) -> tuple[list[str], list[str]]:
  """The vocabulary, and those of its words that training will not show.

  Args:
    given: words of a vocabulary file, which come first and in its order.
    train: texts; their other words follow, sorted.
    others: texts of the other splits; words that only they have come last, so that every text can
      be encoded and scored as it stands.
  """
  words = dict.fromkeys(given)
  of_train = {w for text in train for w in text.split()}
  words |= dict.fromkeys(sorted(of_train - words.keys()))
  of_others = {w for text in others for w in text.split()}
  words |= dict.fromkeys(sorted(of_others - words.keys()))
  return list(words), [w for w in words if w not in of_train]


def count_deviations(found: Mapping[str, int], published: Mapping[str, int]) -> list[str]:
  """A line for each split whose number of records is not the published one."""
  return [
      f"{split}: {found.get(split, 0):,} records, published {count:,}"
      for split, count in published.items()
      if found.get(split, 0) != count
  ]


class SuppliedFormulas(tfds.core.GeneratorBasedBuilder):
  """What the builders share; a deviation from what was published is an error unless allowed."""

  NAME: ClassVar[str]  # in messages
  DESCRIPTION: ClassVar[str]
  LICENCE: ClassVar[str]
  CITATION: ClassVar[str]

  def __init__(self, *, allow_partial: bool = False, **of_tfds):
    """`allow_partial`: prepare what is there; the deviations are stored in the metadata."""
    self._allow_partial = allow_partial
    super().__init__(**of_tfds)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description=self.DESCRIPTION,
        features=formula_features(),
        metadata=tfds.core.MetadataDict(),
        license=self.LICENCE,
        citation=self.CITATION,
        disable_shuffling=True,  # records in the order of the supplied lists
    )

  def _settle(self, deviations: Sequence[str], directory: str | pathlib.Path) -> None:
    """Stores the deviations if they are allowed.

    Raises:
      SourceError: there are some, and they are not.
    """
    if deviations and not self._allow_partial:
      lines = "\n".join(f"  {d}" for d in _some(deviations))
      raise SourceError(
          f"{self.NAME} in {directory} is not what was published:\n{lines}\n\n"
          "--allow_partial prepares what is there and stores these lines with it"
      )
    stored = self.info.metadata.get("deviations", [])
    self.info.metadata["deviations"] = [*stored, *deviations]

  def _download_and_prepare(
      self,
      dl_manager: tfds.download.DownloadManager,
      download_config: tfds.download.DownloadConfig | None = None,
  ) -> None:
    """Writes all splits; only then all records that cannot be made are known."""
    self._rejected: list[str] = []
    super()._download_and_prepare(dl_manager, download_config)
    self._settle(self._rejected, dl_manager.manual_dir)

  def _records(
      self, split: str, items: Sequence[Any], make: Callable[[Any], dict]
  ) -> Iterator[tuple[int, dict]]:
    """The records of items that have an `id`; those that cannot be made are a deviation.

    Raises:
      SourceError: none can be made.
    """
    left = len(items)

    def rejected(item: Any, why: str) -> None:
      nonlocal left
      left -= 1
      self._rejected.append(f"{split}: {item.id}: {why}")
      if not left:  # a split of no records cannot be written
        lines = "\n".join(f"  {r}" for r in _some(self._rejected))
        raise SourceError(f"{self.NAME}: no record of {split} can be made:\n{lines}")

    return examples(items, make, name=split, rejected=rejected)


def record(id: str, picture: UInt8[ndarray, "H W"], text: str) -> dict[str, Any]:
  """The features of a formula, see `formula_features`."""
  height, width = picture.shape
  return {
      "id": id,
      "image": encode_png(picture),
      "height": height,
      "width": width,
      "length": len(text.split()),
      "text": text,
  }


def _some(lines: Sequence[str]) -> list[str]:
  more = len(lines) - LISTED
  return [*lines[:LISTED], *([f"and {more:,} more"] if more > 0 else [])]
