"""Batched, cached beam search as one `while_loop` with static shapes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.text.vocabulary import PAD

NEGATIVE = -1e9  # the score of a hypothesis that is not there
Cache = Any  # pytree of [B, R, L, ...]
Step = Callable[
    [Int[Array, "B R"], Int[Array, ""], Cache], tuple[Float[Array, "B R V"], Cache]
]


class Hypotheses(NamedTuple):
  """Finished hypotheses, G searches of K each for every picture; missing ones score NEGATIVE."""

  tokens: Int[Array, "B G K L"]  # without start and stop, PAD behind the end
  scores: Float[Array, "B G K"]  # sum of log-probabilities, the stop's included
  lengths: Int[Array, "B G K"]


class _Beams(NamedTuple):
  position: Int[Array, ""]
  last: Int[Array, "B G K"]
  tokens: Int[Array, "B G K L"]
  scores: Float[Array, "B G K"]
  done: Hypotheses
  finished: Int[Array, "B G"]
  cache: Cache


def buffer_lengths(max_length: int) -> list[int]:
  """Lengths to which buffers grow on the way: most texts end long before the longest does."""
  lengths = [max_length]
  while lengths[0] > 48:
    lengths.insert(0, -(-lengths[0] // 2))
  return lengths


def beam_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    *,
    starts: Sequence[int],
    stops: Sequence[int],
    beam: int,
    max_length: int,
) -> Hypotheses:
  """Searches G = len(starts) times in each picture, each time with its own start and stop token.

  Every step keeps the best (beam - finished) continuations; one that ends with the stop token is
  finished and gives up its place. A search ends when `beam` hypotheses are finished or at
  `max_length`; if none is finished then, the best running one counts. (Zhao et al., 2021.)

  Args:
    step: (tokens [B, R], position, cache) -> (logits [B, R, V], cache), with R = G * beam rows a
      picture. `cache` leaves are [B, R, L, ...].
    cache_of: length -> empty cache; grown by padding as hypotheses get longer.
    real: [B] False for filler pictures, which are not searched.
    starts: token that a search begins with, never part of its output.
    stops: token that ends a hypothesis of a search.
    beam: K.
    max_length: most tokens of a hypothesis.

  Returns:
    `Hypotheses`, in the order in which they were finished.
  """
  groups, batch = len(starts), real.shape[0]
  rows = groups * beam
  stop = jnp.asarray(stops, jnp.int32)[None, :, None]

  def start(length: int) -> _Beams:
    empty = jnp.full((batch, groups, beam, length), PAD, jnp.int32)
    nothing = jnp.full((batch, groups, beam), NEGATIVE, jnp.float32)
    last = jnp.asarray(starts, jnp.int32)[None, :, None]
    return _Beams(
        position=jnp.int32(0),
        last=jnp.broadcast_to(last, (batch, groups, beam)),
        tokens=empty,
        scores=nothing.at[:, :, 0].set(0),  # one live hypothesis, or the first step finds K equals
        done=Hypotheses(empty, nothing, jnp.zeros((batch, groups, beam), jnp.int32)),
        finished=jnp.where(real[:, None], 0, beam) * jnp.ones((1, groups), jnp.int32),
        cache=cache_of(length),
    )

  def grow(beams: _Beams, length: int) -> _Beams:
    more = length - beams.tokens.shape[-1]
    pad = lambda x, axis: jnp.pad(x, [(0, more if a == axis else 0) for a in range(x.ndim)])
    done = beams.done._replace(tokens=pad(beams.done.tokens, 3))
    cache = jax.tree.map(lambda x: pad(x, 2), beams.cache)
    return beams._replace(tokens=pad(beams.tokens, 3), done=done, cache=cache)

  def advance(beams: _Beams) -> _Beams:
    logits, cache = step(beams.last.reshape(batch, rows), beams.position, beams.cache)
    vocabulary = logits.shape[-1]
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    log_probs = log_probs.reshape(batch, groups, beam, vocabulary)
    candidates = beams.scores[..., None] + log_probs
    scores, best = jax.lax.top_k(candidates.reshape(batch, groups, -1), beam)
    parent, token = best // vocabulary, (best % vocabulary).astype(jnp.int32)

    kept = jnp.arange(beam) < beam - beams.finished[..., None]
    kept &= scores > NEGATIVE / 2
    ended = kept & (token == stop)
    live = kept & ~ended
    prefix = jnp.take_along_axis(beams.tokens, parent[..., None], 2)

    slot = beams.finished[..., None] + jnp.cumsum(ended, -1) - 1
    slot = jnp.where(ended, slot, beam)  # out of range: dropped
    b, g = jnp.arange(batch)[:, None, None], jnp.arange(groups)[None, :, None]
    put = lambda old, new: old.at[b, g, slot].set(new, mode="drop")
    done = Hypotheses(
        put(beams.done.tokens, prefix),
        put(beams.done.scores, scores),
        put(beams.done.lengths, jnp.broadcast_to(beams.position, slot.shape)),
    )
    source = (parent + jnp.arange(groups)[None, :, None] * beam).reshape(batch, rows)
    reorder = lambda x: jnp.take_along_axis(x, source.reshape(batch, rows, *[1] * (x.ndim - 2)), 1)
    return _Beams(
        position=beams.position + 1,
        last=jnp.where(live, token, PAD),
        tokens=prefix.at[..., beams.position].set(jnp.where(live, token, PAD)),
        scores=jnp.where(live, scores, NEGATIVE),
        done=done,
        finished=beams.finished + ended.sum(-1),
        cache=jax.tree.map(reorder, cache),
    )

  lengths = buffer_lengths(max_length)
  beams = start(lengths[0])
  for length in lengths:
    beams = grow(beams, length)
    unfinished = lambda s, end=length: (s.position < end) & (s.finished < beam).any()
    beams = jax.lax.while_loop(unfinished, advance, beams)
  return _best_running_where_none_finished(beams)


def _best_running_where_none_finished(beams: _Beams) -> Hypotheses:
  best = beams.scores.argmax(-1)[..., None]
  running = Hypotheses(
      jnp.take_along_axis(beams.tokens, best[..., None], 2)[:, :, 0],
      jnp.take_along_axis(beams.scores, best, 2)[:, :, 0],
      jnp.broadcast_to(beams.position, best.shape[:2]),
  )
  none = beams.finished == 0
  first = lambda done, new: done.at[:, :, 0].set(
      jnp.where(none.reshape(none.shape + (1,) * (new.ndim - 2)), new, done[:, :, 0])
  )
  return Hypotheses(*map(first, beams.done, running))
