"""BLIP's captioner: a vision transformer and a BERT that looks at it in every layer.

Reference: Li et al., 2022, BLIP: Bootstrapping language-image pre-training.
"""

from mmjax.models.vision_encoder_decoder import VisionEncoderDecoder


class BLIP(VisionEncoderDecoder):
  """Picture -> words; attributes as of `VisionEncoderDecoder`."""
