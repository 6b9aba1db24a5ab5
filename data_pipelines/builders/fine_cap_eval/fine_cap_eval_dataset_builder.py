"""FineCapEval: photographs and five English captions of each, to test fine detail."""

import pathlib

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.captions import CaptionBuilder, Captioned, Findings
from data_pipelines.builders.fine_cap_eval import source


class FineCapEval(CaptionBuilder):
  """Photographs of any size; records in the order of the table."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "FineCapEval"
  DESCRIPTION = "Photographs of COCO and Conceptual Captions with detailed English captions."
  LICENCE = "not stated by its publisher; photographs keep their own licences"
  CITATION = """\
@inproceedings{cho2022fine,
  title={Fine-grained Image Captioning with {CLIP} Reward},
  author={Cho, J. and Yoon, S. and Kale, A. and Dernoncourt, F. and Bui, T. and Bansal, M.},
  booktitle={Findings of NAACL}, year={2022}}
"""

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    return source.read_source(directory, findings)
