"""Search over trees: each hypothesis of the one beam search is a stack machine.

A tree is written as actions: the word of each node, and after STRUCT the set of its relations. They
come depth first: a set opens the chain of its first relation, the end of a chain that of the
innermost relation that is left. So words and structures are searched alike, and with one hypothesis
the actions are those of Yuan et al., 2022 (SAN): the likeliest word, relations of probability above
1/2.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mmjax.decode.bidirectional import Decoded
from mmjax.decode.options import DecodeOptions, Normalise
from mmjax.decode.search import search
from mmjax.text import san_labels, vocabulary
from mmjax.text.san_labels import EOS, RELATIONS, SOS, STRUCT, Row, TreeWords

WORDS = len(vocabulary.SPECIALS)  # the action of word 0; actions of sets stand behind all words
SETS = 2 ** len(RELATIONS)

Trail = Any  # pytree of [B, R, ...]: what a node leaves to those that follow it
# (parent's word, its trail) -> logits of the word, of the relations should it be STRUCT, and trail
Advance = Callable[
    [Int[Array, "B R"], Trail], tuple[Float[Array, "B R V"], Float[Array, "B R F"], Trail]
]


class _Machine(NamedTuple):
  """What is left of a hypothesis."""

  trail: Trail  # of the node written last
  relations: Float[Array, "B R F"]  # its logits
  frames: Trail  # [B, R, D, ...] of the nodes whose chains are still to come, the innermost last
  left: Int[Array, "B R D"]  # the relations of those chains, as bits
  height: Int[Array, "B R"]


def tree_search(
    advance: Advance,
    root: Trail,
    real: Bool[Array, "B"],
    *,
    words: int,
    beam: int,
    max_length: int,
    max_depth: int,
    length_penalty: float,
    normalise: Normalise = "sum",
) -> Decoded:
  """Beam search over trees, greedy with a beam of one.

  A score is the sum of the log-probabilities of words and of sets of relations, divided by the
  number of actions as in `search`. STRUCT cannot be written where `max_depth` nodes
  have chains to come, SOS and the relations' names nowhere.

  Args:
    advance: writes the next node.
    root: the trail of the root, R = beam rows.
    real: [B] False for filler pictures, which are not searched.
    words: V, the relations' names last.
    beam: hypotheses.
    max_length: most actions.
    max_depth: D.
    length_penalty, normalise: as in `search`.

  Returns:
    `beam` lists of actions a picture, best first; see `rows_of`.
  """
  batch = real.shape[0]
  frames = jax.tree.map(lambda x: jnp.zeros((*x.shape[:2], max_depth, *x.shape[2:]), x.dtype), root)
  start = _Machine(
      trail=root,
      relations=jnp.zeros((batch, beam, len(RELATIONS)), jnp.float32),
      frames=frames,
      left=jnp.zeros((batch, beam, max_depth), jnp.int32),
      height=jnp.zeros((batch, beam), jnp.int32),
  )
  options = DecodeOptions(
      beam=beam,
      max_length=max_length,
      length_penalty=length_penalty,
      normalise=normalise,
      ban_unknown=False,
  )
  return search(
      lambda actions, position, machine: _step(advance, words, actions, position, machine),
      lambda length: start,
      real,
      options,
      vocabulary.Vocabulary(()),  # actions are no words: no rule knows them
  )


def _step(
    advance: Advance, words: int, actions: Int[Array, "B R"], position, m: _Machine
) -> tuple[Float[Array, "B R A"], _Machine]:
  """Does what the last actions say, writes the next node, and tells how likely each action is."""
  word, opened = actions - WORDS, actions - WORDS - words
  depth = jnp.arange(m.left.shape[-1])

  pushed = (depth == m.height[..., None]) & (opened > 0)[..., None]
  frames = jax.tree.map(lambda f, x: _where(pushed, x[:, :, None], f), m.frames, m.trail)
  left = jnp.where(pushed, opened[..., None], m.left)
  height = m.height + (opened > 0)

  ends = (word == EOS) | (opened >= 0)
  at = jnp.maximum(height - 1, 0)[..., None]
  relations = jnp.take_along_axis(left, at, -1)[..., 0]
  first = relations & -relations
  left = jnp.where((depth == at) & ends[..., None], left - first[..., None], left)
  height -= ends & (relations == first)
  name = words - len(RELATIONS) + jax.lax.population_count(first - 1)
  parent_word = jnp.where(ends, name, jnp.where(position == 0, SOS, word))
  fit = lambda f: at.reshape(*at.shape, *[1] * (f.ndim - at.ndim))
  innermost = lambda f: jnp.take_along_axis(f, fit(f), 2)[:, :, 0]
  parent = jax.tree.map(lambda x, f: _where(ends, innermost(f), x), m.trail, frames)

  # Where the last word is STRUCT nothing is written: its relations are chosen.
  chooses = word == STRUCT
  word_logits, new_relations, trail = advance(jnp.clip(parent_word, 0, words - 1), parent)
  keep = lambda old, new: _where(chooses, old, new.astype(old.dtype))
  machine = _Machine(
      trail=jax.tree.map(keep, m.trail, trail),
      relations=keep(m.relations, new_relations),
      frames=frames,
      left=left,
      height=height,
  )
  full = height == depth.size
  return _log_probabilities(word_logits, machine.relations, chooses, height == 0, full), machine


def _where(rows, new, old):
  return jnp.where(rows.reshape(*rows.shape, *[1] * (old.ndim - rows.ndim)), new, old)


def _log_probabilities(
    word_logits: Float[Array, "B R V"],
    relation_logits: Float[Array, "B R F"],
    chooses: Bool[Array, "B R"],
    last: Bool[Array, "B R"],
    full: Bool[Array, "B R"],
) -> Float[Array, "B R A"]:
  """Of every action: words, or where a hypothesis `chooses`, sets of relations.

  What would end the `last` chain is the action EOS of the search instead.
  """
  words = word_logits.shape[-1]
  at = np.arange(words)
  never = (at == SOS) | (at >= words - len(RELATIONS))
  impossible = never | ((at == STRUCT) & full[..., None])
  of_words = jax.nn.log_softmax(jnp.where(impossible, -jnp.inf, word_logits.astype(jnp.float32)))
  members = np.arange(SETS) >> np.arange(len(RELATIONS))[:, None] & 1  # [F, sets]
  logits = relation_logits.astype(jnp.float32)
  of_sets = jnp.einsum("brf,fs->brs", logits, jnp.asarray(members, jnp.float32))
  of_sets += jax.nn.log_sigmoid(-logits).sum(-1, keepdims=True)

  of_words = jnp.where(chooses[..., None], -jnp.inf, of_words)
  of_sets = jnp.where(chooses[..., None], of_sets, -jnp.inf)
  over = jnp.where(last, jnp.maximum(of_words[..., EOS], of_sets[..., 0]), -jnp.inf)
  of_words = of_words.at[..., EOS].set(jnp.where(last, -jnp.inf, of_words[..., EOS]))
  of_sets = of_sets.at[..., 0].set(jnp.where(last, -jnp.inf, of_sets[..., 0]))
  specials = jnp.full((*over.shape, WORDS), -jnp.inf).at[..., vocabulary.EOS].set(over)
  return jnp.concatenate([specials, of_words, of_sets], -1)


def rows_of(actions: Iterable[int], words: TreeWords) -> list[Row]:
  """The tree that actions write, the stop not among them; one that was cut off lacks its end."""
  names = words.all
  rows: list[Row] = []
  frames: list[tuple[int, list[str]]] = []  # number of a `struct`, and its relations that are left
  parent, parent_word = 0, san_labels.START
  number = SOS
  for action in map(int, actions):
    number = action - WORDS
    if number >= len(names):
      chosen = [r for i, r in enumerate(RELATIONS) if number - len(names) >> i & 1]
      rows[-1] = rows[-1]._replace(relations=tuple(chosen))
      frames += [(len(rows), chosen)] if chosen else []
    else:
      rows.append(Row(names[number], parent, parent_word))
      parent, parent_word = len(rows), names[number]
      if number != EOS:
        continue
    if not frames:
      break
    parent, left = frames[-1]
    parent_word = left.pop(0)
    if not left:
      frames.pop()
  if not frames and number != STRUCT:
    rows.append(Row(san_labels.END, parent, parent_word))
  return rows
