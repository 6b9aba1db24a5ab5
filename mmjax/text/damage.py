"""Sound captions damaged at random, on the device: what a judge of grammar learns to tell apart.

Reference: Cho et al., 2022, Fine-grained image captioning with CLIP reward, section 3.2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mmjax.text.vocabulary import PAD, SPECIALS, UNKNOWN, Vocabulary

KINDS = ("repeat", "remove", "insert", "swap", "shuffle")
MOST = 3  # words of an n-gram, and edits of a caption
ROOM = MOST * MOST  # words by which a caption may grow


def drawable(vocabulary: Vocabulary) -> Int[np.ndarray, "W"]:
  """Numbers of the words that may be put into a caption.

  Raises:
    ValueError: fewer than two.
  """
  numbers = [len(SPECIALS) + i for i, word in enumerate(vocabulary.words) if word != UNKNOWN]
  if len(numbers) < 2:
    raise ValueError(f"a vocabulary of {len(numbers)} words has none to put for another")
  return np.array(numbers, np.int32)


def damage(
    key: jax.Array,
    tokens: Int[Array, "B L"],
    lengths: Int[Array, "B"],
    words: Int[np.ndarray, "W"],
) -> tuple[Int[Array, "B M"], Int[Array, "B"], Int[Array, "B"]]:
  """One edit of a kind drawn at random for each caption.

  repeat: an n-gram is put in again 1 to 3 times anywhere; remove: one is taken out; insert: 1 to 3
  words are put before others; swap: 1 to 3 times a word becomes another; shuffle: all change
  places. N-grams have 1 to 3 words. What a caption of one word cannot suffer becomes an insertion,
  and a shuffle that leaves a caption as it was is turned by one place.

  Args:
    key: of the draw.
    tokens: without start and end.
    lengths: at least 1.
    words: that may be put in, of `drawable`.

  Returns:
    Damaged captions, which have room for `ROOM` more words, PAD behind; their lengths; the number
    of the kind in `KINDS`.
  """
  tokens = jnp.pad(tokens, [(0, 0), (0, ROOM)])
  keys = jax.random.split(key, len(tokens))

  def one(key, row, n):
    kind_key, edit_key = jax.random.split(key)
    kind = jax.random.randint(kind_key, (), 0, len(KINDS))
    needs_two = (kind == KINDS.index("remove")) | (kind == KINDS.index("shuffle"))
    kind = jnp.where((n < 2) & needs_two, KINDS.index("insert"), kind)
    edited = [edit(edit_key, row, n, jnp.asarray(words)) for edit in _EDITS]
    pick = lambda *values: jnp.stack(values)[kind]
    row, n = jax.tree.map(pick, *edited)
    return jnp.where(jnp.arange(len(row)) < n, row, PAD), n, kind

  return jax.vmap(one)(keys, tokens, jnp.maximum(lengths, 1))


def _between(key, low, high):
  """A whole number, both ends included."""
  return jax.random.randint(key, (), low, high + 1)


def _put(row, n, at, piece, size):
  """`piece[:size]` before the word at `at`."""
  place = jnp.arange(len(row))
  inside = piece[jnp.clip(place - at, 0, len(piece) - 1)]
  behind = row[jnp.maximum(place - size, 0)]
  return jnp.where(place < at, row, jnp.where(place < at + size, inside, behind)), n + size


def _gram(key, n, most):
  """Size and start of an n-gram of at most `most` words."""
  keys = jax.random.split(key)
  size = _between(keys[0], 1, jnp.minimum(most, MOST))
  return size, _between(keys[1], 0, n - size)


def _repeat(key, row, n, words):
  del words
  keys = jax.random.split(key, 2 + MOST)
  size, start = _gram(keys[0], n, n)
  piece = row[jnp.minimum(start + jnp.arange(MOST), len(row) - 1)]
  times = _between(keys[1], 1, MOST)
  for i, key in enumerate(keys[2:]):
    more = jnp.where(i < times, size, 0)
    row, n = _put(row, n, _between(key, 0, n), piece, more)
  return row, n


def _remove(key, row, n, words):
  del words
  size, start = _gram(key, n, jnp.maximum(n - 1, 1))
  place = jnp.arange(len(row))
  return row[jnp.where(place < start, place, jnp.minimum(place + size, len(row) - 1))], n - size


def _insert(key, row, n, words):
  keys = jax.random.split(key, 1 + MOST)
  times = _between(keys[0], 1, MOST)
  for i, key in enumerate(keys[1:]):
    which, where = jax.random.split(key)
    piece = jax.random.choice(which, words, (1,))
    row, n = _put(row, n, _between(where, 0, n - 1), piece, jnp.where(i < times, 1, 0))
  return row, n


def _swap(key, row, n, words):
  keys = jax.random.split(key, 1 + MOST)
  times = _between(keys[0], 1, MOST)
  for i, key in enumerate(keys[1:]):
    which, where = jax.random.split(key)
    at = _between(where, 0, n - 1)
    # A word other than the one that is there: the place of that one is left out of the draw.
    place = jax.random.randint(which, (), 0, len(words) - 1)
    place += (words[place] >= row[at]) & (words == row[at]).any()
    row = jnp.where((jnp.arange(len(row)) == at) & (i < times), words[place], row)
  return row, n


def _shuffle(key, row, n, words):
  del words
  place = jnp.arange(len(row))
  inside = place < n
  order = jnp.argsort(jnp.where(inside, jax.random.uniform(key, row.shape), 2.0))
  shuffled = jnp.where(inside, row[order], row)
  turned = jnp.where(inside, row[jnp.where(inside, (place + 1) % jnp.maximum(n, 1), 0)], row)
  return jnp.where((shuffled == row).all(), turned, shuffled), n


_EDITS = (_repeat, _remove, _insert, _swap, _shuffle)
