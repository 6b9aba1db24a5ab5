"""Both reading directions: targets for training, and search with mutual rescoring."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.decode.beam_search import (
  NEGATIVE,
  Cache,
  Hypotheses,
  Narrow,
  Step,
  beam_search,
  buffer_lengths,
  normalised_beam_search,
)
from mmjax.decode.constraints import Constraint
from mmjax.decode.options import Normalise
from mmjax.text.vocabulary import EOS, PAD, SOS

STARTS, STOPS = (SOS, EOS), (EOS, SOS)  # left to right, right to left
PARTS = 5  # in which the hypotheses of a picture are scored by the other direction


class Decoded(NamedTuple):
  """Hypotheses in reading order, best first; missing ones score NEGATIVE."""

  tokens: Int[Array, "B N L"]  # no specials, PAD behind the end
  scores: Float[Array, "B N"]
  lengths: Int[Array, "B N"]


def reverse(tokens: Int[Array, "*B L"], lengths: Int[Array, "*B"]) -> Int[Array, "*B L"]:
  """The first `lengths` tokens of each row backwards; the rest stay."""
  at = jnp.arange(tokens.shape[-1])
  source = jnp.where(at < lengths[..., None], lengths[..., None] - 1 - at, at)
  return jnp.take_along_axis(tokens, source, -1)


def frame(
    tokens: Int[Array, "*B L"], lengths: Int[Array, "*B"], start: int, stop: int
) -> tuple[Int[Array, "*B M"], Int[Array, "*B M"]]:
  """Decoder input [start, t1..tn] and output [t1..tn, stop] of L + 1 places, PAD behind."""
  at = jnp.arange(tokens.shape[-1] + 1)
  edge = [(0, 0)] * (tokens.ndim - 1)
  n = lengths[..., None]
  before = jnp.pad(tokens, [*edge, (1, 0)], constant_values=start)
  after = jnp.pad(tokens, [*edge, (0, 1)])
  tokens_in = jnp.where(at <= n, before, PAD)
  tokens_out = jnp.where(at < n, after, jnp.where(at == n, stop, PAD))
  return tokens_in, tokens_out


def both_directions(
    tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
) -> tuple[Int[Array, "B 2 M"], Int[Array, "B 2 M"]]:
  """Decoder inputs and outputs, left to right and right to left.

  L2R: [sos, t1..tn] -> [t1..tn, eos]; R2L: [eos, tn..t1] -> [tn..t1, sos].
  """
  forward = frame(tokens, lengths, STARTS[0], STOPS[0])
  backward = frame(reverse(tokens, lengths), lengths, STARTS[1], STOPS[1])
  return jnp.stack([forward[0], backward[0]], 1), jnp.stack([forward[1], backward[1]], 1)


def sequence_scores(
    logits: Float[Array, "*B M V"], tokens_out: Int[Array, "*B M"]
) -> Float[Array, "*B"]:
  """Sum of the log-probabilities of `tokens_out`, PAD left out."""
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  chosen = jnp.take_along_axis(log_probs, tokens_out[..., None], -1)[..., 0]
  return jnp.where(tokens_out != PAD, chosen, 0).sum(-1)


def bidirectional_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    decode: Callable[[Int[Array, "B R M"]], Float[Array, "B R M V"]],
    real: Bool[Array, "B"],
    *,
    beam: int,
    max_length: int,
    length_penalty: float,
    normalise: Normalise = "sum",
    constraints: Sequence[Constraint | None] = (),
    narrow: Narrow | None = None,
    accept: Callable[[Int[Array, "B K L"], Int[Array, "B K"]], Bool[Array, "B K"]] | None = None,
) -> Decoded:
  """Beam search in both directions; each direction's hypotheses are scored by the other as well.

  "sum": `beam_search`; score = (log p of its own direction + log p of the other)
  / max(tokens, 1) ** length_penalty, stop tokens included in the probabilities and not in the
  length. (Zhao et al., 2021, 3.5: BTTR.)
  "each": `normalised_beam_search`; the score is the sum of both directions' own ones,
  log p / (tokens + 1) ** length_penalty. (Zhao and Gao, 2022: CoMER.)

  Args:
    step, cache_of, real, beam, max_length: as for `beam_search`, with 2 * beam rows.
    decode: teacher-forced logits of [B, R, M] decoder inputs.
    length_penalty: exponent of the length; 0 compares sums.
    normalise: what is divided by the length.
    constraints: of each direction, or ().
    narrow: as for `beam_search`.
    accept: whether texts found from right to left count, of tokens in reading order and lengths;
      default all do.

  Returns:
    2 * beam hypotheses a picture, best first, in reading order.
  """
  limits: Any = dict(
      starts=STARTS, stops=STOPS, beam=beam, max_length=max_length, constraints=constraints,
      narrow=narrow,
  )  # fmt: skip
  if normalise == "each":
    found = normalised_beam_search(step, cache_of, real, length_penalty=length_penalty, **limits)
    other = _other_direction(found, decode, max_length)
    total = found.scores + other / (found.lengths + 1) ** length_penalty
  else:
    found = beam_search(step, cache_of, real, **limits)
    total = found.scores + _other_direction(found, decode, max_length)
    total = total / jnp.maximum(found.lengths, 1) ** length_penalty
  total = jnp.where(found.scores > NEGATIVE / 2, total, NEGATIVE)
  backward = reverse(found.tokens[:, 1], found.lengths[:, 1])
  if accept is not None:
    counts = accept(backward, found.lengths[:, 1])
    total = total.at[:, 1].set(jnp.where(counts, total[:, 1], NEGATIVE))
  tokens = jnp.concatenate([found.tokens[:, 0], backward], 1)
  lengths = found.lengths.reshape(tokens.shape[:2])
  scores, order = jax.lax.top_k(total.reshape(tokens.shape[:2]), tokens.shape[1])
  return Decoded(
      jnp.take_along_axis(tokens, order[..., None], 1),
      scores,
      jnp.take_along_axis(lengths, order, 1),
  )


def _other_direction(found: Hypotheses, decode, max_length: int) -> Float[Array, "B G K"]:
  """Log-probability of each hypothesis under the direction that did not propose it."""
  batch, _, beam = found.lengths.shape
  mirrored = reverse(found.tokens, found.lengths)
  framed = [
      frame(mirrored[:, group], found.lengths[:, group], STARTS[other], STOPS[other])
      for group, other in ((0, 1), (1, 0))
  ]
  inputs, outputs = (jnp.concatenate(rows, 1) for rows in zip(*framed))  # [B, 2K, M]
  lengths = found.lengths.reshape(batch, -1)
  sizes = buffer_lengths(max_length)

  def score(chunk):
    inputs, outputs, lengths = chunk
    short = lambda n: sequence_scores(decode(inputs[..., : n + 1]), outputs[..., : n + 1])
    which = jnp.searchsorted(jnp.asarray(sizes), lengths.max())
    return jax.lax.switch(which, [lambda n=n: short(n) for n in sizes])

  # Full length costs many times what the usual short hypotheses need. A few hypotheses of each
  # picture at a time, the longest first: each part takes the shortest length that holds it, and the
  # attention maps of a part stay small.
  order = jnp.argsort(-lengths, -1)
  parts = max(n for n in range(1, PARTS + 1) if 2 * beam % n == 0)
  part = lambda x: jnp.moveaxis(x.reshape(batch, parts, -1, *x.shape[2:]), 1, 0)
  pick = lambda x: part(jnp.take_along_axis(x, order.reshape(*order.shape, *[1] * (x.ndim - 2)), 1))
  scores = jax.lax.map(score, (pick(inputs), pick(outputs), pick(lengths)))  # [parts, B, ...]
  scores = jnp.moveaxis(scores, 0, 1).reshape(batch, -1)
  back = jnp.take_along_axis(scores, jnp.argsort(order, -1), -1)
  return back.reshape(found.scores.shape)
