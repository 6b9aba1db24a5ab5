"""CROHME: pictures of handwritten formulas and their LaTeX."""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from data_pipelines.builders import parts, supplied
from data_pipelines.builders.crohme import source
from data_pipelines.datasets import SourceError


class Crohme(supplied.SuppliedFormulas):
  """White ink on black, one channel, about 93 x 268 pixels; records in caption order."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "CROHME"
  DESCRIPTION = "Pictures of handwritten formulas and their LaTeX, of CROHME 2014, 2016, 2019."
  LICENCE = "CC BY-NC-SA 3.0 (research, not for commercial use; cite the competition)"
  CITATION = """\
@inproceedings{mouchere2014crohme,
  title={ICFHR 2014 Competition on Recognition of On-Line Handwritten Mathematical Expressions},
  author={Mouch{\\`e}re, H. and Viard-Gaudin, C. and Zanibbi, R. and Garain, U.}, year={2014}}
@inproceedings{mouchere2016crohme,
  title={ICFHR 2016 CROHME: Competition on Recognition of Online Handwritten Mathematical
    Expressions},
  author={Mouch{\\`e}re, H. and Viard-Gaudin, C. and Zanibbi, R. and Garain, U.}, year={2016}}
@inproceedings{mahdavi2019crohme,
  title={ICDAR 2019 CROHME + TFD: Competition on Recognition of Handwritten Mathematical
    Expressions and Typeset Formula Detection},
  author={Mahdavi, M. and Zanibbi, R. and Mouch{\\`e}re, H. and others}, year={2019}}
"""

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    splits = self._splits(dl_manager)
    return {name: self._generate_examples(name, records) for name, records in splits.items()}

  def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list]:
    """What each split is made from."""
    read = source.read_source(dl_manager.manual_dir, progress=tqdm)
    found = {folder: len(records) for folder, records in read.folders.items()}
    published = {f: n for f, n in source.PUBLISHED.items() if f in found}
    self.info.metadata.update(
        vocabulary=list(read.words), licence=self.LICENCE, forms=read.forms
    )
    self._settle(supplied.count_deviations(found, published), dl_manager.manual_dir)
    train, validation = supplied.hold_out(read.folders.pop("train"))
    return {
        "train": train,
        "validation": validation,
        **{f"test_{year}": records for year, records in read.folders.items()},
    }

  def _generate_examples(
      self, name: str, records: list[source.Record]
  ) -> Iterator[tuple[int, dict]]:
    return parts.examples(records, features, name=name, rejected=refuse)


def features(r: source.Record) -> dict:
  return {
      "id": r.id,
      "image": r.image,  # as it came: encoding an array would need TensorFlow
      "height": r.height,
      "width": r.width,
      "length": len(r.words),
      "text": r.text,
  }


def refuse(r: source.Record, reason: str) -> None:
  """The source was read and checked before.

  Raises:
    SourceError: names the record.
  """
  raise SourceError(f"{r.id} cannot be used: {reason}")
