"""Sentences written again from their concepts or from corrupted copies, and captions from concepts.

Reference: Feng et al., 2019, Unsupervised image captioning, section 3.4: how its networks begin.
"""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Int

from mmjax.config import ConfigError
from mmjax.models.unsupervised_captioner import Memory
from mmjax.tasks import captioning
from mmjax.text.sentence_keys import corrupted, shuffled

Source = Literal["concepts", "corrupted"]


@dataclasses.dataclass(frozen=True)
class Task(captioning.Task):
  """Words -> sentence: one LSTM reads, its last state at length 1 is the start of one that writes.

  A batch has sentences as `tokens`, or pictures, of which nothing is seen but their `concepts`.

  Attributes:
    model: as `mmjax.models.unsupervised_captioner`; its discriminator reads, its generator writes.
    source: what is read. "concepts": the `concepts` [B, C] of a batch, PAD behind, shuffled in
      training; "corrupted": `sentence_keys.corrupted` of its `tokens`, the same in any evaluation.
  """

  source: Source = "concepts"

  needs = (*captioning.Task.needs, "summarise")

  def __post_init__(self):
    super().__post_init__()
    if self.source not in get_args(Source):
      raise ValueError(f"no source {self.source!r}; there are: {', '.join(get_args(Source))}")

  @property
  def learns_from(self) -> tuple[str, ...]:
    """What a batch has beside sentences."""
    return ("concepts",) if self.source == "concepts" else ()

  def read(self, model: nn.Module, batch: dict[str, Array], train: bool = False) -> Memory:
    """The start that words of a batch give.

    Raises:
      ConfigError: there are none, as where pictures are to be predicted.
    """
    bound: Any = model
    if self.source == "corrupted":
      key = bound.make_rng("dropout") if train else fixed_key(batch)
      words, lengths = corrupted(key, batch["tokens"], batch["length"])
    else:
      if "concepts" not in batch:
        raise ConfigError(
            "this model reads concepts and sees no pictures: write captions by python -m"
            " mmjax.infer.pseudo_captions"
        )
      words, lengths = batch["concepts"], (batch["concepts"] > 0).sum(-1)
      if train:
        words = shuffled(bound.make_rng("dropout"), words, lengths)
    return Memory(bound.summarise(words, lengths, train=train))


def fixed_key(batch: dict[str, Int[Array, "B *n"]]) -> jax.Array:
  """A key for the draws of an evaluation, by the first record of its batch."""
  return jax.random.fold_in(jax.random.key(0), jnp.maximum(batch["record"][0], 0))
