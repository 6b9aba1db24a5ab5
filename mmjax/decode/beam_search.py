"""Batched, cached beam search as one `while_loop` with static shapes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.decode.constraints import Constraint
from mmjax.text.vocabulary import PAD

FEW = 4  # when no more than one of so many pictures is unfinished, the others are left out
NEGATIVE = -1e9  # the score of a hypothesis that is not there
Cache = Any  # pytree of [B, R, ...]
Step = Callable[
    [Int[Array, "B R"], Int[Array, ""], Cache], tuple[Float[Array, "B R V"], Cache]
]
Narrow = Callable[[Int[Array, "b"]], Step]
Words = int | Sequence[int]
Ending = Literal["candidate", "running", "longest", "full"]


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
  allowed: tuple[Any, ...]  # states of the constraints, [B, K, ...]


class _Candidates(NamedTuple):
  """The best C continuations, best first."""

  prefixes: Int[Array, "B G C L"]
  tokens: Int[Array, "B G C"]  # that continue them
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


def as_words(words: Words) -> tuple[int, ...]:
  """One or several as several."""
  return (words,) if isinstance(words, int) else tuple(words)


def beam_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    *,
    starts: Sequence[Words],
    stops: Sequence[Words],
    beam: int,
    max_length: int,
    constraints: Sequence[Constraint | None] = (),
    diversity: float = 0.0,
    narrow: Narrow | None = None,
) -> Hypotheses:
  """Searches G = len(starts) times in each picture, each time with its own start and stop token.

  The beam shrinks: every step keeps the best (beam - finished) continuations; one that ends with
  the stop token is finished and gives up its place. A search ends when `beam` hypotheses are
  finished or at `max_length`; if none is finished then, the best running one counts. (Xu et al.,
  2015: Show, Attend and Tell; Zhao et al., 2021: BTTR.)

  With `diversity` the searches of a picture look at one another: in each step they choose one after
  the other, and a word counts `diversity` less for every hypothesis of an earlier search that takes
  it in this step. That steers the choice alone; scores stay log-probabilities. (Vijayakumar et al.,
  2016, equation 5 with Hamming diversity.)

  Args:
    step: (tokens [B, R], position, cache) -> (logits [B, R, V], cache), with R = G * beam rows a
      picture. `cache` leaves are [B, R, ...].
    cache_of: length -> empty cache; sides that depend on the length grow with the hypotheses.
    real: [B] False for filler pictures, which are not searched.
    starts: token that a search begins with, never part of its output; or several (a prompt), then
      equally many for each search. The cache has room for all of them.
    stops: token that ends a hypothesis of a search, or several that do.
    beam: K.
    max_length: most tokens of a hypothesis.
    constraints: of each search, or (); the words that may come next. Where none may, the stop may.
    diversity: see above; 0 for searches of their own.
    narrow: numbers of some pictures -> `step` of these alone. With it a search of many pictures
      goes on with those that are not finished, once they are few.

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

  beams = _search(
      step, cache_of, real, starts, stops, beam, max_length, beam, keep, constraints, diversity,
      narrow,
  )  # fmt: skip
  return _best_running_where_none_finished(beams)


def normalised_beam_search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    *,
    starts: Sequence[Words],
    stops: Sequence[Words],
    beam: int,
    max_length: int,
    length_penalty: float,
    ending: Ending = "candidate",
    cut: bool = False,
    counted: int = 0,
    constraints: Sequence[Constraint | None] = (),
    narrow: Narrow | None = None,
) -> Hypotheses:
  """As `beam_search`, but finished hypotheses take no place and are compared by length.

  Of the best (1 + stop tokens) * beam continuations those that end among the first `beam` are
  finished, and the best `beam` of the others go on. A finished hypothesis scores (sum of its
  log-probabilities, the stop's included) / (tokens + 1) ** length_penalty, and the best `beam` of
  them are kept. A search ends when it has so many and the worst of them is no worse than what
  `ending` names; at `max_length` the running hypotheses count as finished, their stop for nothing.
  (Zhao and Gao, 2022: CoMER. The other settings are those of Hugging Face's `generate`; see
  `mmjax.decode.generation`.)

  Args:
    step, cache_of, real, starts, stops, beam, max_length, constraints, narrow: as for
      `beam_search`.
    length_penalty: exponent of the length; 0 compares sums.
    ending: "candidate": the best continuation at its present length, one that just stopped
      included; "running": the best that goes on; "longest": that one if it grew to `max_length`
      for nothing; "full": there is nothing to compare, the number is enough.
    cut: at `max_length` any word ends a hypothesis, as a stop does and in its place.
    counted: tokens of the start that count as part of the length.

  Returns:
    `Hypotheses`, best first, with those scores.
  """
  longest = max_length + counted + (not cut)

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

  def size_at(length) -> Float[Array, ""]:
    return jnp.asarray(length, jnp.float32) ** length_penalty

  def keep(beams: _Beams, new: _Candidates) -> _Kept:
    size = size_at(beams.position + 1 + counted)
    over = beams.finished == beam
    stops, texts, lengths = new.stops, new.prefixes, beams.position
    if cut:
      ends_here = ~stops & (beams.position == max_length - 1)
      stops |= ends_here
      texts = texts.at[..., beams.position].set(jnp.where(ends_here, new.tokens, PAD))
      lengths = beams.position + ends_here
    there = new.scores > NEGATIVE / 2
    ended = stops & (jnp.arange(new.scores.shape[-1]) < beam) & there & ~over[..., None]
    scores = jnp.where(ended, new.scores / size, NEGATIVE)
    done = merge(beams.done, texts, scores, lengths)
    order = jnp.argsort(stops, -1, stable=True)[..., :beam]
    live = jnp.take_along_axis(~stops & there, order, -1)
    worst = done.scores[..., -1]
    if ending == "full":
      no_better = jnp.ones_like(over)
    elif ending == "candidate":
      no_better = worst >= new.scores[..., 0] / size
    else:
      best = jnp.take_along_axis(new.scores, order[..., :1], -1)[..., 0]
      if ending == "longest" and length_penalty > 0:
        size = size_at(longest)
      no_better = worst >= jnp.where(live[..., 0], best / size, NEGATIVE)
    over |= (worst > NEGATIVE / 2) & no_better
    return _Kept(order, live, done, jnp.where(over, beam, 0))

  width = beam * (1 + max(len(as_words(stop)) for stop in stops))
  beams = _search(
      step, cache_of, real, starts, stops, beam, max_length, width, keep, constraints, 0.0, narrow
  )
  running = (beams.finished < beam)[..., None] & (beams.scores > NEGATIVE / 2)
  scores = jnp.where(running, beams.scores / size_at(beams.position + 1 + counted), NEGATIVE)
  return merge(beams.done, beams.tokens, scores, beams.position)


def _search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    starts: Sequence[Words],
    stops: Sequence[Words],
    beam: int,
    max_length: int,
    width: int,
    keep: Callable[[_Beams, _Candidates], _Kept],
    constraints: Sequence[Constraint | None],
    diversity: float,
    narrow: Narrow | None,
) -> _Beams:
  """Extends the hypotheses until all searches are over; `keep` rules on `width` candidates."""
  groups, batch = len(starts), real.shape[0]
  rows = groups * beam
  prompts = jnp.asarray([as_words(start) for start in starts], jnp.int32)  # [G, P]
  before = prompts.shape[1] - 1  # places of the cache that the first hypotheses find taken
  most = max(len(as_words(stop)) for stop in stops)
  stop = jnp.asarray([(as_words(stop) * most)[:most] for stop in stops], jnp.int32)  # [G, E]

  def start(length: int) -> _Beams:
    empty = jnp.full((batch, groups, beam, length), PAD, jnp.int32)
    nothing = jnp.full((batch, groups, beam), NEGATIVE, jnp.float32)
    words = jnp.broadcast_to(prompts[:, None], (batch, groups, beam, before + 1))
    cache = cache_of(length + before)
    for at in range(before):
      _, cache = step(words[..., at].reshape(batch, rows), jnp.int32(at), cache)
    return _Beams(
        position=jnp.int32(0),
        last=words[..., -1],
        tokens=empty,
        scores=nothing.at[:, :, 0].set(0),  # one live hypothesis, or the first step finds K equals
        done=Hypotheses(empty, nothing, jnp.zeros((batch, groups, beam), jnp.int32)),
        finished=jnp.where(real[:, None], 0, beam) * jnp.ones((1, groups), jnp.int32),
        cache=cache,
        allowed=tuple(c.init(batch, beam) if c else None for c in constraints),
    )

  def grow(beams: _Beams, length: int) -> _Beams:
    more = length - beams.tokens.shape[-1]
    pad = lambda x: jnp.pad(x, [(0, more if a == 3 else 0) for a in range(4)])
    done = beams.done._replace(tokens=pad(beams.done.tokens))
    fit = lambda x, to: jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, to.shape)])
    cache = jax.tree.map(fit, beams.cache, jax.eval_shape(lambda: cache_of(length + before)))
    return beams._replace(tokens=pad(beams.tokens), done=done, cache=cache)

  def advance(step: Step, beams: _Beams) -> _Beams:
    batch = len(beams.last)
    position = beams.position + before
    logits, cache = step(beams.last.reshape(batch, rows), position, beams.cache)
    vocabulary = logits.shape[-1]
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    log_probs = log_probs.reshape(batch, groups, beam, vocabulary)
    if any(constraints):
      all_words = jnp.ones((batch, beam, vocabulary), bool)
      masks = [c.mask(s) if c else all_words for c, s in zip(constraints, beams.allowed)]
      allowed = jnp.stack(masks, 1)
      log_probs = jnp.where(or_stop(allowed, stop[:, None]), log_probs, NEGATIVE)
    candidates = beams.scores[..., None] + log_probs
    if diversity:
      scores, best = _one_after_the_other(candidates, beams.finished, diversity)
    else:
      scores, best = jax.lax.top_k(candidates.reshape(batch, groups, -1), width)
    parent, token = best // vocabulary, (best % vocabulary).astype(jnp.int32)
    prefixes = jnp.take_along_axis(beams.tokens, parent[..., None], 2)
    stopped = (token[..., None] == stop[None, :, None]).any(-1)
    kept = keep(beams, _Candidates(prefixes, token, scores, stopped))

    chosen = lambda x: jnp.take_along_axis(x, kept.order, 2)
    parent, token, scores = chosen(parent), chosen(token), chosen(scores)
    source = (parent + jnp.arange(groups)[None, :, None] * beam).reshape(batch, rows)
    tokens = jnp.take_along_axis(prefixes, kept.order[..., None], 2)
    return _Beams(
        position=beams.position + 1,
        last=jnp.where(kept.live, token, PAD),
        tokens=tokens.at[..., beams.position].set(jnp.where(kept.live, token, PAD)),
        scores=jnp.where(kept.live, scores, NEGATIVE),
        done=kept.done,
        finished=kept.finished,
        cache=_take_rows(cache, source),
        allowed=tuple(
            c.advance(_take_rows(state, parent[:, g]), token[:, g]) if c else None
            for g, (c, state) in enumerate(zip(constraints, beams.allowed))
        ),
    )

  unfinished = lambda beams: (beams.finished < beam).any(-1)  # [B]
  few = batch // FEW if narrow is not None else 0
  lengths = buffer_lengths(max_length)
  beams = start(lengths[0])
  for length in lengths:
    beams = grow(beams, length)
    going = lambda than, s, end=length: (s.position < end) & (unfinished(s).sum() > than)
    beams = jax.lax.while_loop(
        functools.partial(going, few), functools.partial(advance, step), beams
    )
    if narrow is not None and few:
      _, chosen = jax.lax.top_k(unfinished(beams).astype(jnp.int32), few)
      some = jax.lax.while_loop(
          functools.partial(going, 0),
          functools.partial(advance, narrow(chosen)),
          _pictures(beams, chosen),
      )
      beams = _put(beams, some, chosen)
  return beams


def _pictures(beams: _Beams, chosen: Int[Array, "b"]) -> _Beams:
  """The searches of some pictures."""
  return jax.tree.map(lambda x: x[chosen] if x.ndim else x, beams)  # the position is of all


def _put(beams: _Beams, some: _Beams, chosen: Int[Array, "b"]) -> _Beams:
  """`beams` with `some` as the searches of the `chosen` pictures."""
  return jax.tree.map(lambda x, new: x.at[chosen].set(new) if x.ndim else new, beams, some)


def or_stop(allowed: Bool[Array, "*R V"], stop: Int[Array, "*#R E"]) -> Bool[Array, "*R V"]:
  """`allowed`, and where that is nothing the stops."""
  ends = (jnp.arange(allowed.shape[-1]) == stop[..., None]).any(-2)
  return allowed | (ends & ~allowed.any(-1, keepdims=True))


def _take_rows(tree: Any, source: Int[Array, "B R"]) -> Any:
  take = lambda x: jnp.take_along_axis(x, source.reshape(*source.shape, *[1] * (x.ndim - 2)), 1)
  return jax.tree.map(take, tree)


def _one_after_the_other(
    candidates: Float[Array, "B G K V"], finished: Int[Array, "B G"], diversity: float
) -> tuple[Float[Array, "B G K"], Int[Array, "B G K"]]:
  """The best K continuations of each search, where words that earlier ones took count less."""
  batch, groups, beam, vocabulary = candidates.shape
  takers = jnp.zeros((batch, 1, vocabulary))
  found = []
  for g in range(groups):
    steered = (candidates[:, g] - diversity * takers).reshape(batch, -1)
    _, best = jax.lax.top_k(steered, beam)
    scores = jnp.take_along_axis(candidates[:, g].reshape(batch, -1), best, -1)
    taken = (jnp.arange(beam) < beam - finished[:, g, None]) & (scores > NEGATIVE / 2)
    takers = takers.at[jnp.arange(batch)[:, None], 0, best % vocabulary].add(taken)
    found.append((scores, best))
  return jnp.stack([scores for scores, _ in found], 1), jnp.stack([best for _, best in found], 1)


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
