"""Expression recognition in both reading directions (BTTR and its family)."""

import dataclasses
import functools
from typing import Any

import jax
from jaxtyping import Array, Bool, Int

from mmjax.decode.bidirectional import (
  STOPS,
  Decoded,
  bidirectional_search,
  both_directions,
)
from mmjax.decode.latex_grammar import LatexGrammar, accepts
from mmjax.decode.search import rule_of
from mmjax.tasks import recognition


@dataclasses.dataclass(frozen=True)
class Task(recognition.Task):
  """Image -> LaTeX, trained left to right and right to left on one encoding of the picture."""

  def __post_init__(self):
    super().__post_init__()
    if self.decode.strategy != "beam":
      raise ValueError(
          f"config.decode.strategy is {self.decode.strategy!r}; the task that reads both ways knows"
          ' "beam" alone: use it, or another task'
      )

  def frames(
      self, tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
  ) -> tuple[Int[Array, "B R M"], Int[Array, "B R M"]]:
    """Decoder inputs and outputs of both directions, left to right first."""
    return both_directions(tokens, lengths)

  def search(self, variables, memory: Any, real: Bool[Array, "B"]) -> Decoded:
    """All hypotheses of each encoded picture, best first; `real` [B] is False on filler."""
    call: Any = functools.partial(self.model.apply, variables)
    options = self.decode
    rows = 2 * options.beam
    accept = None
    if options.grammar:
      accept = functools.partial(accepts, LatexGrammar(self.vocabulary, options.max_length))
    shared, _ = call(memory, rows, 1, method="init_cache")
    step_with = lambda shared: lambda tokens, at, cache: call(
        tokens, at, cache, shared, method="step"
    )
    return bidirectional_search(
        step_with(shared),
        lambda length: call(memory, rows, length, method="init_cache")[1],
        lambda tokens: call(tokens, memory, method="decode"),
        real,
        beam=options.beam,
        max_length=options.max_length,
        length_penalty=options.length_penalty,
        normalise=options.normalise,
        constraints=[
            rule_of(options, self.vocabulary, STOPS[0]),
            rule_of(options, self.vocabulary, STOPS[1], backward=True),
        ],
        narrow=lambda pictures: step_with(jax.tree.map(lambda x: x[pictures], shared)),
        accept=accept,
    )
