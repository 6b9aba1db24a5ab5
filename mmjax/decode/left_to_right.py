"""Search of one reading direction."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from mmjax.decode.beam_search import NEGATIVE, Cache, Step, beam_search, normalised_beam_search
from mmjax.decode.bidirectional import Decoded, Normalise
from mmjax.text.vocabulary import EOS, SOS


def left_to_right_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    *,
    beam: int,
    max_length: int,
    length_penalty: float,
    normalise: Normalise = "sum",
) -> Decoded:
  """Beam search, greedy with a beam of one.

  "sum": `beam_search`; score = log p / max(tokens, 1) ** length_penalty. (Zhang et al., 2017: WAP.)
  "each": `normalised_beam_search` and its score.

  Args:
    step, cache_of, real, beam, max_length: as for `beam_search`.
    length_penalty: exponent of the length; 0 compares sums.
    normalise: which of the two searches.

  Returns:
    `beam` hypotheses a picture, best first.
  """
  limits: Any = dict(starts=(SOS,), stops=(EOS,), beam=beam, max_length=max_length)
  if normalise == "each":
    found = normalised_beam_search(step, cache_of, real, length_penalty=length_penalty, **limits)
    scores = found.scores
  else:
    found = beam_search(step, cache_of, real, **limits)
    scores = found.scores / jnp.maximum(found.lengths, 1) ** length_penalty
  scores = jnp.where(found.scores > NEGATIVE / 2, scores, NEGATIVE)
  scores, order = jax.lax.top_k(scores[:, 0], beam)
  return Decoded(
      jnp.take_along_axis(found.tokens[:, 0], order[..., None], 1),
      scores,
      jnp.take_along_axis(found.lengths[:, 0], order, 1),
  )
