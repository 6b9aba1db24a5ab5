"""Flickr8k: photographs, five English and, where supplied, five Chinese captions for each."""

import pathlib

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.captions import CaptionBuilder, Captioned, Findings
from data_pipelines.builders.flickr8k import source


class Flickr8k(CaptionBuilder):
  """Photographs of up to 500 x 500 pixels (or 224 x 224); records in the order of the lists."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "Flickr8k"
  DESCRIPTION = "Photographs of Flickr8k with their English and Chinese captions (Flickr8k-CN)."
  LICENCE = "research and education, not for commercial use; photographs belong to their authors"
  CITATION = """\
@article{hodosh2013framing,
  title={Framing Image Description as a Ranking Task: Data, Models and Evaluation Metrics},
  author={Hodosh, M. and Young, P. and Hockenmaier, J.},
  journal={Journal of Artificial Intelligence Research}, volume={47}, year={2013}}
@inproceedings{li2016adding,
  title={Adding Chinese Captions to Images},
  author={Li, X. and Lan, W. and Dong, J. and Liu, H.}, booktitle={ICMR}, year={2016}}
"""

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    return source.read_source(directory, findings)
