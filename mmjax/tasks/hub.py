"""Texts of pictures by a model of the Hugging Face hub, in the tokens of its own tokenizer."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from mmjax.decode.bidirectional import Decoded, frame
from mmjax.decode.generation import Generation, generate
from mmjax.tasks import recognition
from mmjax.text import latex


@dataclasses.dataclass(frozen=True)
class Changes:
  """What `config.decode` changes in the search that the model's folder asks for.

  Attributes:
    beam: hypotheses; 0: as the folder says, whose length rule then counts too.
    max_length: most tokens; 0: as the folder says.
    length_penalty: exponent of the length, with a `beam`.
  """

  beam: int = 0
  max_length: int = 0
  length_penalty: float = 1.0

  def __post_init__(self):
    if min(self.beam, self.max_length) < 0:
      raise ValueError("config.decode.beam and max_length are 0 (as the folder says) or more")


@dataclasses.dataclass(frozen=True)
class Task(recognition.Task):
  """Picture -> text.

  Attributes:
    vocabulary: a tokenizer (`mmjax.convert.hub.tokenizer`); its `generation` rules the search.
    decode: what is changed in them.
  """

  vocabulary: Any
  decode: Any = Changes()
  ignored = -1  # 0 may be a word here
  attention = None  # type: ignore[assignment]  # nothing to show in reports

  def check_decoding(self) -> None:
    """Nothing: the folder's rules are its tokenizer's own."""

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    height, width = self.model.encoder.image_size
    image, valid = jnp.zeros((1, height, width, 3), jnp.uint8), jnp.ones((1, height, width), bool)
    return self.model.init(key, image, valid, jnp.ones((1, 1, 2), jnp.int32))

  @property
  def generation(self) -> Generation:
    """The rules of the search, with what `decode` changes."""
    rules, changes = self.vocabulary.generation, self.decode
    if changes.beam:
      penalty = changes.length_penalty
      rules = dataclasses.replace(rules, beam=changes.beam, length_penalty=penalty)
    if changes.max_length:
      most = changes.max_length + rules.max_length - rules.words
      rules = dataclasses.replace(rules, max_length=most)
    return rules

  def targets(self, batch: dict[str, Array]) -> tuple[Int[Array, "B R M"], Int[Array, "B R M"]]:
    """Decoder inputs and outputs of each text, or of all `references` of a picture.

    `ignored` behind the end, on filler, and where there is no text.
    """
    tokens, lengths = batch["tokens"][:, None], batch["length"][:, None]
    if "references" in batch:
      tokens, lengths = batch["references"], batch["reference_length"]
    rules = self.vocabulary.generation
    tokens_in, tokens_out = frame(tokens, lengths, rules.start[-1], rules.stop[0])
    there = (jnp.arange(tokens_out.shape[-1]) <= lengths[..., None]) & (lengths > 0)[..., None]
    return tokens_in, jnp.where(there & batch["real"][:, None, None], tokens_out, self.ignored)

  def search(self, variables, memory: Any, real: Bool[Array, "B"]) -> Decoded:
    """All hypotheses of each encoded picture, best first; `real` [B] is False on filler."""
    call: Any = functools.partial(self.model.apply, variables)
    rules = self.generation
    shared, _ = call(memory, rules.beam, 1, method="init_cache")
    return generate(
        lambda tokens, at, cache: call(tokens, at, cache, shared, method="step"),
        lambda length: call(memory, rules.beam, length, method="init_cache")[1],
        real,
        rules,
        len(self.vocabulary),
    )

  def text(self, words: Sequence[str]) -> str:
    """What a reader gets for `words`."""
    return latex.detokenize(words) if self.vocabulary.formulas else " ".join(words)
