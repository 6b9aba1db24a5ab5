"""Pictures and captions brought to a common space, and sound captions told from damaged ones.

Reference: Radford et al., 2021, Learning transferable visual models from natural language
supervision; Cho et al., 2022, Fine-grained image captioning with CLIP reward.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from mmjax.decode.beam_search import NEGATIVE
from mmjax.metrics.recall import recalls
from mmjax.tasks.recognition import valid_pixels
from mmjax.text import captions
from mmjax.text.damage import KINDS, ROOM, damage, drawable
from mmjax.text.vocabulary import Vocabulary


class Vectors(NamedTuple):
  """Pictures and their texts in the common space."""

  pictures: Float[Array, "B E"]
  texts: Float[Array, "B R E"]
  there: Bool[Array, "B R"]  # False where a picture has fewer than R texts
  scores: Float[Array, "B"]  # the cosine of a picture and its first text


class Output(NamedTuple):
  """One picture and its texts in the common space."""

  picture: Float[np.ndarray, "E"]
  texts: Float[np.ndarray, "r E"]


@dataclasses.dataclass(frozen=True)
class Task:
  """Photographs and captions -> vectors, by the symmetric InfoNCE loss over the whole batch.

  A batch has pictures or `features` of them, as for `captioning.Task`, and one caption each. The
  other pictures of the global batch are the negatives, however many devices it is spread over; the
  parts of an accumulated batch are batches of their own here.

  Attributes:
    model: as `mmjax.models.small_clip`; one that has a `picture_size` takes no other pictures.
    vocabulary: its words.
    language: of the captions.
    grammar: weight of the cross-entropy of sound and damaged captions; 0: none are made.
  """

  model: nn.Module
  vocabulary: Vocabulary
  language: str = "en"
  grammar: float = 0.0

  def __post_init__(self):
    captions.language(self.language)
    lacks = [name for name in ("encode_features", "read") if not hasattr(type(self.model), name)]
    if lacks:
      raise ValueError(
          f"model {type(self.model).__name__} has no {' or '.join(lacks)}: it makes no vectors of"
          " pictures and texts, as this task needs"
      )
    if self.grammar:
      drawable(self.vocabulary)

  def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
    """What batches hold of each caption."""
    words = captions.language(self.language).words
    return [self.vocabulary.encode(words(text)) for text in texts]

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    side = getattr(self.model, "picture_size", 64)
    image, valid = jnp.zeros((1, side, side, 3), jnp.uint8), jnp.ones((1, side, side), bool)
    return self.model.init(key, image, valid, jnp.ones((1, 2), jnp.int32), jnp.ones(1, jnp.int32))

  def see(self, model: nn.Module, batch: dict[str, Array], train: bool = False) -> Any:
    """Vectors of the pictures of a batch by `model` (bound)."""
    bound: Any = model
    if "features" in batch:
      return bound.encode_features(batch["features"], train=train)
    return bound.encode(batch["image"], valid_pixels(batch), train=train)

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """Summed losses of both directions and of grammar; (sum, (weight, metrics, model state))."""
    dropout_key, damage_key = jax.random.split(key)
    tokens, lengths, real = batch["tokens"], batch["length"], batch["real"]
    rows = len(tokens)
    kind = None
    if self.grammar:
      damaged, damaged_lengths, kind = damage(
          damage_key, tokens, lengths, drawable(self.vocabulary)
      )
      tokens = jnp.concatenate([jnp.pad(tokens, [(0, 0), (0, ROOM)]), damaged])
      lengths = jnp.concatenate([lengths, damaged_lengths])

    def forward(model):
      pictures = self.see(model, batch, train=True)
      return pictures, model.read(tokens, lengths, train=True), model.temperature()

    (pictures, read, temperature), model_state = self.model.apply(
        {"params": params, **model_state},
        method=forward,
        rngs={"dropout": dropout_key},
        mutable=list(model_state),
    )
    loss, right = info_nce(temperature * pictures @ read.vectors[:rows].T, real)
    weight = real.sum(dtype=jnp.float32)
    metrics = {
        "contrastive": (loss, weight),
        "in_batch_accuracy": (right, weight),
        "temperature": (temperature, jnp.float32(1)),
    }
    total = loss
    if kind is not None:
      twice = jnp.concatenate([real, real])
      sound = jnp.arange(2 * rows) < rows
      unlike, accuracies = _grammar(read.grammar, sound, twice, kind)
      metrics |= {"grammar": (unlike, 2 * weight), **accuracies}
      total += self.grammar * unlike / 2  # the mean over both halves beside the mean over pictures
    metrics["loss"] = (total, weight)
    return total, (weight, metrics, model_state)

  @functools.partial(jax.jit, static_argnums=0)
  def evaluate(self, variables, batch: dict[str, Array]) -> tuple[dict, Vectors]:
    """(sum, weight) of what is told of grammar, by kind of damage, and the vectors of a batch."""
    call: Any = functools.partial(self.model.apply, variables)
    tokens, lengths = batch["references"], batch["reference_length"]
    read = call(tokens, lengths, method="read")
    pictures = call(method=lambda model: self.see(model, batch))
    there = (lengths > 0) & batch["real"][:, None]
    scores = jnp.einsum("be,be->b", pictures, read.vectors[:, 0])
    metrics = {}
    if self.grammar:
      first, n, real = tokens[:, 0], lengths[:, 0], there[:, 0]
      key = jax.random.fold_in(jax.random.key(0), batch["record"][0])
      damaged, damaged_lengths, kind = damage(key, first, n, drawable(self.vocabulary))
      worse = call(damaged, damaged_lengths, method="read")
      logits = jnp.concatenate([read.grammar[:, 0], worse.grammar])
      sound = jnp.arange(2 * len(n)) < len(n)
      _, metrics = _grammar(logits, sound, jnp.concatenate([real, real]), kind)
    return metrics, Vectors(pictures, read.vectors, there, scores)

  def outputs(self, made: Vectors, row: int) -> list[tuple[Output, float]]:
    """What `score` takes of a picture, and its cosine with its first text."""
    texts = np.asarray(made.texts[row])[np.asarray(made.there[row])]
    vectors = Output(np.asarray(made.pictures[row]), texts)
    return [(vectors, float(made.scores[row]))]

  def perfect(self, references: Sequence[Sequence[str]]) -> list[Output]:
    """What the best of models would make of pictures."""
    unit = np.eye(len(references), dtype=np.float32)
    return [Output(u, np.repeat(u[None], len(r), 0)) for u, r in zip(unit, references)]

  def prepare(self, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """The texts of each picture, as they are."""
    return [list(texts) for texts in references]

  def score(
      self, outputs: Sequence[Output | None], references: Sequence[Sequence[str]]
  ) -> dict[str, float]:
    """Recall both ways over all pictures (see `recalls`); of a dropped one nothing is found."""
    del references
    kept = [o for o in outputs if o is not None and len(o.texts)]
    if not kept:
      return dict.fromkeys(recalls(np.eye(1), np.eye(1), np.zeros(1, int)), 0.0)
    owners = np.repeat(np.arange(len(kept)), [len(o.texts) for o in kept])
    pictures = np.stack([o.picture for o in kept])
    found = recalls(pictures, np.concatenate([o.texts for o in kept]), owners)
    share = len(kept) / len(outputs)
    return {name: value * share for name, value in found.items()}

  def details(
      self, outputs: Sequence[Output | None], references: Sequence[Sequence[str]]
  ) -> list[dict[str, Any]]:
    """What the file of predictions says of each picture: its cosine with each of its texts."""
    del references
    return [{"cosines": None if o is None else (o.texts @ o.picture).tolist()} for o in outputs]


def info_nce(
    logits: Float[Array, "B B"], real: Bool[Array, "B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Mean of both directions' cross-entropies, summed over real rows; and how many are right.

  Args:
    logits: of row's picture and column's text; those on the diagonal belong together.
    real: False on filler, which is nobody's negative.
  """
  logits = jnp.where(real[:, None] & real[None], logits.astype(jnp.float32), NEGATIVE)
  loss = sum(-jnp.diagonal(jax.nn.log_softmax(logits, axis)) for axis in (0, 1)) / 2
  right = (logits.argmax(1) == jnp.arange(len(logits))) & real
  return jnp.where(real, loss, 0).sum(), right.sum(dtype=jnp.float32)


def _grammar(logits, sound, real, kind):
  """Summed cross-entropy of sound rows, then damaged ones; accuracy of each kind of them."""
  chance = jax.nn.log_softmax(logits.astype(jnp.float32))
  nll = -jnp.where(sound, chance[:, 1], chance[:, 0])
  right = (logits[:, 1] > logits[:, 0]) == sound
  kinds = jnp.concatenate([jnp.full(len(kind), -1), kind])
  count = lambda which: (
      jnp.where(which & real, right, 0).sum(dtype=jnp.float32),
      (which & real).sum(dtype=jnp.float32),
  )
  accuracies = {"grammar_sound": count(sound)}
  accuracies |= {f"grammar_{name}": count(kinds == i) for i, name in enumerate(KINDS)}
  return jnp.where(real, nll, 0).sum(), accuracies
