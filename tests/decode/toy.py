"""A language model whose next word depends on every word before it, as tables of logits.

The logits come from row `sum(word * weight(place)) mod M` of a picture's table. The cached form
keeps the words in its cache: a search that loses or mixes up a row of it gives other logits.
"""

import jax
import jax.numpy as jnp
import numpy as np

M = 31  # rows of a table


def weights(length):
  return (7 * np.arange(length)) % (M - 1) + 1  # never 0 modulo M


def plain(table):
  """The model of one picture [M, V] for the reference."""
  rows = np.asarray(table, np.float64).tolist()

  def model(tokens):
    return rows[sum(int(t) * int(w) for t, w in zip(tokens, weights(len(tokens)))) % M]

  return model


def cached(tables, rows):
  """`step` and `cache_of` of `beam_search` for pictures [B, M, V]."""

  def step(tokens, position, cache):
    cache = jax.lax.dynamic_update_slice_in_dim(cache, tokens[..., None], position, 2)
    return look_up(tables, (cache * weights(cache.shape[2])).sum(-1)), cache

  return step, lambda length: jnp.zeros((len(tables), rows, length), jnp.int32)


def teacher_forced(tables):
  """`decode` of `bidirectional_search`."""
  return lambda tokens: look_up(tables, jnp.cumsum(tokens * weights(tokens.shape[-1]), -1))


def look_up(tables, index):
  return jax.vmap(lambda table, i: table[i % M])(tables, index)


def random_tables(seed, pictures, words, *, spread=1.5, stop_bonus=0.0):
  """Logits [B, M, V]; `stop_bonus` is added to both stop tokens."""
  rng = np.random.default_rng(seed)
  tables = rng.normal(0, spread, (pictures, M, words)).astype(np.float32)
  tables[..., 1:3] += stop_bonus
  return tables
