"""Which words may come next: rules of a search, as arrays inside its loop."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mmjax.text.vocabulary import PAD

State = Any  # pytree of [B, R, ...], reordered with the hypotheses


class Constraint(Protocol):
  """A rule over the words of R hypotheses of each of B pictures."""

  def init(self, batch: int, rows: int) -> State:
    """State of hypotheses without words."""

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    """Words that may come next."""

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    """State when `token` has been added."""


@dataclasses.dataclass(frozen=True)
class All:
  """What every one of `rules` allows."""

  rules: tuple[Constraint, ...]

  def init(self, batch: int, rows: int) -> State:
    return tuple(rule.init(batch, rows) for rule in self.rules)

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    allowed = self.rules[0].mask(state[0])
    for rule, own in zip(self.rules[1:], state[1:]):
      allowed &= rule.mask(own)
    return allowed

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    return tuple(rule.advance(own, token) for rule, own in zip(self.rules, state))


@dataclasses.dataclass(frozen=True)
class Banned:
  """Some words never come."""

  words: tuple[int, ...]
  vocabulary: int

  def init(self, batch: int, rows: int) -> State:
    return jnp.zeros((batch, rows), bool)

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    return jnp.broadcast_to(_all_but(self.words, self.vocabulary), (*state.shape, self.vocabulary))

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    return state


@dataclasses.dataclass(frozen=True)
class MinimumLength:
  """No stop before `words` words."""

  words: int
  stops: tuple[int, ...]
  vocabulary: int

  def init(self, batch: int, rows: int) -> State:
    return jnp.zeros((batch, rows), jnp.int32)

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    return (state >= self.words)[..., None] | _all_but(self.stops, self.vocabulary)

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    return state + 1


@dataclasses.dataclass(frozen=True)
class NoWordTwice:
  """A word never follows itself."""

  vocabulary: int

  def init(self, batch: int, rows: int) -> State:
    return jnp.full((batch, rows), PAD, jnp.int32)

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    return state[..., None] != jnp.arange(self.vocabulary)

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    return token


@dataclasses.dataclass(frozen=True)
class NoRepeatedNgram:
  """No run of `n` words comes twice.

  `start` are words that count as written before the first, as a prompt's do for Hugging Face.
  """

  n: int
  max_length: int
  vocabulary: int
  start: tuple[int, ...] = ()

  def init(self, batch: int, rows: int) -> State:
    length = len(self.start) + self.max_length
    words = jnp.full((length,), PAD, jnp.int32).at[: len(self.start)].set(
        jnp.asarray(self.start, jnp.int32)
    )
    return (
        jnp.broadcast_to(words, (batch, rows, length)),
        jnp.full((batch, rows), len(self.start), jnp.int32),
    )

  def mask(self, state: State) -> Bool[Array, "B R V"]:
    words, length = state
    batch, rows, places = words.shape
    # A run that begins at `at` is written as far as its last word; it repeats if it begins as the
    # last n - 1 words do.
    at = jnp.arange(places)
    repeats = at + self.n <= length[..., None]
    for i in range(self.n - 1):
      last = jnp.take_along_axis(words, (length - self.n + 1 + i)[..., None], 2, mode="clip")
      repeats &= jnp.roll(words, -i, 2) == last
    following = jnp.roll(words, 1 - self.n, 2)
    where = jnp.where(repeats, following, self.vocabulary)  # out of range: dropped
    b, r = jnp.arange(batch)[:, None, None], jnp.arange(rows)[None, :, None]
    allowed = jnp.ones((batch, rows, self.vocabulary), bool)
    return allowed.at[b, r, where].set(False, mode="drop")

  def advance(self, state: State, token: Int[Array, "B R"]) -> State:
    words, length = state
    here = jnp.arange(words.shape[2]) == length[..., None]
    return jnp.where(here, token[..., None], words), length + 1


def combine(rules: Sequence[Constraint]) -> tuple[Constraint, ...]:
  """One constraint of all `rules`, for a search of one start; none where there are none."""
  return (All(tuple(rules)),) if rules else ()


def _all_but(words: Sequence[int], vocabulary: int) -> Bool[np.ndarray, "V"]:
  allowed = np.ones(vocabulary, bool)
  allowed[list(words)] = False
  return allowed
