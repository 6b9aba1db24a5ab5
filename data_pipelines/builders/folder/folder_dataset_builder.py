"""A user's own pictures: with captions, or with formulas."""

import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.captions import (
    CaptionBuilder,
    Captioned,
    Findings,
    caption_record,
    read_picture,
)
from data_pipelines.builders.files import Stored
from data_pipelines.builders.folder import source
from data_pipelines.builders.formulas import formula_features
from data_pipelines.builders.parts import ItemError
from data_pipelines.builders.photos import is_turned

OWN = "the user's own"


def make_caption(item: Captioned) -> dict:
  """Features of a captioned picture; raises ItemError as `read_upright` does."""
  return caption_record(item.captions, *read_upright(item.picture))


def read_upright(picture: Stored) -> tuple[bytes, int, int]:
  """As `read_picture`.

  Raises:
    ItemError: it cannot be read or decoded, or training would see it on its side.
  """
  data, height, width = read_picture(picture)
  if is_turned(data):
    raise ItemError("turned by its EXIF orientation: save it with its pixels turned")
  return data, height, width


def make_formula(item: Captioned) -> dict:
  """Features of a pictured formula; raises ItemError as `read_upright` does."""
  image, height, width = read_upright(item.picture)
  (text,) = item.captions.texts
  return {
      "id": item.captions.id,
      "image": image,
      "height": height,
      "width": width,
      "length": len(text.split()),
      "text": text,
  }


class FolderCaptions(CaptionBuilder):
  """Pictures and captions that a table in the folder gives; records in its order."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.CAPTION_LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "The folder"
  DESCRIPTION = "Captioned pictures of a user's own."
  LICENCE = OWN
  CITATION = ""
  MAKE = staticmethod(make_caption)

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    return source.read_captions(directory, findings)


class FolderFormulas(CaptionBuilder):
  """Pictures and formulas that a table in the folder gives; records in its order."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.FORMULA_LAYOUT
  code_path = epath.Path(__file__)
  NAME = "The folder"
  DESCRIPTION = "Pictured formulas of a user's own."
  LICENCE = OWN
  CITATION = ""
  MAKE = staticmethod(make_formula)

  def _features(self) -> tfds.features.FeaturesDict:
    return formula_features()

  def _metadata(self, items: Sequence[Captioned]) -> dict[str, list[str]]:
    return {"vocabulary": self._words}

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    splits, self._words = source.read_formulas(directory, findings)
    return splits
