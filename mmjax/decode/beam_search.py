"""Batched, cached beam search as one `while_loop` with static shapes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.text.vocabulary import PAD

NEGATIVE = -1e9  # the score of a hypothesis that is not there
Cache = Any  # pytree of [B, R, ...]
Step = Callable[
    [Int[Array, "B R"], Int[Array, ""], Cache], tuple[Float[Array, "B R V"], Cache]
]


class Hypotheses(NamedTuple):
  """Finished hypotheses, G searches of K each for every picture; missing ones score NEGATIVE."""

  tokens: Int[Array, "B G K L"]  # without start and stop, PAD behind the end
  scores: Float[Array, "B G K"]
  lengths: Int[Array, "B G K"]


class _Beams(NamedTuple):
  position: Int[Array, ""]
  last: Int[Array, "B G K"]
  tokens: Int[Array, "B G K L"]
  scores: Float[Array, "B G K"]
  done: Hypotheses
  finished: Int[Array, "B G"]  # a search with `beam` of them is over
  cache: Cache


class _Candidates(NamedTuple):
  """The best C continuations, best first."""

  prefixes: Int[Array, "B G C L"]
  scores: Float[Array, "B G C"]
  stops: Bool[Array, "B G C"]  # ends with the stop token


class _Kept(NamedTuple):
  """What a rule makes of the candidates."""

  order: Int[Array, "B G K"]  # which of them go on
  live: Bool[Array, "B G K"]
  done: Hypotheses
  finished: Int[Array, "B G"]


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
      picture. `cache` leaves are [B, R, ...].
    cache_of: length -> empty cache; sides that depend on the length grow with the hypotheses.
    real: [B] False for filler pictures, which are not searched.
    starts: token that a search begins with, never part of its output.
    stops: token that ends a hypothesis of a search.
    beam: K.
    max_length: most tokens of a hypothesis.

  Returns:
    `Hypotheses` in the order in which they were finished; a score is the sum of the
    log-probabilities, the stop's included.
  """

  def keep(beams: _Beams, new: _Candidates) -> _Kept:
    kept = jnp.arange(beam) < beam - beams.finished[..., None]
    kept &= new.scores > NEGATIVE / 2
    ended = kept & new.stops
    slot = beams.finished[..., None] + jnp.cumsum(ended, -1) - 1
    slot = jnp.where(ended, slot, beam)  # out of range: dropped
    b, g = jnp.arange(slot.shape[0])[:, None, None], jnp.arange(slot.shape[1])[None, :, None]
    put = lambda old, new: old.at[b, g, slot].set(new, mode="drop")
    done = Hypotheses(
        put(beams.done.tokens, new.prefixes),
        put(beams.done.scores, new.scores),
        put(beams.done.lengths, jnp.broadcast_to(beams.position, slot.shape)),
    )
    order = jnp.broadcast_to(jnp.arange(beam), slot.shape)
    return _Kept(order, kept & ~ended, done, beams.finished + ended.sum(-1))

  beams = _search(step, cache_of, real, starts, stops, beam, max_length, beam, keep)
  return _best_running_where_none_finished(beams)


def normalised_beam_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    *,
    starts: Sequence[int],
    stops: Sequence[int],
    beam: int,
    max_length: int,
    length_penalty: float,
) -> Hypotheses:
  """As `beam_search`, but finished hypotheses take no place and are compared by length.

  Of the best 2 * beam continuations those that end among the first `beam` are finished, and the
  best `beam` of the others go on. A finished hypothesis scores (sum of its log-probabilities, the
  stop's included) / (tokens + 1) ** length_penalty, and the best `beam` of them are kept. A search
  ends when the worst of those is no worse than the best continuation at its present length; at
  `max_length` the running hypotheses count as finished. (Zhao and Gao, 2022: CoMER.)

  Returns:
    `Hypotheses`, best first, with those scores.
  """

  def merge(done: Hypotheses, tokens, scores, lengths) -> Hypotheses:
    all_scores = jnp.concatenate([done.scores, scores], -1)
    scores, best = jax.lax.top_k(all_scores, beam)
    lengths = jnp.concatenate([done.lengths, jnp.broadcast_to(lengths, tokens.shape[:3])], -1)
    there = scores > NEGATIVE / 2
    tokens = jnp.take_along_axis(jnp.concatenate([done.tokens, tokens], 2), best[..., None], 2)
    return Hypotheses(
        jnp.where(there[..., None], tokens, PAD),
        jnp.where(there, scores, NEGATIVE),
        jnp.where(there, jnp.take_along_axis(lengths, best, -1), 0),
    )

  def keep(beams: _Beams, new: _Candidates) -> _Kept:
    size = (beams.position + 1).astype(jnp.float32) ** length_penalty
    over = beams.finished == beam
    ended = new.stops & (jnp.arange(2 * beam) < beam) & (new.scores > NEGATIVE / 2)
    ended &= ~over[..., None]
    scores = jnp.where(ended, new.scores / size, NEGATIVE)
    done = merge(beams.done, new.prefixes, scores, beams.position)
    order = jnp.argsort(new.stops, -1, stable=True)[..., :beam]
    live = jnp.take_along_axis(~new.stops & (new.scores > NEGATIVE / 2), order, -1)
    over |= (done.scores[..., -1] > NEGATIVE / 2) & (
        done.scores[..., -1] >= new.scores[..., 0] / size
    )
    return _Kept(order, live, done, jnp.where(over, beam, 0))

  beams = _search(step, cache_of, real, starts, stops, beam, max_length, 2 * beam, keep)
  size = (beams.position + 1).astype(jnp.float32) ** length_penalty
  running = (beams.finished < beam)[..., None] & (beams.scores > NEGATIVE / 2)
  scores = jnp.where(running, beams.scores / size, NEGATIVE)
  return merge(beams.done, beams.tokens, scores, beams.position)


def _search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    starts: Sequence[int],
    stops: Sequence[int],
    beam: int,
    max_length: int,
    width: int,
    keep: Callable[[_Beams, _Candidates], _Kept],
) -> _Beams:
  """Extends the hypotheses until all searches are over; `keep` rules on `width` candidates."""
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
    pad = lambda x: jnp.pad(x, [(0, more if a == 3 else 0) for a in range(4)])
    done = beams.done._replace(tokens=pad(beams.done.tokens))
    fit = lambda x, to: jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, to.shape)])
    cache = jax.tree.map(fit, beams.cache, jax.eval_shape(lambda: cache_of(length)))
    return beams._replace(tokens=pad(beams.tokens), done=done, cache=cache)

  def advance(beams: _Beams) -> _Beams:
    logits, cache = step(beams.last.reshape(batch, rows), beams.position, beams.cache)
    vocabulary = logits.shape[-1]
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    log_probs = log_probs.reshape(batch, groups, beam, vocabulary)
    candidates = beams.scores[..., None] + log_probs
    scores, best = jax.lax.top_k(candidates.reshape(batch, groups, -1), width)
    parent, token = best // vocabulary, (best % vocabulary).astype(jnp.int32)
    prefixes = jnp.take_along_axis(beams.tokens, parent[..., None], 2)
    kept = keep(beams, _Candidates(prefixes, scores, token == stop))

    chosen = lambda x: jnp.take_along_axis(x, kept.order, 2)
    parent, token, scores = chosen(parent), chosen(token), chosen(scores)
    source = (parent + jnp.arange(groups)[None, :, None] * beam).reshape(batch, rows)
    reorder = lambda x: jnp.take_along_axis(x, source.reshape(batch, rows, *[1] * (x.ndim - 2)), 1)
    tokens = jnp.take_along_axis(prefixes, kept.order[..., None], 2)
    return _Beams(
        position=beams.position + 1,
        last=jnp.where(kept.live, token, PAD),
        tokens=tokens.at[..., beams.position].set(jnp.where(kept.live, token, PAD)),
        scores=jnp.where(kept.live, scores, NEGATIVE),
        done=kept.done,
        finished=kept.finished,
        cache=jax.tree.map(reorder, cache),
    )

  lengths = buffer_lengths(max_length)
  beams = start(lengths[0])
  for length in lengths:
    beams = grow(beams, length)
    unfinished = lambda s, end=length: (s.position < end) & (s.finished < beam).any()
    beams = jax.lax.while_loop(unfinished, advance, beams)
  return beams


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
