"""COCO: photographs of everyday scenes and five English captions of each."""

import pathlib

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.captions import CaptionBuilder, Captioned, Findings
from data_pipelines.builders.coco_captions import source


class CocoCaptions(CaptionBuilder):
  """Photographs of up to 640 x 640 pixels; records in the order of the annotations."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "COCO"
  DESCRIPTION = "Photographs of COCO with their English captions."
  LICENCE = "annotations CC BY 4.0; photographs keep their licences at Flickr"
  CITATION = """\
@article{chen2015microsoft,
  title={Microsoft COCO Captions: Data Collection and Evaluation Server},
  author={Chen, X. and Fang, H. and Lin, T.-Y. and others},
  journal={arXiv preprint arXiv:1504.00325}, year={2015}}
@inproceedings{karpathy2015deep,
  title={Deep Visual-Semantic Alignments for Generating Image Descriptions},
  author={Karpathy, A. and Fei-Fei, L.}, booktitle={CVPR}, year={2015}}
"""

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    return source.read_source(directory, findings)
