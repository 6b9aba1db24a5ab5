"""Expression recognition in both reading directions (BTTR and its family)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mmjax import losses
from mmjax.decode.bidirectional import (
  Decoded,
  Normalise,
  bidirectional_search,
  both_directions,
)
from mmjax.metrics.exprate import exprate
from mmjax.text.vocabulary import PAD, Vocabulary


def valid_pixels(batch: dict[str, Array]) -> Bool[Array, "B H W"]:
  """True on the pixels of a batch that belong to a picture, from their `size` [B, 2]."""
  h, w = batch["image"].shape[1:3]
  rows = jnp.arange(h)[None, :, None] < batch["size"][:, 0, None, None]
  return rows & (jnp.arange(w)[None, None, :] < batch["size"][:, 1, None, None])


@dataclasses.dataclass(frozen=True)
class Task:
  """Image -> LaTeX, trained left to right and right to left on one encoding of the picture.

  Attributes:
    model: has encode, decode, init_cache and step (see `mmjax.models.bttr`).
    vocabulary: its words.
    beam: hypotheses per direction.
    max_length: most tokens of a hypothesis.
    length_penalty: exponent of the length in a hypothesis's score.
    normalise: what is divided by the length (see `bidirectional_search`).
  """

  model: nn.Module
  vocabulary: Vocabulary
  beam: int = 10
  max_length: int = 200
  length_penalty: float = 1.0
  normalise: Normalise = "sum"

  def __post_init__(self):
    if self.normalise not in get_args(Normalise):
      known = ", ".join(get_args(Normalise))
      raise ValueError(f"decode.normalise is {self.normalise!r}; there are: {known}")

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    image = jnp.zeros((1, 32, 32, 1), jnp.uint8)
    tokens = jnp.ones((1, 2, 2), jnp.int32)
    return self.model.init(key, image, jnp.ones((1, 32, 32), bool), tokens)

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """Summed cross-entropy of both directions; (sum, (weight, metrics, model state))."""
    tokens_in, tokens_out = both_directions(batch["tokens"], batch["length"])
    tokens_out = jnp.where(batch["real"][:, None, None], tokens_out, PAD)
    logits, model_state = self.model.apply(
        {"params": params, **model_state},
        batch["image"],
        valid_pixels(batch),
        tokens_in,
        train=True,
        rngs={"dropout": key},
        mutable=list(model_state),
    )
    loss = losses.cross_entropy(logits, tokens_out)
    metrics = {"loss": loss, "token_accuracy": losses.token_accuracy(logits, tokens_out)}
    return loss[0], (loss[1], metrics, model_state)

  @functools.partial(jax.jit, static_argnums=0)
  def evaluate(self, variables, batch: dict[str, Array]) -> tuple[dict, Decoded]:
    """(sum, weight) of the loss and the token accuracy without dropout, and what is decoded."""
    call: Any = functools.partial(self.model.apply, variables)
    memory = call(batch["image"], valid_pixels(batch), method="encode")
    tokens_in, tokens_out = both_directions(batch["tokens"], batch["length"])
    tokens_out = jnp.where(batch["real"][:, None, None], tokens_out, PAD)
    logits = call(tokens_in, memory, method="decode")
    accuracy = losses.token_accuracy(logits, tokens_out)
    metrics = {"loss": losses.cross_entropy(logits, tokens_out), "token_accuracy": accuracy}
    return metrics, self.search(variables, memory, batch["real"])

  @functools.partial(jax.jit, static_argnums=0)
  def predict(self, variables, batch: dict[str, Array]) -> Decoded:
    """All hypotheses of each picture, best first."""
    memory = self.model.apply(variables, batch["image"], valid_pixels(batch), method="encode")
    return self.search(variables, memory, batch["real"])

  def search(self, variables, memory: Any, real: Bool[Array, "B"]) -> Decoded:
    """All hypotheses of each encoded picture, best first; `real` [B] is False on filler."""
    call: Any = functools.partial(self.model.apply, variables)
    rows = 2 * self.beam
    shared, _ = call(memory, rows, 1, method="init_cache")
    return bidirectional_search(
        lambda tokens, at, cache: call(tokens, at, cache, shared, method="step"),
        lambda length: call(memory, rows, length, method="init_cache")[1],
        lambda tokens: call(tokens, memory, method="decode"),
        real,
        beam=self.beam,
        max_length=self.max_length,
        length_penalty=self.length_penalty,
        normalise=self.normalise,
    )

  @functools.partial(jax.jit, static_argnums=0)
  def attention(
      self, variables, batch: dict[str, Array], tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
  ) -> Float[Array, "B M h w"]:
    """Where the last layer looks when it writes each of `tokens`, left to right; mean of heads.

    The canvas must be a multiple of the encoder's stride.
    """
    tokens_in, _ = both_directions(tokens, lengths)
    _, seen = self.model.apply(
        variables, batch["image"], valid_pixels(batch), tokens_in, mutable=["intermediates"]
    )
    layers = [k for k in seen["intermediates"] if "decoder" in k]
    last = max(layers, key=lambda k: int(k.rsplit("_", 1)[1]))
    weights = seen["intermediates"][last]["cross_attention"]["picture"][0][:, 0]  # [B, M, S]
    height, width = batch["image"].shape[1:3]
    stride = round((height * width / weights.shape[-1]) ** 0.5)
    return weights.reshape(*weights.shape[:2], height // stride, width // stride)

  def score(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> dict[str, float]:
    """ExpRate and its relatives; None is a picture that was dropped, and wrong."""
    return exprate(outputs, references)
