"""HME100K: photographs of handwritten formulas and their LaTeX."""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders import supplied
from data_pipelines.builders.hme100k import source


class Hme100k(supplied.SuppliedFormulas):
  """One channel, 255 - grey of the photograph: bright ink on a dark, uneven ground."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "HME100K"
  DESCRIPTION = "Photographs of handwritten formulas from exercise sheets and their LaTeX."
  LICENCE = "research, by registration with its publisher (TAL); never redistribute"
  CITATION = """\
@inproceedings{yuan2022san,
  title={Syntax-Aware Network for Handwritten Mathematical Expression Recognition},
  author={Yuan, Ye and Liu, Xiao and Dikubab, Wondimu and Liu, Hui and Ji, Zhilong and
    Wu, Zhongqin and Bai, Xiang}, booktitle={CVPR}, year={2022}}
"""

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    read = source.read_source(dl_manager.manual_dir)
    self._settle(read.deviations, dl_manager.manual_dir)
    train, validation = supplied.hold_out(read.splits["train"])
    splits = {"train": train, "validation": validation, "test": read.splits["test"]}
    of_train = [f.text for f in train]
    others = [f.text for f in (*validation, *read.splits["test"])]
    words, unseen = supplied.gather_words(read.words, of_train, others)
    self.info.metadata.update(
        vocabulary=words,
        unseen_words=unseen,
        licence=self.LICENCE,
        polarity="inverted: ink is bright",
    )
    return {split: self._generate_examples(split, items) for split, items in splits.items()}

  def _generate_examples(
      self, split: str, formulas: list[source.Formula]
  ) -> Iterator[tuple[int, dict]]:
    return self._records(split, formulas, source.make)
