"""What a sentence is written again from: its concepts in any order, or a corrupted copy of it.

Reference: Feng et al., 2019, Unsupervised image captioning, in the authors' code; the corruption is
that of Lample et al., 2018, Unsupervised machine translation using monolingual corpora only.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mmjax.text.vocabulary import EOS, PAD

WINDOW = 4.0  # a word moves past those whose place is nearer than this
DROPPED = 0.1  # share of the words


def shuffled(
    key: jax.Array, words: Int[Array, "B C"], lengths: Int[Array, "B"]
) -> Int[Array, "B C"]:
  """The first `lengths` words of each row in another order, PAD behind."""
  there = jnp.arange(words.shape[1]) < lengths[:, None]
  return _in_order(words, there, jax.random.uniform(key, words.shape))[0]


def corrupted(
    key: jax.Array, tokens: Int[Array, "B L"], lengths: Int[Array, "B"]
) -> tuple[Int[Array, "B M"], Int[Array, "B"]]:
  """Sentences whose words stand a little elsewhere or are dropped, with EOS; and their lengths.

  Words are sorted by place + U(0, WINDOW), then each is dropped with the chance `DROPPED`.

  Args:
    key: of the draws.
    tokens, lengths: of the sentences, without start and end.
  """
  moved, dropped = jax.random.split(key)
  place = jnp.arange(tokens.shape[1])
  order = place + WINDOW * jax.random.uniform(moved, tokens.shape)
  kept = jax.random.uniform(dropped, tokens.shape) >= DROPPED
  return with_end(*_in_order(tokens, kept & (place < lengths[:, None]), order))


def with_end(
    tokens: Int[Array, "*B L"], lengths: Int[Array, "*B"]
) -> tuple[Int[Array, "*B M"], Int[Array, "*B"]]:
  """Texts with EOS behind them, and their lengths with it."""
  tokens = jnp.pad(tokens, [(0, 0)] * (tokens.ndim - 1) + [(0, 1)])
  return jnp.where(jnp.arange(tokens.shape[-1]) == lengths[..., None], EOS, tokens), lengths + 1


def _in_order(tokens, kept, order):
  """The kept words by `order`, PAD behind them; and their number."""
  places = jnp.argsort(jnp.where(kept, order, jnp.inf), -1)
  lengths = kept.sum(-1)
  found = jnp.take_along_axis(tokens, places, -1)
  return jnp.where(jnp.arange(tokens.shape[1]) < lengths[:, None], found, PAD), lengths
