"""Captions of photographs in one language."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Int

from mmjax import losses
from mmjax.decode.bidirectional import frame
from mmjax.metrics import preparation, registry
from mmjax.metrics.measured import Measured
from mmjax.tasks import recognition
from mmjax.text import captions
from mmjax.text.vocabulary import EOS, PAD, SOS


@dataclasses.dataclass(frozen=True)
class Task(recognition.Task):
  """Photograph -> caption, one word after the other.

  A batch has pictures, or the `features` [B, h, w, D] that a frozen encoder makes of them; and one
  caption a picture (`tokens`) or all of them (`references`), which are decoded from one memory.

  Attributes:
    model: also has `encode_features`; its `decode_with_penalty` (tokens, written, memory) ->
      (logits, penalty [B]) is used where it has one (see `mmjax.models.show_attend_tell`).
    language: of the captions.
    label_smoothing: share of a target's weight that is spread over the vocabulary.
  """

  language: preparation.Language = "en"
  label_smoothing: float = 0.0
  metrics: tuple[str, ...] = ("bleu", "cider")

  def __post_init__(self):
    captions.language(self.language)
    for choice in registry.choose(self.metrics):
      if choice.metric.preparation != "caption":
        raise ValueError(f"{choice.name} does not score captions; `python -m mmjax.metrics` may")
    super().__post_init__()

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    image, valid = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.ones((1, 64, 64), bool)
    return self.model.init(key, image, valid, jnp.ones((1, 1, 2), jnp.int32))

  def read(self, model: nn.Module, batch: dict[str, Array], train: bool = False) -> Any:
    """What `model` (bound) has seen of the pictures of a batch."""
    if "features" in batch:
      return model.encode_features(batch["features"], train=train)
    return super().read(model, batch, train)

  def grid(self, batch: dict[str, Array], cells: int) -> tuple[int, int]:
    """Rows and columns of the cells that pictures are encoded in."""
    if "features" in batch:
      _, rows, columns, _ = batch["features"].shape
      return rows, columns
    return super().grid(batch, cells)

  def targets(self, batch: dict[str, Array]) -> tuple[Int[Array, "B R M"], Int[Array, "B R M"]]:
    """Decoder inputs and outputs of a batch; outputs of filler are `ignored`."""
    if "references" not in batch:
      return super().targets(batch)
    tokens_in, tokens_out = frame(batch["references"], batch["reference_length"], SOS, EOS)
    there = (batch["reference_length"] > 0) & batch["real"][:, None]
    return tokens_in, jnp.where(there[..., None], tokens_out, PAD)

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """Summed cross-entropy and the model's penalty; (sum, (weight, metrics, model state))."""
    tokens_in, tokens_out = self.targets(batch)

    def forward(model):
      memory = self.read(model, batch, train=True)
      if not hasattr(model, "decode_with_penalty"):
        return model.decode(tokens_in, memory, train=True), None
      return model.decode_with_penalty(tokens_in, tokens_out != self.ignored, memory, train=True)

    (logits, penalty), model_state = self.model.apply(
        {"params": params, **model_state},
        method=forward,
        rngs={"dropout": key},
        mutable=list(model_state),
    )
    metrics = self.word_metrics(logits, tokens_out)
    total, weight = metrics["loss"]
    if self.label_smoothing:
      total, _ = losses.cross_entropy(logits, tokens_out, self.label_smoothing, self.ignored)
    if penalty is not None:
      pictures = batch["real"].sum(dtype=jnp.float32)
      penalty = jnp.where(batch["real"], penalty, 0).sum()
      metrics["attention_penalty"] = (penalty, pictures)
      # The mean over pictures beside the mean over words.
      total += penalty / jnp.maximum(pictures, 1) * weight
    return total, (weight, metrics, model_state)

  def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
    """What batches hold of each caption."""
    words = captions.language(self.language).words
    return [self.vocabulary.encode(words(text)) for text in texts]

  def text(self, words: Sequence[str]) -> str:
    """The caption as it is written in its language."""
    return captions.language(self.language).join(words)

  def prepare(self, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """The captions of each picture, cut into words as scorers do.

    Raises:
      NotAvailableError: a tokenizer is missing.
    """
    given = [list(texts) for texts in references]
    return preparation.prepare("caption", self.language, "word", given, [])[0]

  def measure(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> list[tuple[registry.Choice, Measured]]:
    """What each of `metrics` says of words and prepared captions; None counts as empty."""
    texts = [[self.text(words or ())] for words in outputs]
    _, (sets,) = preparation.prepare("caption", self.language, "word", [], [texts])
    hypotheses = [one for (one,) in sets]
    return [
        (choice, registry.measure(choice.metric, references, hypotheses))
        for choice in registry.choose(self.metrics)
    ]

  def score(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> dict[str, float]:
    """Scores of `metrics`, of words and prepared captions; None counts as empty."""
    return {
        name: value
        for choice, measured in self.measure(outputs, references)
        for name, value in measured.corpus().items()
        if choice.scores is None or name in choice.scores
    }

  def details(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> list[dict[str, Any]]:
    """What the file of predictions says of each picture: its hypothesis, and how good it is."""
    rows: list[dict[str, Any]] = [
        {"hypothesis": None if words is None else self.text(words)} for words in outputs
    ]
    for choice, measured in self.measure(outputs, references):
      for name, values in measured.samples().items():
        if choice.scores is None or name in choice.scores:
          for row, value in zip(rows, values):
            row[name] = float(value)
    return rows
