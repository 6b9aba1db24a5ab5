"""Captions of photographs by a model of the Hugging Face hub, in its own tokens."""

import dataclasses
from collections.abc import Sequence

from mmjax.tasks import captioning, hub, recognition


@dataclasses.dataclass(frozen=True)
class Task(hub.Task, captioning.Task):
  """Photograph -> caption: trained and searched as `hub`, scored as `captioning`."""

  metrics: tuple[str, ...] = ("bleu", "cider")

  def __post_init__(self):
    super().__post_init__()
    if self.label_smoothing:
      raise ValueError("config.train.label_smoothing is not for models of the hub: set it to 0")

  def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
    """What batches hold of each caption: tokens of it as it was written."""
    return recognition.Task.encode_texts(self, texts)
