"""IM2LATEX-100K: pictures of printed formulas and their LaTeX."""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders import supplied
from data_pipelines.builders.im2latex100k import source, tex


class Im2latex100k(supplied.SuppliedFormulas):
  """One channel, inverted: white ink on black, as the models want it; about 40 x 240 pixels."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "IM2LATEX-100K"
  DESCRIPTION = "Pictures of printed formulas from arXiv papers and their LaTeX."
  LICENCE = "not stated by its publisher (Zenodo record 56198; formulas of arXiv papers)"
  CITATION = """\
@misc{kanervisto2016im2latex,
  title={im2latex-100k, arXiv:1609.04938}, author={Kanervisto, Anssi}, year={2016},
  doi={10.5281/zenodo.56198}}
@inproceedings{deng2017im2markup,
  title={Image-to-Markup Generation with Coarse-to-Fine Attention},
  author={Deng, Yuntian and Kanervisto, Anssi and Ling, Jeffrey and Rush, Alexander M.},
  booktitle={ICML}, year={2017}}
"""

  def __init__(self, *, render: bool = False, **of_tfds):
    """`render`: draw the formulas that have no picture by TeX; their ids end in `+tex`."""
    self._render = render
    super().__init__(**of_tfds)

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    drawn_by = " and ".join(tex.programs()) if self._render else ""
    read = source.read_source(dl_manager.manual_dir, self._render)
    self._settle(read.deviations, dl_manager.manual_dir)
    texts = {split: [f.text for f in formulas] for split, formulas in read.splits.items()}
    train = texts.pop("train")
    words, unseen = supplied.gather_words(read.words, train, (t for o in texts.values() for t in o))
    self.info.metadata.update(
        vocabulary=words,
        unseen_words=unseen,
        licence=self.LICENCE,
        labels=read.labels,
        left_out=read.left_out,
        polarity="inverted: ink is bright",
        drawn_by=drawn_by,
        drawn={s: sum(f.place is None for f in fs) for s, fs in read.splits.items()},
    )
    return {s: self._generate_examples(s, formulas) for s, formulas in read.splits.items()}

  def _generate_examples(
      self, split: str, formulas: list[source.Formula]
  ) -> Iterator[tuple[int, dict]]:
    return self._records(split, formulas, source.make)
