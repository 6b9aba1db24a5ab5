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

from mmjax.modules.coverage import CoverageAttention, Projected, context, linear, masked_mean
from mmjax.modules.densenet import DenseNet
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.recurrent import GRU
from mmjax.text.san_labels import EOS, RELATIONS, STRUCT


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


class Trail(NamedTuple):
  """What a node leaves to those that follow it."""

  h: Float[Array, "B R H"]
  past: Float[Array, "B R h w"]  # the sum of all attention on the way from the root


class Shared(NamedTuple):
  """What all nodes of a picture read."""

  features: Float[Array, "B h w C"]
  picture: Projected


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
      arrays = inputs[:, None], states[rows, parents][:, None], past[:, None]
      arrays = model._advance(*arrays, picture, features)
      h1, h, weights, found = (x[:, 0] for x in arrays)
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

  def begin(self, memory: Memory, rows: int) -> tuple[Shared, Trail]:
    """What `advance` needs, and the root of each of R trees."""
    h = jnp.repeat(self._start(memory)[:, None], rows, 1)
    past = jnp.zeros((*h.shape[:2], *memory.valid.shape[1:]), jnp.float32)
    picture = self.attend.project(memory.features, memory.valid)
    return Shared(memory.features, picture), Trail(h, past)

  def advance(
      self, parent_words: Int[Array, "B R"], trail: Trail, shared: Shared
  ) -> tuple[Float[Array, "B R V"], Float[Array, "B R F"], Trail]:
    """Logits of a node's word and of its relations should it be STRUCT, and its own trail.

    Args:
      parent_words: the parent's word, or the relation that the node is the first of; SOS at the
        root.
      trail: of the parent.
      shared: from `begin`.
    """
    words = self.word_embed(parent_words)
    inputs = self.word_gru.read(words)
    _, h, weights, found = self._advance(inputs, *trail, shared.picture, shared.features)
    word_logits, relation_logits = self._read_out(h, words, found, False)
    return word_logits, relation_logits, Trail(h, trail.past + weights)

  def _start(self, memory):
    return nn.tanh(self.start(masked_mean(memory.features, memory.valid)))

  def _advance(self, inputs, h, past, picture, features):
    """One node of each row: state before and after it has looked, attention, what it saw."""
    first = self.word_gru(inputs, h)
    weights = self.attend(first, past, picture)
    found = context(weights, features)
    return first, self.word_out_gru(self.word_out_gru.read(found), first), weights, found

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


def tree_losses(
    out: Outputs, nodes: Nodes, *, padding: bool
) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
  """(sum, weight) of the four losses, whose means add up: of words, relations, parents' words and
  attention, which the way back must pay where the parent paid it.

  Args:
    padding: count words behind the end, and one node of attention too many, as published.
  """
  xent = optax.softmax_cross_entropy_with_integer_labels
  real = nodes.real.astype(jnp.float32)
  words = jnp.ones_like(real) if padding else real
  flags = optax.sigmoid_binary_cross_entropy(out.relations, nodes.relations.astype(jnp.float32))
  there = jnp.pad(out.attention, ((0, 0), (1, 0), (0, 0), (0, 0)))  # the root looks nowhere
  of_parent = jnp.take_along_axis(there, nodes.parents[..., None, None], 1)
  log = lambda x: jnp.log(x + 1e-10)
  apart = (of_parent * (log(of_parent) - log(out.parent_attention))).sum((2, 3))
  compared = real[:, :-1] if padding else real[:, 1:]
  counted = real.sum() + nodes.flagged.sum() - nodes.real.any(1).sum()
  return {
      "word": ((xent(out.words, nodes.words) * words).sum(), words.sum()),
      "relations": ((flags.sum(-1) * real).sum(), real.sum()),
      "parent": ((xent(out.parents, nodes.parent_words) * words).sum(), words.sum()),
      "attention": ((apart[:, 1:] * compared).sum(), counted),
  }


Model = SAN
