"""Expression recognition from left to right (CAN, WAP and other recurrent decoders)."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mmjax import losses
from mmjax.decode.beam_search import NEGATIVE
from mmjax.decode.bidirectional import Decoded, frame
from mmjax.decode.options import DecodeOptions
from mmjax.decode.search import rule_of, search
from mmjax.metrics import registry
from mmjax.metrics.exprate import per_sample
from mmjax.text import latex
from mmjax.text.vocabulary import EOS, PAD, SOS, SPECIALS, Vocabulary

STRUCTURE = ("^", "_", "{", "}")  # words that stand for no symbol of the picture


def valid_pixels(batch: dict[str, Array]) -> Bool[Array, "B H W"]:
  """True on the pixels of a batch that belong to a picture, from their `size` [B, 2]."""
  h, w = batch["image"].shape[1:3]
  rows = jnp.arange(h)[None, :, None] < batch["size"][:, 0, None, None]
  return rows & (jnp.arange(w)[None, None, :] < batch["size"][:, 1, None, None])


def symbol_counts(
    tokens: Int[Array, "B L"], lengths: Int[Array, "B"], vocabulary: Vocabulary
) -> Float[Array, "B V"]:
  """How often each word stands in a text; 0 for specials and for words of mere structure."""
  there = jnp.arange(tokens.shape[1]) < lengths[:, None]
  rows = jnp.arange(len(tokens))[:, None]
  counts = jnp.zeros((len(tokens), len(vocabulary))).at[rows, tokens].add(there)
  symbols = [False] * len(SPECIALS) + [word not in STRUCTURE for word in vocabulary.words]
  return counts * np.array(symbols)


@dataclasses.dataclass(frozen=True)
class Task:
  """Image -> LaTeX, one word after the other.

  Attributes:
    model: has encode, decode, init_cache and step (see `mmjax.models.bttr`); its `counting_loss`
      (memory, counts) -> [B] is added where it has one (see `mmjax.models.can`).
    vocabulary: its words.
    decode: how texts are decoded (of each direction where there are two).
    metrics: rows of `mmjax.metrics.registry`, or single scores of them.
  """

  model: nn.Module
  vocabulary: Vocabulary
  decode: DecodeOptions = dataclasses.field(default_factory=DecodeOptions)
  metrics: tuple[str, ...] = ("exprate",)

  needs: ClassVar[tuple[str, ...]] = ("encode", "decode", "init_cache", "step")
  writes: ClassVar[str] = "word by word"
  ignored: ClassVar[int] = PAD  # a target that does not count

  def __post_init__(self):
    registry.choose(self.metrics)  # an unknown name must not wait for the first evaluation
    self.check_decoding()  # nor must a vocabulary that does not suit it
    lacks = [name for name in self.needs if not hasattr(type(self.model), name)]
    if lacks:
      raise ValueError(
          f"model {type(self.model).__name__} has no {' or '.join(lacks)}: it does not write"
          f" {self.writes}, as this task needs"
      )

  def check_decoding(self) -> None:
    """Raises ValueError if `decode` asks for what the vocabulary does not allow."""
    rule_of(self.decode, self.vocabulary, EOS)

  def init(self, key: jax.Array) -> Any:
    """New variables, boxed with the logical axes of their dimensions."""
    image = jnp.zeros((1, 32, 32, 1), jnp.uint8)
    tokens = jnp.ones((1, 2, 2), jnp.int32)
    return self.model.init(key, image, jnp.ones((1, 32, 32), bool), tokens)

  def encode_texts(self, texts: Sequence[str]) -> list[Any]:
    """What batches hold of each text, as `tokens`; words stand apart.

    Another task may give rows of numbers, and None for a text that it cannot write.

    Raises:
      UnknownWordError: a text has a word outside the vocabulary.
    """
    return [self.vocabulary.encode(text.split()) for text in texts]

  def decode_words(self, tokens: Iterable[int]) -> list[str]:
    """The words of a decoded hypothesis."""
    return self.vocabulary.decode(tokens)

  def outputs(self, decoded: Decoded, row: int) -> list[tuple[list[str], float]]:
    """Words and score of each hypothesis of a row (of host arrays), best first; one at least."""
    there = np.array(decoded.scores[row] > NEGATIVE / 2)
    there[0] = True
    return [
        (self.decode_words(decoded.tokens[row, i, : decoded.lengths[row, i]]),
         float(decoded.scores[row, i]))
        for i in np.flatnonzero(there)
    ]  # fmt: skip

  def step_names(self, words: Sequence[str]) -> list[str]:
    """What is written at each step of `attention`."""
    return [*words, "end"]

  def frames(
      self, tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
  ) -> tuple[Int[Array, "B R M"], Int[Array, "B R M"]]:
    """Decoder inputs and outputs of each picture."""
    tokens_in, tokens_out = frame(tokens, lengths, SOS, EOS)
    return tokens_in[:, None], tokens_out[:, None]

  def targets(self, batch: dict[str, Array]) -> tuple[Int[Array, "B R M"], Int[Array, "B R M"]]:
    """Decoder inputs and outputs of a batch; outputs of filler are `ignored`."""
    tokens_in, tokens_out = self.frames(batch["tokens"], batch["length"])
    return tokens_in, jnp.where(batch["real"][:, None, None], tokens_out, PAD)

  def read(self, model: nn.Module, batch: dict[str, Array], train: bool = False) -> Any:
    """What `model` (bound) has seen of the pictures of a batch."""
    return model.encode(batch["image"], valid_pixels(batch), train=train)

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """Summed cross-entropy, and what the model adds; (sum, (weight, metrics, model state))."""
    tokens_in, tokens_out = self.targets(batch)

    def forward(model):
      memory = self.read(model, batch, train=True)
      logits = model.decode(tokens_in, memory, train=True)
      if not hasattr(model, "counting_loss"):
        return logits, None
      counts = symbol_counts(batch["tokens"], batch["length"], self.vocabulary)
      return logits, model.counting_loss(memory, counts)

    (logits, counting), model_state = self.model.apply(
        {"params": params, **model_state},
        method=forward,
        rngs={"dropout": key},
        mutable=list(model_state),
    )
    metrics = self.word_metrics(logits, tokens_out)
    total, weight = metrics["loss"]
    if counting is not None:
      pictures = batch["real"].sum(dtype=jnp.float32)
      counting = jnp.where(batch["real"], counting, 0).sum()
      metrics["counting"] = (counting, pictures)
      # The mean over pictures beside the mean over words.
      total += counting / jnp.maximum(pictures, 1) * weight
    return total, (weight, metrics, model_state)

  def word_metrics(self, logits: Float[Array, "B R M V"], targets: Int[Array, "B R M"]) -> dict:
    """(sum, weight) of the cross-entropy, and of the words that are the likeliest."""
    return {
        "loss": losses.cross_entropy(logits, targets, pad=self.ignored),
        "token_accuracy": losses.token_accuracy(logits, targets, pad=self.ignored),
    }

  @functools.partial(jax.jit, static_argnums=0)
  def evaluate(self, variables, batch: dict[str, Array]) -> tuple[dict, Decoded]:
    """(sum, weight) of the loss and the token accuracy without dropout, and what is decoded."""
    memory = self.model.apply(variables, method=lambda model: self.read(model, batch))
    tokens_in, tokens_out = self.targets(batch)
    logits: Any = self.model.apply(variables, tokens_in, memory, method="decode")
    return self.word_metrics(logits, tokens_out), self.search(variables, memory, batch["real"])

  @functools.partial(jax.jit, static_argnums=0)
  def predict(self, variables, batch: dict[str, Array]) -> Decoded:
    """All hypotheses of each picture, best first."""
    memory = self.model.apply(variables, method=lambda model: self.read(model, batch))
    return self.search(variables, memory, batch["real"])

  def search(self, variables, memory: Any, real: Bool[Array, "B"]) -> Decoded:
    """All hypotheses of each encoded picture, best first; `real` [B] is False on filler."""
    call: Any = functools.partial(self.model.apply, variables)
    rows = self.decode.rows
    shared, _ = call(memory, rows, 1, method="init_cache")
    return search(
        lambda tokens, at, cache: call(tokens, at, cache, shared, method="step"),
        lambda length: call(memory, rows, length, method="init_cache")[1],
        real,
        self.decode,
        self.vocabulary,
    )

  @functools.partial(jax.jit, static_argnums=0)
  def attention(
      self, variables, batch: dict[str, Array], tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
  ) -> Float[Array, "B M h w"]:
    """Where the model looks when it writes each of `tokens`, left to right.

    Mean of the heads of the last layer where it has several. The canvas must be a multiple of the
    encoder's stride.
    """
    tokens_in, _ = self.frames(tokens, lengths)
    _, seen = self.model.apply(
        variables,
        method=lambda model: model.decode(tokens_in, self.read(model, batch)),
        mutable=["intermediates"],
    )
    maps = {
        tuple(map(int, re.findall(r"_(\d+)", jax.tree_util.keystr(path)))): leaf
        for path, leaf in jax.tree.leaves_with_path(seen["intermediates"])
        if "'picture'" in jax.tree_util.keystr(path)
    }
    weights = maps[max(maps)][:, 0]  # [B, M, S]
    return weights.reshape(*weights.shape[:2], *self.grid(batch, weights.shape[-1]))

  def grid(self, batch: dict[str, Array], cells: int) -> tuple[int, int]:
    """Rows and columns of the cells that pictures are encoded in."""
    height, width = batch["image"].shape[1:3]
    stride = round((height * width / cells) ** 0.5)
    return height // stride, width // stride

  def perfect(self, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words that the best of models would write, of prepared texts."""
    return [texts[0].split() for texts in references]

  def text(self, words: Sequence[str]) -> str:
    """What a reader gets for `words`."""
    return latex.detokenize(words)

  def prepare(self, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """The texts of each picture as `score` and `details` want them."""
    return [list(texts) for texts in references]

  def score(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> dict[str, float]:
    """Scores of `metrics`, of words and prepared texts.

    None is a picture that was dropped, and wrong.
    """
    return registry.score(self.metrics, outputs, references)

  def details(
      self, outputs: Sequence[Sequence[str] | None], references: Sequence[Sequence[str]]
  ) -> list[dict[str, Any]]:
    """What the file of predictions says of each picture: its hypothesis, and how good it is."""
    return [
        {"hypothesis": None if words is None else " ".join(words)}
        | per_sample(words, texts[0].split())
        for words, texts in zip(outputs, references)
    ]
