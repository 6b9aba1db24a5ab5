"""AI Challenger 2017, image Chinese captioning: photographs of people and five captions of each."""

import pathlib

import tensorflow_datasets as tfds
from etils import epath

from data_pipelines.builders.ai_challenger_caption import source
from data_pipelines.builders.captions import CaptionBuilder, Captioned, Findings


class AiChallengerCaption(CaptionBuilder):
  """Records in the order of the annotations; the tests, without captions, in order of name."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = source.LAYOUT
  code_path = epath.Path(__file__)  # found by tfds only with importlib_resources, which it lacks
  NAME = "AI Challenger"
  DESCRIPTION = "Photographs with Chinese captions, of the competition AI Challenger 2017."
  LICENCE = "given to registered competitors for research; photographs belong to their authors"
  CITATION = """\
@article{wu2017ai,
  title={AI Challenger: A Large-scale Dataset for Going Deeper in Image Understanding},
  author={Wu, J. and Zheng, H. and Zhao, B. and others},
  journal={arXiv preprint arXiv:1711.06475}, year={2017}}
"""

  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    return source.read_source(directory, findings)
