"""Texts drawn at random from a model, with its cache, in one `while_loop`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.decode.beam_search import NEGATIVE, Cache, Step, Words, as_words, or_stop
from mmjax.decode.constraints import Constraint
from mmjax.text.vocabulary import EOS, PAD

BLOCK = 64  # words that are drawn from together


class Sampled(NamedTuple):
  """N texts a picture.

  A text shorter than L ended with a stop, whose log-probability stands at `lengths`. The
  log-probabilities are the model's own: without temperature, truncation and constraint.
  """

  tokens: Int[Array, "B N L"]  # without start and stop, PAD behind the end
  lengths: Int[Array, "B N"]
  log_probs: Float[Array, "B N L"]  # of each token and of the stop, 0 behind


class _Running(NamedTuple):
  position: Int[Array, ""]
  last: Int[Array, "B N"]
  done: Bool[Array, "B N"]
  found: Sampled
  cache: Cache
  allowed: Any


def truncate(
    logits: Float[Array, "*B V"], *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Float[Array, "*B V"]:
  """Logits divided by `temperature`, NEGATIVE where a word may not be drawn.

  Args:
    logits: of the model.
    temperature: above 0.
    top_k: words that may be drawn, the likeliest; 0 for all. Equals of the last one may as well.
    top_p: the likeliest words that together have this probability may be drawn, with temperature
      and among `top_k`. (Holtzman et al., 2020: nucleus sampling.)
  """
  logits = logits.astype(jnp.float32) / temperature
  if top_k:
    least = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][..., -1:]
    logits = jnp.where(logits >= least, logits, NEGATIVE)
  if top_p < 1:
    ranked = jnp.sort(logits, -1, descending=True)
    likely = jax.nn.softmax(ranked)
    inside = jnp.cumsum(likely, -1) - likely < top_p
    least = jnp.where(inside, ranked, jnp.inf).min(-1, keepdims=True)
    logits = jnp.where(logits >= least, logits, NEGATIVE)
  return logits


def writable(logits: Float[Array, "*B V"], temperature: float = 1.0) -> Float[Array, "*B V"]:
  """Logits of what may be written: anything but PAD and SOS."""
  never = jnp.arange(logits.shape[-1]) < EOS
  return jnp.where(never, NEGATIVE, logits.astype(jnp.float32) / temperature)


def policy_of(logits: Float[Array, "*B V"], temperature: float = 1.0) -> Float[Array, "*B V"]:
  """Log-probabilities of what may be written."""
  return jax.nn.log_softmax(writable(logits, temperature))


def draw_words(key: jax.Array, logits: Float[Array, "*B V"]) -> Int[Array, "*B"]:
  """A word of each row, drawn with the probabilities softmax(logits).

  First a block of neighbouring words is drawn, then one of its words: two random numbers a row
  instead of one for every word, and running sums that are short, hence exact. A word whose
  probability is 0 in float32, as where a logit is NEGATIVE, is never drawn.
  """
  words = logits.shape[-1]
  logits = logits.astype(jnp.float32)
  logits -= logits.max(-1, keepdims=True)
  first, second = jax.random.uniform(key, (2, *logits.shape[:-1]))
  blocks = -(-words // BLOCK)
  weights = jnp.pad(jnp.exp(logits), [(0, 0)] * first.ndim + [(0, blocks * BLOCK - words)])
  block = _pick(weights.reshape(*first.shape, blocks, BLOCK).sum(-1), first)
  inside = block[..., None] * BLOCK + jnp.arange(BLOCK)
  # Read again from the logits: to gather from the weights would store them all.
  near = jnp.take_along_axis(logits, jnp.minimum(inside, words - 1), -1)
  return block * BLOCK + _pick(jnp.where(inside < words, jnp.exp(near), 0), second)


def _pick(weights: Float[Array, "*B N"], number: Float[Array, "*B"]) -> Int[Array, "*B"]:
  """Where the running sum passes `number` of the whole, 0 <= number < 1, at a weight above 0."""
  ends = jnp.where(weights > 0, jnp.cumsum(weights, -1), 0)
  return (ends > number[..., None] * ends.max(-1, keepdims=True)).argmax(-1)


def sample(
    step: Step,
    cache_of: Callable[[int], Cache],
    key: jax.Array,
    real: Bool[Array, "B"],
    *,
    start: Words,
    stop: Words,
    samples: int,
    max_length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    greedy: int = 0,
    constraint: Constraint | None = None,
) -> Sampled:
  """Draws `samples` texts of each picture, word by word.

  Args:
    step, cache_of, real: as for `beam_search`, with R = samples rows.
    key: of all the draws.
    start: token that texts begin with, or a prompt; not part of them.
    stop: token that ends a text, or several that do.
    samples: N.
    max_length: L, most words of a text.
    temperature: divides the logits; 0 takes the likeliest word, so that all N texts are the same.
    top_k, top_p: see `truncate`.
    greedy: how many of the N texts, the first ones, take the likeliest word instead.
    constraint: words that may come next; where none may, the stop may.

  Returns:
    `Sampled`; filler pictures have empty texts.
  """
  batch, before = real.shape[0], len(as_words(start)) - 1
  stops = jnp.asarray(as_words(stop), jnp.int32)
  shape = (batch, samples)
  cache = cache_of(max_length + before)
  words = [jnp.full(shape, word, jnp.int32) for word in as_words(start)]
  for at in range(before):
    _, cache = step(words[at], jnp.int32(at), cache)

  def advance(now: _Running) -> _Running:
    logits, cache = step(now.last, now.position + before, now.cache)
    logits = logits.astype(jnp.float32)
    choice = logits
    if constraint is not None:
      choice = jnp.where(or_stop(constraint.mask(now.allowed), stops), logits, NEGATIVE)
    certain = samples if temperature == 0 else greedy
    token = choice[:, :certain].argmax(-1)
    if certain < samples:
      rest = truncate(choice[:, certain:], temperature=temperature, top_k=top_k, top_p=top_p)
      drawn = draw_words(jax.random.fold_in(key, now.position), rest)
      token = jnp.concatenate([token, drawn], 1)
    token = token.astype(jnp.int32)
    log_prob = jnp.take_along_axis(logits, token[..., None], -1)[..., 0]
    log_prob -= jax.nn.logsumexp(logits, -1)
    done = now.done | (token[..., None] == stops).any(-1)
    token = jnp.where(done, PAD, token)
    put = lambda x, new: jax.lax.dynamic_update_slice_in_dim(x, new[..., None], now.position, 2)
    return _Running(
        position=now.position + 1,
        last=token,
        done=done,
        found=Sampled(
            put(now.found.tokens, token),
            now.found.lengths + ~done,
            put(now.found.log_probs, jnp.where(now.done, 0, log_prob)),
        ),
        cache=cache,
        allowed=None if constraint is None else constraint.advance(now.allowed, token),
    )

  empty = jnp.full((*shape, max_length), PAD, jnp.int32)
  first = _Running(
      position=jnp.int32(0),
      last=words[-1],
      done=jnp.broadcast_to(~real[:, None], shape),
      found=Sampled(empty, jnp.zeros(shape, jnp.int32), jnp.zeros(empty.shape, jnp.float32)),
      cache=cache,
      allowed=None if constraint is None else constraint.init(*shape),
  )
  unfinished = lambda now: (now.position < max_length) & ~now.done.all()
  return jax.lax.while_loop(unfinished, advance, first).found
