"""Expression recognition as a tree of symbols and relations (SAN)."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from mmjax.decode.bidirectional import Decoded
from mmjax.decode.tree import rows_of, tree_search
from mmjax.models.san import Nodes, Outputs, tree_losses
from mmjax.tasks import recognition
from mmjax.text import san_labels
from mmjax.text.san_labels import RELATIONS, InexpressibleError, TreeWords


def nodes_of(batch: dict[str, Array]) -> Nodes:
  """The trees of a batch, from its `tokens` [B, n, 4]: word, parent, parent's word, relations."""
  tokens = batch["tokens"]
  real = jnp.arange(tokens.shape[1]) < batch["length"][:, None]
  real &= batch["real"][:, None]
  word, parent, parent_word, bits = jnp.moveaxis(jnp.where(real[..., None], tokens, 0), -1, 0)
  relations = (bits[..., None] >> np.arange(len(RELATIONS)) & 1).astype(bool)
  return Nodes(word, parent, parent_word, relations, real, relations.any(-1))


@dataclasses.dataclass(frozen=True)
class Task(recognition.Task):
  """Image -> tree -> LaTeX.

  Attributes:
    model: has encode, decode of nodes, begin and advance (see `mmjax.models.san`). It is made anew
      for as many words as trees have (`TreeWords`).
    decode: its `max_length` is the most actions of a hypothesis: nodes, and sets of relations.
    max_depth: most nodes with chains to come.
  """

  max_depth: int = 8  # the formulas of CROHME, HME100K and IM2LATEX need 4

  needs: ClassVar[tuple[str, ...]] = ("encode", "decode", "begin", "advance")
  writes: ClassVar[str] = "node by node"

  def __post_init__(self):
    super().__post_init__()
    object.__setattr__(self, "model", self.model.clone(vocabulary_size=len(self.words)))

  @functools.cached_property
  def words(self) -> TreeWords:
    """The words of trees, in the order of the model's."""
    return TreeWords.from_words(self.vocabulary.words)

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    image = jnp.zeros((1, 32, 32, 1), jnp.uint8)
    one = jnp.ones(1, bool)
    batch = {"tokens": jnp.zeros((1, 2, 4), jnp.int32), "length": jnp.full(1, 2), "real": one}
    return self.model.init(key, image, jnp.ones((1, 32, 32), bool), nodes_of(batch))

  def encode_texts(self, texts: Sequence[str]) -> list[Int32[np.ndarray, "n 4"] | None]:
    """Rows of each text's tree; None where it is no tree of SAN's grammar.

    Raises:
      UnknownWordError: a text has a word outside the vocabulary.
    """
    encoded: list[Int32[np.ndarray, "n 4"] | None] = []
    for text in texts:
      tokens = text.split()
      self.vocabulary.encode(tokens)
      try:
        encoded.append(self.words.encode(san_labels.rows_of(tokens)))
      except InexpressibleError:
        encoded.append(None)
    return encoded

  def decode_words(self, tokens: Iterable[int]) -> list[str]:
    """The LaTeX of decoded actions; always well formed."""
    return san_labels.latex_of(rows_of(tokens, self.words))

  def step_names(self, words: Sequence[str]) -> list[str]:
    """The word of each node of a text's tree."""
    return [row.word for row in san_labels.rows_of(words)]

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """The four losses of `tree_losses`, summed; (sum, (weight, metrics, model state))."""
    nodes = nodes_of(batch)
    out, model_state = self.model.apply(
        {"params": params, **model_state},
        batch["image"],
        recognition.valid_pixels(batch),
        nodes,
        train=True,
        rngs={"dropout": key},
        mutable=list(model_state),
    )
    metrics = self.measured(out, nodes)
    total, weight = metrics["loss"]
    return total, (weight, metrics, model_state)

  def measured(self, out: Outputs, nodes: Nodes) -> dict:
    """(sum, weight) of the loss, its parts, and the share of words that are the likeliest."""
    parts = tree_losses(out, nodes, padding=False)
    weight = parts["word"][1]
    # The means of the parts beside the mean over nodes.
    means = [total / jnp.maximum(counted, 1) for total, counted in parts.values()]
    right = (out.words.argmax(-1) == nodes.words) & nodes.real
    accuracy = (right.sum(dtype=jnp.float32), weight)
    return {"loss": (sum(means) * weight, weight), "token_accuracy": accuracy, **parts}

  @functools.partial(jax.jit, static_argnums=0)
  def evaluate(self, variables, batch: dict[str, Array]) -> tuple[dict, Decoded]:
    """(sum, weight) of what `loss` tells, without dropout, and what is decoded."""
    call: Any = functools.partial(self.model.apply, variables)
    memory = call(batch["image"], recognition.valid_pixels(batch), method="encode")
    nodes = nodes_of(batch)
    metrics = self.measured(call(nodes, memory, method="decode"), nodes)
    return metrics, self.search(variables, memory, batch["real"])

  def search(self, variables, memory: Any, real: Bool[Array, "B"]) -> Decoded:
    """All hypotheses of each encoded picture as actions, best first."""
    call: Any = functools.partial(self.model.apply, variables)
    shared, root = call(memory, self.decode.beam, method="begin")
    return tree_search(
        lambda words, trail: call(words, trail, shared, method="advance"),
        root,
        real,
        words=len(self.words),
        beam=self.decode.beam,
        max_length=self.decode.max_length,
        max_depth=self.max_depth,
        length_penalty=self.decode.length_penalty,
        normalise=self.decode.normalise,
    )

  @functools.partial(jax.jit, static_argnums=0)
  def attention(
      self,
      variables,
      batch: dict[str, Array],
      tokens: Int[Array, "B n 4"],
      lengths: Int[Array, "B"],
  ) -> Float[Array, "B n h w"]:
    """Where the model looks when it writes each node of `tokens`."""
    nodes = nodes_of(batch | {"tokens": tokens, "length": lengths})
    call: Any = functools.partial(self.model.apply, variables)
    return call(batch["image"], recognition.valid_pixels(batch), nodes).attention
