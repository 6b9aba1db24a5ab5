"""The captioning models on features: cached form, penalty, equations, learning, sizes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models
from mmjax.models.show_attend_tell import Memory
from mmjax.modules.position import steep_word_positions
from mmjax.text.vocabulary import PAD
from tests.models.test_recognizers import random_variables

V, B, R, T, GRID, CHANNELS = 11, 2, 3, 6, (2, 3), 10
TRANSFORMER = dict(width=16, heads=2, layers=2, hidden=24, max_length=8)
GIVEN = dict(pre_norm=False, positions="steep", tied=False, given_words=6)
MODELS = {
    "show_attend_tell": ("show_attend_tell", dict(hidden=8, embedding=6, attention=7)),
    "modern": ("caption_transformer", TRANSFORMER),
    "sinusoidal": ("caption_transformer", TRANSFORMER | dict(positions="sinusoidal", tied=False)),
    "published": ("caption_transformer", TRANSFORMER | GIVEN),
    "unsupervised": ("unsupervised_captioner", dict(width=8)),
}


def build(kind, **changed):
  name, sizes = MODELS[kind]
  return models.build(name, V, **sizes | changed)


def of_features(model, features, tokens):
  return model.decode(tokens, model.encode_features(features))


class Case(NamedTuple):
  """A model with weights, and what it makes of some features."""

  kind: str
  model: nn.Module
  variables: dict
  features: np.ndarray
  tokens: np.ndarray
  logits: np.ndarray

  def run(self, *inputs, model=None, method=of_features, **options):
    model = model or self.model
    call = functools.partial(model.apply, method=method, **options)
    return jax.jit(call)(self.variables, *inputs)


@functools.cache
def case(kind) -> Case:
  model = build(kind)
  rng = np.random.default_rng(0)
  features = rng.normal(size=(B, *GRID, CHANNELS)).astype(np.float32)
  tokens = rng.integers(1, V, (B, R, T))
  init = functools.partial(model.init, method=of_features)
  shapes = jax.eval_shape(lambda k: nn.unbox(init(k, features, tokens)), jax.random.key(0))
  variables = random_variables(shapes)
  c = Case(kind, model, variables, features, tokens, np.empty(0))
  return c._replace(logits=np.asarray(c.run(features, tokens)))


ATTENTIVE = ["show_attend_tell", "modern", "published"]


@pytest.fixture(scope="module", params=[*ATTENTIVE, "unsupervised"])
def c(request) -> Case:
  return case(request.param)


@pytest.fixture(scope="module", params=ATTENTIVE)
def attentive(request) -> Case:
  """One that looks at the cells of a picture, in any precision."""
  return case(request.param)


def test_logits_know_nothing_of_later_words_nor_of_other_rows(c):
  assert c.logits.shape == (B, R, T, V) and c.logits.dtype == np.float32
  changed = c.tokens.copy()
  changed[0, 1, 3:] = changed[0, 1, 3:] % (V - 1) + 1
  ours = np.asarray(c.run(c.features, changed))
  same = np.ones((B, R, T), bool)
  same[0, 1, 3:] = False
  np.testing.assert_allclose(ours[same], c.logits[same], atol=1e-5)
  assert np.abs(ours[~same] - c.logits[~same]).max() > 1e-2


def test_padding_behind_a_text_changes_nothing_before_it(c):
  padded = c.tokens.copy()
  padded[:, :, 4:] = PAD
  ours = c.run(c.features, padded)
  np.testing.assert_allclose(ours[:, :, :4], c.logits[:, :, :4], atol=1e-5)


def stepped(c, model):
  """Logits of one word after the other."""

  @jax.jit
  def steps(variables, features, tokens):
    call = functools.partial(model.apply, variables)
    memory = call(features, method="encode_features")
    shared, cache = call(memory, R, T, method="init_cache")
    assert all(leaf.shape[:2] == (B, R) for leaf in jax.tree.leaves(cache))

    def step(cache, now):
      logits, cache = call(*now, cache, shared, method="step")
      return cache, logits

    words = jnp.moveaxis(tokens, -1, 0)
    return jnp.moveaxis(jax.lax.scan(step, cache, (words, jnp.arange(T)))[1], 0, 2)

  return np.asarray(steps(c.variables, c.features, c.tokens))


@pytest.mark.parametrize("kind", MODELS)
def test_cached_steps_equal_teacher_forcing(kind):
  c = case(kind)
  np.testing.assert_allclose(stepped(c, c.model), c.logits, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_features_may_be_stored_in_half_precision(c, dtype):
  stored = c.features.astype(dtype)
  ours = c.run(stored, method="encode_features")
  exact = c.run(stored.astype(np.float32), method="encode_features")
  assert jax.tree.leaves(ours)[0].dtype == jnp.float32
  jax.tree.map(np.testing.assert_array_equal, ours, exact)


def test_bfloat16_computes_close_by_and_answers_in_float32(attentive):
  c = attentive
  ours = c.run(c.features, c.tokens, model=build(c.kind, dtype="bfloat16"))
  assert ours.dtype == jnp.float32
  assert 0 < np.abs(ours - c.logits).max() < 0.2 * c.logits.std()


def test_attention_is_there_for_reports(attentive):
  c = attentive
  _, seen = c.run(c.features, c.tokens, mutable=["intermediates"])
  maps = [
      leaf
      for path, leaf in jax.tree.leaves_with_path(seen["intermediates"])
      if "'picture'" in jax.tree_util.keystr(path)
  ]
  assert len(maps) == (1 if c.kind == "show_attend_tell" else 2)
  for weights in maps:
    assert weights.shape == (B, R, T, GRID[0] * GRID[1])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_two_captions_are_learnt(c):
  rng = np.random.default_rng(3)
  tokens = rng.integers(3, V, (B, 1, T + 1))
  tokens_in, tokens_out = tokens[..., :-1], tokens[..., 1:]
  rule = optax.adam(5e-3)  # at 1e-2 the loss jumps now and then

  def train(variables):
    rest = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
      logits = c.model.apply({"params": params} | rest, c.features, tokens_in, method=of_features)
      return optax.softmax_cross_entropy_with_integer_labels(logits, tokens_out).mean()

    def step(carry, _):
      params, state = carry
      value, gradient = jax.value_and_grad(loss)(params)
      changes, state = rule.update(gradient, state)
      return (optax.apply_updates(params, changes), state), value

    params = variables["params"]
    return jax.lax.scan(step, (params, rule.init(params)), None, 200)[1]

  values = jax.jit(train)(c.variables)
  assert values[0] > 1.5 and values[-1] < 0.1 * values[0], values[::20]


def test_penalty_of_uneven_attention():
  c = case("show_attend_tell")
  written = np.zeros((B, R, T), bool)
  written[0, :, :4], written[1, 1:, :2] = True, True
  model = build("show_attend_tell", attention_penalty=0.7)

  def both(model, features, tokens):
    return model.decode_with_penalty(tokens, written, model.encode_features(features))

  (logits, penalty), seen = c.run(c.features, c.tokens, model=model, method=both,
                                  mutable=["intermediates"])  # fmt: skip
  np.testing.assert_array_equal(logits, c.logits)
  (alphas,) = map(np.asarray, seen["intermediates"]["picture"])
  for b in range(B):
    expected = 0.0
    for r in range(R):
      for s in range(alphas.shape[-1]):
        expected += (1 - sum(alphas[b, r, t, s] for t in range(T) if written[b, r, t])) ** 2
    assert float(penalty[b]) == pytest.approx(0.7 * expected / (R * alphas.shape[-1]), abs=1e-5)


def test_show_attend_tell_equations():
  """Against the published equations in NumPy, a cell and a word at a time."""
  c = case("show_attend_tell")
  p = jax.tree.map(np.asarray, c.variables["params"])
  affine = lambda name, x: x @ p[name]["kernel"] + p[name].get("bias", 0)
  sigmoid = lambda x: 1 / (1 + np.exp(-x))
  cells = c.features[1].reshape(-1, CHANNELS)
  h, state = affine("start_h", cells.mean(0)), affine("start_c", cells.mean(0))
  for t, token in enumerate(c.tokens[1, 2]):
    scores = [np.maximum(affine("cells", a) + affine("query", h), 0) @ p["score"] for a in cells]
    alpha = np.exp(scores) / np.exp(scores).sum()
    context = sigmoid(affine("gate", h)) * (alpha @ cells)
    word = p["word_embed"]["embedding"][token]
    gates = affine("from_word", word) + affine("from_picture", context) + affine("from_state", h)
    i, f, g, o = np.split(gates, 4)
    state = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(state)
    np.testing.assert_allclose(c.logits[1, 2, t], affine("word_proj", h), atol=1e-5)


def test_published_decoding_lets_earlier_words_see_later_ones():
  """Word i is written by a decoder without a mask that is given the words up to i alone."""
  c = case("published")
  ours = stepped(c, build("published", causal=False))

  def unmasked(model, features, tokens):
    memory = model.encode_features(features)
    seen = jnp.ones((tokens.shape[-1],) * 2, bool)
    return model._write(model._run(tokens, seen, model._share(memory), False))[:, :, -1]

  for at in (0, 2, T - 1):
    expected = c.run(c.features, c.tokens[..., : at + 1], method=unmasked)
    np.testing.assert_allclose(ours[:, :, at], expected, atol=1e-5)
  assert np.abs(ours[:, :, -1] - c.logits[:, :, -1]).max() > 1e-2


def test_published_positions():
  """The eight numbers of the reference's second position."""
  expected = [0.54030, 0.099833, 0.99995, 0.0010000, 1, 1e-5, 1, 1e-7]
  np.testing.assert_allclose(steep_word_positions(2, 8)[1], expected, rtol=1e-5)


SAT_DECODER = {  # the published state dict at 9490 words, less the bias of the scores
    "cells": 512 * 2048 + 512,
    "query": 512 * 512 + 512,
    "score": 512,
    "word_embed": 9490 * 512,
    "from_word": 2048 * 512 + 2048,
    "from_picture": 2048 * 2048,
    "from_state": 2048 * 512 + 2048,
    "start_h": 512 * 2048 + 512,
    "start_c": 512 * 2048 + 512,
    "gate": 2048 * 512 + 2048,
    "word_proj": 9490 * 512 + 9490,
    "encoder": 42_500_160,  # ResNet-101 without its classifier
}


def whole(model):
  """Shapes of all variables, made by way of a picture."""
  image, valid = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.ones((1, 64, 64), bool)
  init = lambda key: nn.unbox(model.init(key, image, valid, jnp.ones((1, 1, 2), int)))
  return jax.eval_shape(init, jax.random.key(0))


def test_parameters_of_show_attend_tell_at_the_published_sizes():
  model = models.build("show_attend_tell", 9490, encoder_name="resnet101", encoder_grid=14)
  count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  shapes = whole(model)
  assert {k: count(v) for k, v in shapes["params"].items()} == SAT_DECODER
  image, valid = jnp.zeros((2, 256, 256, 3), jnp.uint8), jnp.ones((2, 256, 256), bool)
  encode = functools.partial(model.apply, method="encode")
  assert jax.eval_shape(encode, shapes, image, valid).features.shape == (2, 196, 2048)


def test_parameters_of_the_published_transformer():
  layer = 2 * (4 * 512**2 + 4 * 512) + 2 * 512 * 1024 + 1024 + 512 + 3 * 2 * 512
  sizes = dict(encoder_name="resnet50", width=512, heads=16, layers=6, hidden=1024)
  shapes = whole(models.build("caption_transformer", 7890, **sizes | GIVEN | {"given_words": 100}))
  count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  entries = 100 * 512 + 512 + 2048 * 512 + 512 + 2 * (512**2 + 512)
  encoder = count(shapes["params"].pop("encoder"))
  assert count(shapes["params"]) == entries + 6 * layer + 512 * 7890 + 7890
  assert encoder == 23_508_032  # ResNet-50 without its classifier
  assert shapes["given"]["word_vectors"].shape == (7890, 100)


def test_initial_words_of_show_attend_tell_are_within_a_tenth():
  model = build("show_attend_tell")
  c = case("show_attend_tell")
  params = nn.unbox(model.init(jax.random.key(0), c.features, c.tokens, method=of_features))
  for name, leaf in (("word_embed", "embedding"), ("word_proj", "kernel")):
    values = np.abs(params["params"][name][leaf])
    assert values.max() <= 0.1 and values.max() > 0.09
  assert not np.any(params["params"]["word_proj"]["bias"])


def test_memory_is_the_features_row_by_row():
  c = case("show_attend_tell")
  memory = c.run(c.features, method="encode_features")
  assert isinstance(memory, Memory)
  np.testing.assert_array_equal(memory.features[:, GRID[1] + 1], c.features[:, 1, 1])


@pytest.mark.parametrize("sizes,message", [
    (dict(width=18, heads=4), "width 18 is not a multiple of the 4 heads"),
    (dict(positions="rotary"), "positions is 'rotary'; there are: learned, sinusoidal, steep"),
    (dict(given_words=100), "given words cannot be tied: set tied=False, or given_words=0"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(sizes, message):
  with pytest.raises(ValueError, match=f"model 'caption_transformer': {message}"):
    models.build("caption_transformer", V, **sizes)


def test_a_text_beyond_the_learned_positions_is_refused():
  c = case("modern")
  memory = c.run(c.features, method="encode_features")
  call = functools.partial(c.model.apply, c.variables)
  with pytest.raises(ValueError, match="9 words, but learned positions for 8; raise max_length"):
    call(np.ones((B, R, 9), int), memory, method="decode")
  with pytest.raises(ValueError, match="12 words, but learned positions for 8"):
    call(memory, R, 12, method="init_cache")
