"""SAN: writes an expression as a tree, symbol by symbol, and says which relations follow.

Reference: Yuan et al., "Syntax-Aware Network for Handwritten Mathematical Expression Recognition",
CVPR 2022. With `mask_features=False` the arithmetic is the published one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.modules.coverage import CoverageAttention, context, linear, masked_mean
from mmjax.modules.densenet import DenseNet
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.recurrent import GRU

EOS, SOS, STRUCT = 0, 1, 2  # first words of a vocabulary; its last ones are RELATIONS
RELATIONS = ("above", "below", "sub", "sup", "L-sup", "inside", "right")


class Memory(NamedTuple):
  """An encoded picture, as a map of cells."""

  features: Float[Array, "B h w C"]
  valid: Bool[Array, "B h w"]


class Nodes(NamedTuple):
  """Trees as lists in which a parent comes before its children; all zero behind the end.

  A symbol with structures is followed by a node STRUCT, whose `relations` open chains of nodes; the
  parent's word of the first in a chain is the relation.
  """

  words: Int[Array, "B n"]
  parents: Int[Array, "B n"]  # place of the parent, counted from 1; 0 at the root
  parent_words: Int[Array, "B n"]
  relations: Bool[Array, "B n F"]
  real: Bool[Array, "B n"]
  flagged: Bool[Array, "B n"]  # whose relations are known


class Outputs(NamedTuple):
  """Teacher-forced logits, and attention: of the word, and of the way back to the parent."""

  words: Float[Array, "B n V"]
  relations: Float[Array, "B n F"]
  parents: Float[Array, "B n V"]
  attention: Float[Array, "B n h w"]
  parent_attention: Float[Array, "B n h w"]


class _Writing(NamedTuple):
  """Trees that grow: their nodes, what each leaves behind, and chains yet to be written."""

  written: Int[Array, ""]
  nodes: Nodes
  states: Float[Array, "B M H"]  # M = n + 1; the first belongs to the root
  pasts: Float[Array, "B M h w"]
  parent: Int[Array, "B"]
  parent_word: Int[Array, "B"]
  going: Bool[Array, "B"]
  stack: Int[Array, "B Z 2"]  # (struct node, relation's word), the next one last
  height: Int[Array, "B"]


class SAN(nn.Module):
  """Picture of an expression -> tree of symbols and relations.

  Attributes:
    vocabulary_size: words, specials and relations included (115 in the paper).
    hidden, embedding: channels of states and of words; the last layers have half as many.
    attention, coverage_channels: channels of the attention and of its coverage maps.
    dropout: before the last layers.
    growth, encoder_layers, encoder_dropout: of the DenseNet.
    mask_features: make a picture's features independent of its canvas (see `DenseNet`).
    remat: recompute dense layers in the backward pass.
    dtype: of the computation; parameters, norms' statistics and logits are float32.
  """

  vocabulary_size: int
  hidden: int = 256
  embedding: int = 256
  attention: int = 512
  coverage_channels: int = 512
  dropout: float = 0.5
  growth: int = 24
  encoder_layers: tuple[int, ...] = (16, 16, 16)
  encoder_dropout: float = 0.2
  mask_features: bool = False
  remat: bool = False
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.encoder = DenseNet(
        self.growth,
        tuple(self.encoder_layers),
        self.encoder_dropout,
        stem_norm=False,
        final_norm=False,
        mask_features=self.mask_features,
        remat=self.remat,
        dtype=self.dtype,
    )
    channels, half = self.encoder.channels, self.hidden // 2
    attention = lambda: CoverageAttention(
        self.hidden, channels, self.attention, self.coverage_channels, dtype=self.dtype
    )
    gru = lambda: GRU(self.hidden, dtype=self.dtype)
    layer = lambda fan_in: linear(half, fan_in, self.dtype)
    self.start = linear(self.hidden, channels, self.dtype)
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.embedding,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(1.0), "vocab", "embed"),
    )
    self.word_gru, self.word_out_gru, self.attend = gru(), gru(), attention()
    self.from_state, self.from_word = layer(self.hidden), layer(self.embedding)
    self.from_picture = layer(channels)
    self.word_proj = linear(self.vocabulary_size, half, jnp.float32)
    self.relation_proj = linear(len(RELATIONS), half, jnp.float32)
    self.parent_gru, self.parent_out_gru, self.parent_attend = gru(), gru(), attention()
    self.parent_from_state, self.parent_from_word = layer(self.hidden), layer(self.embedding)
    self.parent_from_relation = layer(self.embedding)
    self.parent_from_picture = layer(channels)
    self.parent_proj = linear(self.vocabulary_size, half, jnp.float32)
    self.drop = Dropout(self.dropout)

  def __call__(
      self,
      images: Real[Array, "B H W C"],
      valid: Bool[Array, "B H W"],
      nodes: Nodes,
      *,
      train: bool = False,
  ) -> Outputs:
    """Logits of each node of the given trees."""
    return self.decode(nodes, self.encode(images, valid, train=train), train=train)

  def encode(
      self, images: Real[Array, "B H W C"], valid: Bool[Array, "B H W"], *, train: bool = False
  ) -> Memory:
    """Encodes pictures of white ink on black, 0..255."""
    return Memory(*self.encoder(images.astype(self.dtype) / 255, valid, train=train))

  def decode(self, nodes: Nodes, memory: Memory, *, train: bool = False) -> Outputs:
    """Logits of each node, whose state and coverage continue those of its parent."""
    batch, count = nodes.words.shape
    features, grid = memory.features, memory.valid.shape[1:]
    words = self.word_embed(nodes.parent_words)
    inputs = self.word_gru.read(words)
    picture = self.attend.project(features, memory.valid)
    rows = jnp.arange(batch)

    def advance(model, carry, inputs, parents, at):
      states, pasts = carry
      past = pasts[rows, parents]
      h1, h, weights, found = model._advance(
          inputs, states[rows, parents], past, picture, features
      )
      states = jax.lax.dynamic_update_index_in_dim(states, h.astype(states.dtype), at + 1, 1)
      pasts = jax.lax.dynamic_update_index_in_dim(pasts, past + weights, at + 1, 1)
      return (states, pasts), (h1, h, weights, found)

    states = jnp.zeros((batch, count + 1, self.hidden), self.dtype)
    pasts = jnp.zeros((batch, count + 1, *grid), jnp.float32)
    carry = states.at[:, 0].set(self._start(memory)), pasts
    steps = nn.scan(
        advance,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=(1, 1, 0),
        out_axes=1,
    )
    _, (first, last, weights, found) = steps(
        self, carry, inputs, nodes.parents, jnp.arange(count)
    )
    word_logits, relation_logits = self._read_out(last, words, found, train)
    parent_logits, parent_weights = self._parents(nodes, memory, first, found, train)
    return Outputs(word_logits, relation_logits, parent_logits, weights, parent_weights)

  def write(self, memory: Memory, max_nodes: int) -> Nodes:
    """The tree of each picture, the likeliest word at a time.

    After STRUCT come the chains of its relations of probability above 1/2, in their order, each
    with all that it holds before the next; EOS, or STRUCT without relations, ends a chain. A tree
    ends with its last chain or at `max_nodes`.
    """
    batch, *grid = memory.valid.shape
    features, picture = memory.features, self.attend.project(memory.features, memory.valid)
    rows, first_relation = jnp.arange(batch), self.vocabulary_size - len(RELATIONS)
    zeros = lambda *shape: jnp.zeros((batch, *shape), jnp.int32)

    def unfinished(model, w):
      return w.going.any() & (w.written < max_nodes)

    def advance(model, w):
      h, past = w.states[rows, w.parent], w.pasts[rows, w.parent]
      words = model.word_embed(w.parent_word)
      _, h, weights, found = model._advance(model.word_gru.read(words), h, past, picture, features)
      word_logits, relation_logits = model._read_out(h, words, found, False)
      word = jnp.where(w.going, word_logits.argmax(-1), EOS)
      opens = w.going & (word == STRUCT)
      relations = (relation_logits > 0) & opens[:, None]

      # The first relation lies on top.
      later = jnp.cumsum(relations[:, ::-1], 1)[:, ::-1] - relations
      place = jnp.where(relations, w.height[:, None] + later, w.stack.shape[1])
      node = jnp.full_like(place, w.written + 1)
      name = jnp.broadcast_to(first_relation + jnp.arange(len(RELATIONS)), place.shape)
      stack = w.stack.at[rows[:, None], place].set(jnp.stack([node, name], -1), mode="drop")
      height = w.height + relations.sum(1)

      ends = opens | (word == EOS)
      top = stack[rows, jnp.maximum(height - 1, 0)]
      entry = Nodes(word, w.parent, w.parent_word, relations, w.going, opens)
      there = lambda x: w.going.reshape(-1, *[1] * (x.ndim - 1))
      real = lambda x: jnp.where(there(x), x, jnp.zeros_like(x))
      put = lambda old, new: old.at[:, w.written].set(real(new))
      return _Writing(
          written=w.written + 1,
          nodes=jax.tree.map(put, w.nodes, entry),
          states=w.states.at[:, w.written + 1].set(h.astype(w.states.dtype)),
          pasts=w.pasts.at[:, w.written + 1].set(past + weights),
          parent=jnp.where(ends, top[:, 0], w.written + 1),
          parent_word=jnp.where(ends, top[:, 1], word),
          going=w.going & ~(ends & (height == 0)),
          stack=stack,
          height=jnp.maximum(height - ends, 0),
      )

    nothing = zeros(max_nodes)
    flags = jnp.zeros((batch, max_nodes, len(RELATIONS)), bool)
    states = jnp.zeros((batch, max_nodes + 1, self.hidden), self.dtype)
    start = _Writing(
        written=jnp.int32(0),
        nodes=Nodes(nothing, nothing, nothing, flags, nothing > 0, nothing > 0),
        states=states.at[:, 0].set(self._start(memory)),
        pasts=jnp.zeros((batch, max_nodes + 1, *grid), jnp.float32),
        parent=zeros(),
        parent_word=jnp.full(batch, SOS),
        going=jnp.ones(batch, bool),
        stack=zeros(len(RELATIONS) * max_nodes, 2),
        height=zeros(),
    )
    end = nn.while_loop(unfinished, advance, self, start, broadcast_variables="params")
    return end.nodes

  def _start(self, memory):
    return nn.tanh(self.start(masked_mean(memory.features, memory.valid)))

  def _advance(self, inputs, h, past, picture, features):
    """One word: state before and after it has looked, attention, and what it saw."""
    first = self.word_gru(inputs, h)
    weights = self.attend(first[:, None], past[:, None], picture)
    found = context(weights, features)[:, 0]
    return first, self.word_out_gru(self.word_out_gru.read(found), first), weights[:, 0], found

  def _read_out(self, h, words, found, train):
    x = self.from_state(h) + self.from_word(words) + self.from_picture(found)
    x = self.drop(x, train=train).astype(jnp.float32)
    return self.word_proj(x), self.relation_proj(x)

  def _parents(self, nodes, memory, first, found, train):
    """The way back: from the last node to the first, each tells its parent's word.

    As published, step i of it gets its next state from step i of the way there, although it is at
    node n - 1 - i by then; its only recurrence is the coverage.
    """
    relation = self.vocabulary_size - len(RELATIONS)
    named = (nodes.parent_words >= relation) | (nodes.parent_words == EOS)
    relations = jnp.where(named, nodes.parent_words, self.vocabulary_size - 1)
    relations = jnp.where(nodes.words == STRUCT, STRUCT, relations)
    words = self.word_embed(nodes.words[:, ::-1])
    relations = self.word_embed(relations[:, ::-1])
    after = self.parent_out_gru(self.parent_out_gru.read(found), first)
    before = jnp.pad(after, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    inputs = self.parent_gru.read(jnp.concatenate([words, relations], -1))
    states = self.parent_gru(inputs, before)
    picture = self.parent_attend.project(memory.features, memory.valid)

    def advance(model, past, h):
      weights = model.parent_attend(h[:, None], past[:, None], picture)[:, 0]
      return past + weights, weights

    steps = nn.scan(
        advance,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=1,
    )
    _, weights = steps(self, jnp.zeros(memory.valid.shape, jnp.float32), states)
    x = self.parent_from_state(after) + self.parent_from_word(words)
    x = x + self.parent_from_relation(relations)
    x = x + self.parent_from_picture(context(weights, memory.features))
    logits = self.parent_proj(self.drop(x, train=train).astype(jnp.float32))
    return logits[:, ::-1], weights[:, ::-1]


def tree_losses(out: Outputs, nodes: Nodes) -> dict[str, Float[Array, ""]]:
  """The four published losses, which add up: of word, relations, parent's word and attention.

  As published, the two of words count padding, and attention is compared one node longer.
  """
  xent = optax.softmax_cross_entropy_with_integer_labels
  real = nodes.real.astype(jnp.float32)
  flags = optax.sigmoid_binary_cross_entropy(out.relations, nodes.relations.astype(jnp.float32))
  there = jnp.pad(out.attention, ((0, 0), (1, 0), (0, 0), (0, 0)))  # the root looks nowhere
  of_parent = jnp.take_along_axis(there, nodes.parents[..., None, None], 1)
  log = lambda x: jnp.log(x + 1e-10)
  apart = (of_parent * (log(of_parent) - log(out.parent_attention))).sum((2, 3))
  counted = real.sum() + nodes.flagged.sum() - len(real)
  return {
      "word": xent(out.words, nodes.words).mean(),
      "relations": (flags.sum(-1) * real).sum() / real.sum(),
      "parent": xent(out.parents, nodes.parent_words).mean(),
      "attention": (apart[:, 1:] * real[:, :-1]).sum() / counted,
  }


Model = SAN
