"""Every recognizer at a tiny size: what it may look at, its cached form, and its canvas."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import models

V, B, R, T = 9, 2, 3, 6
HEIGHT, WIDTH, CANVAS = 21, 40, (32, 64)
ENCODER = dict(growth=4, encoder_layers=(1, 1, 1))
TRANSFORMER = dict(width=16, heads=2, layers=2, hidden=32, **ENCODER)
SIZES = {
    "bttr": TRANSFORMER,
    "comer": dict(coverage_channels=4, **TRANSFORMER | {"layers": 3}),
    "can": dict(hidden=16, embedding=12, attention=8, coverage_channels=4, counting=8, **ENCODER),
    "dense_attention": dict(hidden=16, **ENCODER),
    "wap": dict(hidden=16, embedding=12, attention=8, coverage_channels=4, kernel=5, **ENCODER),
}


class Case(NamedTuple):
  """A model with weights, pictures on a canvas, and what it makes of them."""

  name: str
  model: nn.Module
  variables: dict
  pictures: np.ndarray
  tokens: np.ndarray
  memory: tuple
  logits: np.ndarray
  decode: functools.partial


def on_canvas(pictures, height, width):
  n, h, w, c = pictures.shape
  images = np.zeros((n, height, width, c), np.uint8)
  images[:, :h, :w] = pictures
  valid = np.zeros((n, height, width), bool)
  valid[:, :h, :w] = True
  return jnp.asarray(images), jnp.asarray(valid)


def random_variables(shapes):
  """Random biases and running statistics as well: fresh ones hide what padding does."""
  rng = np.random.default_rng(2)

  def draw(path, leaf):
    if leaf.ndim > 1:
      x = rng.normal(0, 1.5 * math.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
    elif path[-1].key in ("scale", "var"):
      x = rng.uniform(0.7, 1.3, leaf.shape)
    else:
      x = rng.uniform(0, 0.3, leaf.shape)
    return jnp.asarray(x, leaf.dtype)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def both(model):
  """Memory and logits, compiled as one."""

  def run(model, images, valid, tokens):
    memory = model.encode(images, valid)
    return memory, model.decode(tokens, memory)

  return jax.jit(functools.partial(model.apply, method=run))


@functools.cache
def case(name) -> Case:
  model = models.build(name, V, mask_features=True, **SIZES[name])
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 256, (B, HEIGHT, WIDTH, 1), dtype=np.uint8)
  tokens = np.random.default_rng(1).integers(1, V, (B, R, T))
  inputs = on_canvas(pictures, *CANVAS)
  shapes = jax.eval_shape(lambda k: nn.unbox(model.init(k, *inputs, tokens)), jax.random.key(0))
  variables = random_variables(shapes)
  memory, logits = both(model)(variables, *inputs, tokens)
  decode = functools.partial(jax.jit(functools.partial(model.apply, method="decode")), variables)
  return Case(name, model, variables, pictures, tokens, memory, np.asarray(logits), decode)


@pytest.fixture(scope="module", params=SIZES)
def c(request) -> Case:
  return case(request.param)


def test_logits_know_nothing_of_later_words(c):
  assert c.logits.shape == (B, R, T, V)
  for t in (1, 3, T - 1):
    changed = c.tokens.copy()
    changed[:, :, t:] = changed[:, :, t:] % (V - 1) + 1
    ours = np.asarray(c.decode(changed, c.memory))
    np.testing.assert_allclose(ours[:, :, :t], c.logits[:, :, :t], atol=1e-5)
    assert np.abs(ours[:, :, t:] - c.logits[:, :, t:]).max() > 1e-2


def test_padding_behind_a_text_changes_nothing_before_it(c):
  padded = c.tokens.copy()
  padded[:, :, 4:] = 0
  ours = c.decode(padded, c.memory)
  np.testing.assert_allclose(ours[:, :, :4], c.logits[:, :, :4], atol=1e-5)


def test_rows_and_pictures_are_independent(c):
  changed = c.tokens.copy()
  changed[0, 1] = changed[0, 1] % (V - 1) + 1
  ours = np.asarray(c.decode(changed, c.memory))
  same = np.ones((B, R), bool)
  same[0, 1] = False
  np.testing.assert_allclose(ours[same], c.logits[same], atol=1e-5)
  assert np.abs(ours[~same] - c.logits[~same]).max() > 1e-2


def test_cached_steps_equal_teacher_forcing(c):
  @jax.jit
  def steps(variables, tokens, memory):
    call = functools.partial(c.model.apply, variables)
    shared, cache = call(memory, R, T, method="init_cache")
    assert all(leaf.shape[:2] == (B, R) for leaf in jax.tree.leaves(cache))

    def step(cache, now):
      logits, cache = call(*now, cache, shared, method="step")
      return cache, logits

    words = jnp.moveaxis(jnp.asarray(tokens), -1, 0)
    return jnp.moveaxis(jax.lax.scan(step, cache, (words, jnp.arange(T)))[1], 0, 2)

  np.testing.assert_allclose(steps(c.variables, c.tokens, c.memory), c.logits, atol=1e-5)


def test_memory_under_the_mask_does_not_matter(c):
  valid, features = c.memory.valid[..., None], c.memory.features
  with_junk = lambda junk: c.decode(c.tokens, c.memory._replace(features=junk))
  np.testing.assert_allclose(with_junk(jnp.where(valid, features, 9)), c.logits, atol=1e-5)
  assert np.abs(with_junk(jnp.where(valid, 9, features)) - c.logits).max() > 1e-2


def test_logits_do_not_depend_on_the_canvas(c):
  inputs = on_canvas(c.pictures, HEIGHT, WIDTH)
  memory, logits = both(c.model)(c.variables, *inputs, c.tokens)
  features = c.memory.features[c.memory.valid].reshape(memory.features.shape)
  np.testing.assert_allclose(features, memory.features, atol=1e-5)
  np.testing.assert_allclose(logits, c.logits, atol=1e-5)


def test_bfloat16_computes_close_by_and_answers_in_float32(c):
  model = models.build(c.name, V, mask_features=True, dtype="bfloat16", **SIZES[c.name])
  inputs = on_canvas(c.pictures, *CANVAS)
  memory, logits = both(model)(c.variables, *inputs, c.tokens)
  assert memory.features.dtype == jnp.bfloat16 and logits.dtype == jnp.float32
  assert 0 < np.abs(logits - c.logits).max() < 0.2 * c.logits.std()
  fresh = jax.eval_shape(model.init, jax.random.key(0), *inputs, c.tokens)
  assert {x.dtype for x in jax.tree.leaves(fresh)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ["can", "dense_attention", "wap"])
def test_rematerialised_steps_give_equal_gradients(name):
  c = case(name)

  def gradient(remat):
    model = models.build(name, V, mask_features=True, remat=remat, **SIZES[name])
    loss = lambda v: (model.apply(v, c.tokens, c.memory, method="decode") ** 2).mean()
    return jax.jit(jax.grad(loss))(c.variables)["params"]

  kept, recomputed = gradient(False), gradient(True)
  assert np.abs(kept["word_gru" if name != "can" else "gru"]["state"]["kernel"]).max() > 1e-4
  for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(recomputed)):
    np.testing.assert_allclose(b, a, atol=1e-5 * max(1, np.abs(a).max()))


BTTR_ENCODER = ("encoder", "feature_proj", "feature_norm")
COUNTERS = ("counters_0", "counters_1")
UNUSED = 128 * 257 + 10 + 2  # `emb`, `conv_et` and `bn` of dense_attention's reference
PUBLISHED = {  # words, parameters in all, and of some parts
    "bttr": (113, 6_375_425, {BTTR_ENCODER: 3_156_624}),
    "comer": (113, 6_389_041, {BTTR_ENCODER: 3_156_624}),
    "can": (111, 16_838_280, {("encoder",): 2_979_288, COUNTERS: 3_243_040 + 8_846_368}),
    "dense_attention": (112, 4_266_304 + 2_571_911 - UNUSED, {("encoder",): 4_266_304}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_at_the_published_sizes(name):
  words, total, parts = PUBLISHED[name]
  model = models.build(name, words)
  image, valid = jnp.zeros((1, 32, 32, 1), jnp.uint8), jnp.ones((1, 32, 32), bool)
  tokens = jnp.ones((1, 2, 2), jnp.int32)
  params = jax.eval_shape(model.init, jax.random.key(0), image, valid, tokens)["params"]
  count = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in params.items()}
  for names, number in parts.items():
    assert sum(count[name] for name in names) == number
  assert sum(count.values()) == total
