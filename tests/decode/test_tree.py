"""The search over trees against plain ones, on a toy whose logits depend on all that was written.

Its trail is a number made of the trail and the word of the parent, which names a row of a table.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.decode.tree import SETS, WORDS, rows_of, tree_search
from mmjax.text import latex_tree
from mmjax.text.san_labels import EOS, RELATIONS, SOS, STRUCT, TreeWords, latex_of
from tests.decode import reference

NAMES = TreeWords((r"\frac", "x", "'", "[", r"\left("))
V, F, M = len(NAMES), len(RELATIONS), 97
DEPTH = 3


def follow(trail, parent_word):
  return (trail * 5 + parent_word * 11 + 1) % M


def tables(seed, pictures=3, *, ends=0.0, opens=0.0):
  """Logits [B, M, V + F]; `ends` is added to EOS, `opens` taken from relations."""
  t = np.random.default_rng(seed).normal(0, 1.5, (pictures, M, V + F)).astype(np.float32)
  t[..., EOS] += ends
  t[..., V:] -= opens
  return t


@functools.cache
def jitted(beam, max_length, length_penalty=0.0, normalise="sum"):
  def search(tables, real):
    def advance(parent_words, trail):
      trail = follow(trail, parent_words)
      logits = jax.vmap(lambda table, at: table[at])(tables, trail)
      return logits[..., :V], logits[..., V:], trail

    root = jnp.zeros((len(tables), beam), jnp.int32)
    limits = dict(words=V, beam=beam, max_length=max_length, max_depth=DEPTH)
    rule = dict(length_penalty=length_penalty, normalise=normalise)
    return tree_search(advance, root, real, **limits, **rule)

  return jax.jit(search)


def run(tables, *options):
  found = jitted(*options)(tables, jnp.ones(len(tables), bool))
  return jax.device_get(found)


def best(found, picture, n=0):
  return found.tokens[picture, n, : found.lengths[picture, n]].tolist()


class TooLong(Exception):
  pass


def published(table, most):
  """Rows (word, parent, parent's word, relations) by the published rules, chain within chain."""
  rows = []

  def chain(trail, parent, parent_word):
    while True:
      if len(rows) == most:
        raise TooLong
      trail = follow(trail, parent_word)
      logits = np.array(table[trail][:V])
      logits[[SOS, *range(V - F, V)]] = -np.inf
      word = int(logits.argmax())
      rows.append((word, parent, parent_word, ()))
      if word == EOS:
        return
      if word == STRUCT:
        relations = [i for i in range(F) if table[trail][V + i] > 0]
        rows[-1] = (word, parent, parent_word, tuple(relations))
        number = len(rows)
        for relation in relations:
          chain(trail, number, V - F + relation)
        return
      parent, parent_word = len(rows), word

  chain(0, 0, SOS)
  return rows


def test_greedy_writes_the_published_tree():
  compared = structures = 0
  for seed in range(16):
    made = tables(seed, 4, ends=1.0, opens=1.0)
    found = run(made, 1, 60)
    for b in range(4):
      try:
        expected = published(made[b], 30)
      except TooLong:
        continue
      if nested(expected) >= DEPTH:
        continue
      rows = rows_of(best(found, b), NAMES)
      ours = [tuple(row) for row in rows]
      name = lambda n: NAMES.all[n]
      assert ours == [(name(w), p, name(q), tuple(RELATIONS[i] for i in r))
                      for w, p, q, r in expected]  # fmt: skip
      compared += 1
      structures += sum(bool(r) for *_, r in expected)
  assert compared > 20 and structures > 10


def nested(rows):
  """The most nodes that have chains to come at once."""
  frames, most = [], 0
  for word, *_, relations in rows:
    frames += [len(relations)] if relations else []
    most = max(most, len(frames))
    if word in (EOS, STRUCT) and frames:
      frames[-1] -= 1
      frames = frames if frames[-1] else frames[:-1]
  return most


def replay(table):
  """The model of the plain search: logits of the next action after the actions so far."""

  def model(actions):
    trail, relation_logits, frames = 0, None, []
    last = word_logits = None
    for action in actions:
      if action >= WORDS + V:
        chosen = [i for i in range(F) if action - WORDS - V >> i & 1]
        frames += [[trail, chosen]] if chosen else []
      last = action - WORDS
      if last == STRUCT:
        continue
      if last == EOS or last >= V:
        trail, left = frames[-1]
        parent_word = V - F + left.pop(0)
        frames = frames if left else frames[:-1]
      else:
        parent_word = SOS if last < 0 else last
      trail = follow(trail, parent_word)
      word_logits, relation_logits = table[trail][:V], table[trail][V:]
    out = [-math.inf] * (WORDS + V + SETS)
    if last == STRUCT:
      for s in range(SETS):
        out[WORDS + V + s] = sum(
            -math.log1p(math.exp(-x if s >> i & 1 else x)) for i, x in enumerate(relation_logits)
        )
      end = WORDS + V
    else:
      for w in range(V - F):
        if w != SOS and not (w == STRUCT and len(frames) == DEPTH):
          out[WORDS + w] = word_logits[w]
      end = WORDS + EOS
    if not frames:
      out[reference.EOS], out[end] = out[end], -math.inf
    return out

  return model


BEAM = 4, 12, 1.0


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_equals_the_plain_one(seed):
  """Actions, and scores divided by their number; the order is that of the divided scores."""
  made = tables(seed, 2, ends=1.0, opens=0.4 * seed)
  found = run(made, *BEAM)
  for b in range(2):
    plain = replay(made[b].astype(float).tolist())
    expected = reference.beam_search(plain, reference.SOS, reference.EOS, *BEAM[:2])
    expected = [(actions, s / max(len(actions), 1)) for actions, s in expected]
    expected.sort(key=lambda h: -h[1])
    ours = [tuple(best(found, b, n)) for n in range(len(expected))]
    assert ours == [actions for actions, _ in expected]
    scores = found.scores[b, : len(expected)]
    np.testing.assert_allclose(scores, [s for _, s in expected], atol=1e-4)


def test_every_hypothesis_is_a_well_formed_formula():
  long = 0
  for seed in range(20):
    found = run(tables(seed, 2, ends=-0.5, opens=-0.3), 4, 40, 1.0, "each")
    for b, n in itertools.product(range(2), range(4)):
      if found.scores[b, n] > -1e8:
        words = latex_of(rows_of(best(found, b, n), NAMES))
        latex_tree.parse(words)
        long += len(words) > 15
  assert long > 20


def test_filler_is_not_searched():
  made = tables(1, 2, ends=1.0)
  found = jitted(*BEAM)(made, jnp.array([False, True]))
  assert not found.tokens[0].any() and (found.scores[0] < -1e8).all()
  np.testing.assert_array_equal(found.tokens[1], run(made, *BEAM).tokens[1])
