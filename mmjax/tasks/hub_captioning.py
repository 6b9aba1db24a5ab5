"""Captions of photographs by a model of the Hugging Face hub, in its own tokens."""

import dataclasses
from collections.abc import Sequence

from mmjax.tasks import captioning, hub, recognition


@dataclasses.dataclass(frozen=True)
class Task(hub.Task, captioning.Task):
  """Photograph -> caption: trained and searched as `hub`, scored as `captioning`."""

  metrics: tuple[str, ...] = ("bleu", "cider")

  def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
    """What batches hold of each caption: tokens of it as it was written."""
    return recognition.Task.encode_texts(self, texts)
