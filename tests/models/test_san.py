"""SAN at a tiny size: what its logits depend on, its losses, and one node after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import models
from mmjax.models.san import Nodes, tree_losses
from mmjax.text.san_labels import EOS, RELATIONS, SOS, STRUCT
from tests.models.test_recognizers import (
  CANVAS,
  ENCODER,
  HEIGHT,
  WIDTH,
  on_canvas,
  random_variables,
)

V, B, N = 15, 2, 8  # words 3 to 7 are symbols, 8 to 14 relations
ABOVE, BELOW, SUP, RIGHT = 8, 9, 11, 14
SIZES = dict(hidden=16, embedding=12, attention=8, coverage_channels=4, **ENCODER)
MODEL = models.build("san", V, mask_features=True, **SIZES)


def nodes_of(rows):
  """Nodes from (word, parent, parent's word, names of relations)."""
  word, parent, parent_word, names = zip(*rows)
  flags = np.array([[r in n for r in RELATIONS] for n in names])
  one = Nodes(*map(np.array, (word, parent, parent_word, flags)), np.ones(len(rows), bool),
              np.ones(len(rows), bool))  # fmt: skip
  return jax.tree.map(lambda x: jnp.asarray(np.stack([x] * B)), one)


# 3 over 4, then 5: a fraction's chains in either order
ABOVE_FIRST = nodes_of([
    (3, 0, SOS, ()), (STRUCT, 1, 3, ("above", "below", "right")),
    (4, 2, ABOVE, ()), (EOS, 3, 4, ()), (5, 2, BELOW, ()), (EOS, 5, 5, ()),
    (6, 2, RIGHT, ()), (EOS, 7, 6, ()),
])  # fmt: skip
BELOW_FIRST = nodes_of([
    (3, 0, SOS, ()), (STRUCT, 1, 3, ("above", "below", "right")),
    (5, 2, BELOW, ()), (EOS, 3, 5, ()), (4, 2, ABOVE, ()), (EOS, 5, 4, ()),
    (6, 2, RIGHT, ()), (EOS, 7, 6, ()),
])  # fmt: skip


def both(model, images, valid, nodes):
  memory = model.encode(images, valid)
  return memory, model.decode(nodes, memory)


RUN = jax.jit(functools.partial(MODEL.apply, method=both))
DECODE = jax.jit(functools.partial(MODEL.apply, method="decode"))


@pytest.fixture(scope="module")
def pictures():
  return np.random.default_rng(0).integers(0, 256, (B, HEIGHT, WIDTH, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def variables(pictures):
  inputs = *on_canvas(pictures, *CANVAS), ABOVE_FIRST
  init = lambda key: nn.unbox(MODEL.init(key, *inputs))
  return random_variables(jax.eval_shape(init, jax.random.key(0)))


@pytest.fixture(scope="module")
def result(variables, pictures):
  return RUN(variables, *on_canvas(pictures, *CANVAS), ABOVE_FIRST)


def test_shapes_and_attention(result):
  _, out = result
  assert out.words.shape == out.parents.shape == (B, N, V)
  assert out.relations.shape == (B, N, len(RELATIONS))
  for weights in (out.attention, out.parent_attention):
    np.testing.assert_allclose(weights.sum((2, 3)), 1, atol=1e-5)
    assert not np.asarray(weights)[:, :, :, 3:].any()  # 21x40 on 32x64: 2x3 cells of 2x4


def test_the_order_of_chains_does_not_matter_on_the_way_there(variables, result):
  memory, out = result
  other = DECODE(variables, BELOW_FIRST, memory)
  same = [0, 1, 4, 5, 2, 3, 6, 7]
  for name in ("words", "relations", "attention"):
    ours, theirs = getattr(other, name)[:, same], getattr(out, name)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
  assert np.abs(other.parent_attention[:, same] - out.parent_attention).max() > 1e-4


def test_logits_depend_on_ancestors_only(variables, result):
  memory, out = result
  changed = ABOVE_FIRST._replace(parent_words=ABOVE_FIRST.parent_words.at[:, 3].set(7))
  other = DECODE(variables, changed, memory)
  moved = np.abs(other.words - out.words).max((0, 2)) > 1e-4
  assert moved.tolist() == [False] * 3 + [True] + [False] * 4  # no node follows the fourth
  changed = ABOVE_FIRST._replace(parent_words=ABOVE_FIRST.parent_words.at[:, 1].set(7))
  other = DECODE(variables, changed, memory)
  moved = np.abs(other.words - out.words).max((0, 2)) > 1e-4
  assert moved.tolist() == [False] + [True] * 7


def test_logits_do_not_depend_on_the_canvas(variables, pictures, result):
  tight, out = RUN(variables, *on_canvas(pictures, HEIGHT, WIDTH), ABOVE_FIRST)
  memory, ours = result
  features = memory.features[memory.valid].reshape(tight.features.shape)
  np.testing.assert_allclose(features, tight.features, atol=1e-5)
  for name in ("words", "relations", "parents"):
    np.testing.assert_allclose(getattr(ours, name), getattr(out, name), atol=1e-5)


def test_losses_leave_padding_out_but_where_the_paper_does_not(result):
  _, out = result
  real = jnp.arange(N) < jnp.array([[5], [8]])
  masked = ABOVE_FIRST._replace(real=real, flagged=real)
  published = tree_losses(out, masked, padding=True)
  ours = tree_losses(out, masked, padding=False)
  flags, there = np.asarray(out.relations), np.asarray(masked.relations)
  each = np.log1p(np.exp(-np.abs(flags))) + np.maximum(flags, 0) - flags * there
  for losses in (published, ours):
    np.testing.assert_allclose(losses["relations"][0], each[np.asarray(real)].sum(), rtol=1e-5)
    assert losses["relations"][1] == 13 and losses["attention"][1] == 13 + 13 - B
  log_probs = np.asarray(jax.nn.log_softmax(out.words))
  nll = -np.take_along_axis(log_probs, np.asarray(masked.words)[..., None], 2)[..., 0]
  np.testing.assert_allclose(published["word"][0], nll.sum(), rtol=1e-5)
  np.testing.assert_allclose(ours["word"][0], nll[np.asarray(real)].sum(), rtol=1e-5)
  assert published["word"][1] == published["parent"][1] == 16
  assert ours["word"][1] == ours["parent"][1] == 13
  for losses, longer in ((published, 1), (ours, 0)):
    total = 0.0
    for b, count in enumerate((5, 8)):
      for i in range(1, min(N, count + longer)):
        parent = int(masked.parents[b, i])
        if parent:
          p, q = out.attention[b, parent - 1], out.parent_attention[b, i]
          total += float((p * (np.log(p + 1e-10) - np.log(q + 1e-10))).sum())
    np.testing.assert_allclose(losses["attention"][0], total, rtol=1e-4)


def test_nodes_one_by_one_equal_teacher_forcing(variables, result):
  """In rows that write different trees."""
  memory, out = result
  nodes = jax.device_get(ABOVE_FIRST)
  advance = jax.jit(functools.partial(MODEL.apply, method="advance"))
  shared, root = MODEL.apply(variables, memory, 2, method="begin")
  trails = [root]
  for i in range(N):
    other = trails[min(i, 1)]  # the second row stays with the root and its first node
    both_rows = lambda a, b: jnp.concatenate([a[:, :1], b[:, 1:]], 1)
    pair = jax.tree.map(both_rows, trails[nodes.parents[0, i]], other)
    words = jnp.stack([jnp.asarray(nodes.parent_words[:, i]), jnp.full(B, SOS)], 1)
    word_logits, relation_logits, trail = advance(variables, words, pair, shared)
    trails.append(trail)
    np.testing.assert_allclose(word_logits[:, 0], out.words[:, i], atol=1e-5)
    np.testing.assert_allclose(relation_logits[:, 0], out.relations[:, i], atol=1e-5)


def test_parameters_at_the_published_sizes():
  model = models.build("san", 115)
  image, valid = jnp.zeros((1, 32, 32, 1), jnp.uint8), jnp.ones((1, 32, 32), bool)
  nodes = jax.tree.map(lambda x: x[:1], ABOVE_FIRST)
  params = jax.eval_shape(model.init, jax.random.key(0), image, valid, nodes)["params"]
  count = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in params.items()}
  never_called = 3 * 256 * (256 + 256 + 2)  # `struc_input_gru` of the reference
  assert count["encoder"] == 2_979_288
  assert sum(count.values()) - count["encoder"] == 5_016_815 - never_called
  assert sum(count.values()) == 7_996_103 - never_called
