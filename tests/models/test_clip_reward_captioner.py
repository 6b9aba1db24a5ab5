"""The CLIP-reward captioner at a tiny size: what it may look at, and its cached form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import convert, models
from mmjax.convert import clip_reward_captioner as converter
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError
from mmjax.text.vocabulary import EOS, PAD, SOS
from tests.models.test_recognizers import random_variables

V, B, R, T = 9, 2, 3, 6
MODEL = models.build("clip_reward_captioner", V, width=16, heads=2, layers=2, hidden=24)
DECODE = jax.jit(functools.partial(MODEL.apply, method="decode"))


@pytest.fixture(scope="module")
def features():
  return np.random.default_rng(0).normal(size=(B, 2, 3, 1280)).astype(np.float16)


@pytest.fixture(scope="module")
def tokens():
  return np.random.default_rng(1).integers(EOS + 1, V, (B, R, T))


@pytest.fixture(scope="module")
def variables(features, tokens):
  run = lambda model: model.decode(tokens, model.encode_features(features))
  init = lambda key: nn.unbox(MODEL.init(key, method=run))
  return random_variables(jax.eval_shape(init, jax.random.key(0)))


@pytest.fixture(scope="module")
def memory(variables, features):
  return jax.jit(functools.partial(MODEL.apply, method="encode_features"))(variables, features)


def test_logits_know_nothing_of_later_words_or_other_rows(variables, tokens, memory):
  logits = np.asarray(DECODE(variables, tokens, memory))
  assert logits.shape == (B, R, T, V)
  changed = tokens.copy()
  changed[:, 1, 3:] = (changed[:, 1, 3:] - EOS) % (V - 1 - EOS) + EOS + 1
  ours = np.asarray(DECODE(variables, changed, memory))
  np.testing.assert_allclose(ours[:, [0, 2]], logits[:, [0, 2]], atol=1e-5)
  np.testing.assert_allclose(ours[:, 1, :3], logits[:, 1, :3], atol=1e-5)
  assert np.abs(ours[:, 1, 3:] - logits[:, 1, 3:]).max() > 1e-2
  changed = tokens.copy()
  changed[:, :, 4:] = PAD
  ours = DECODE(variables, changed, memory)
  np.testing.assert_allclose(ours[:, :, :4], logits[:, :, :4], atol=1e-5)


def test_cached_steps_equal_teacher_forcing(variables, tokens, memory):
  @jax.jit
  def steps(variables, tokens, memory):
    call = functools.partial(MODEL.apply, variables)
    shared, cache = call(memory, R, T, method="init_cache")
    assert all(leaf.shape[:2] == (B, R) for leaf in jax.tree.leaves(cache))

    def step(cache, now):
      logits, cache = call(*now, cache, shared, method="step")
      return cache, logits

    words = jnp.moveaxis(jnp.asarray(tokens), -1, 0)
    return jnp.moveaxis(jax.lax.scan(step, cache, (words, jnp.arange(T)))[1], 0, 2)

  logits = DECODE(variables, tokens, memory)
  np.testing.assert_allclose(steps(variables, tokens, memory), logits, atol=1e-5)


def test_cells_have_no_order(variables, tokens, memory, features):
  """No positions on them: a picture turned around is the same."""
  turned = MODEL.apply(variables, features[:, ::-1, ::-1], method="encode_features")
  np.testing.assert_allclose(turned.features[:, ::-1], memory.features, atol=1e-5)
  ours, theirs = DECODE(variables, tokens, turned), DECODE(variables, tokens, memory)
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_pictures_are_read_by_the_encoder():
  model = models.build("clip_reward_captioner", V, width=16, heads=2, layers=1, hidden=24)
  inputs = jnp.zeros((1, 64, 96, 3), jnp.uint8), jnp.ones((1, 64, 96), bool)
  variables = jax.eval_shape(model.init, jax.random.key(0), *inputs, jnp.zeros((1, 1, 2), int))
  assert "encoder" in variables["params"]
  memory = jax.eval_shape(functools.partial(model.apply, method="encode"), variables, *inputs)
  assert memory.features.shape == (1, 6, 16) and memory.valid.shape == (1, 6)


def test_a_bad_size_is_refused():
  with pytest.raises(ValueError, match="width 20 is not a multiple of the 8 heads"):
    models.build("clip_reward_captioner", V, width=20)


@pytest.fixture(scope="module")
def state(shared):
  arrays = read_arrays(shared / "golden" / "clip_reward_transformer_small.npz")
  return {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}


def test_published_weights_fill_the_network(state):
  variables = converter.convert(state, heads=4)
  model = models.build("clip_reward_captioner", 43, width=32, heads=4, layers=2, hidden=48)
  cells, tokens = jnp.zeros((1, 1, 9, 24)), jnp.zeros((1, 1, 2), jnp.int32)
  run = lambda m: m.decode(tokens, m.encode_features(cells))
  ours = jax.eval_shape(lambda k: nn.unbox(model.init(k, method=run)), jax.random.key(0))
  convert.check_shapes(variables, ours)
  pickles = {"_vocab": np.zeros(3, np.uint8), "_opt": np.zeros(2, np.uint8)}
  wrapped = {"model." + k: v for k, v in state.items()} | pickles
  again = converter.convert(wrapped, heads=4)
  jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.parametrize("name", ["model.encoder.norm.a_2", "model.generator.proj.bias",
                                  "model.decoder.layers.1.src_attn.linears.3.bias"])  # fmt: skip
def test_a_missing_weight_is_named(state, name):
  with pytest.raises(WeightsError, match=rf"weight {name} is missing"):
    converter.convert({k: v for k, v in state.items() if k != name}, heads=4)


def test_superfluous_weights_and_wrong_heads_are_named(state):
  with pytest.raises(WeightsError, match=r"1 weights have no place: \['model.more'\]"):
    converter.convert(state | {"model.more": np.zeros(3)}, heads=4)
  with pytest.raises(WeightsError, match="32 channels, which 5 heads do not divide"):
    converter.convert(state, heads=5)


def test_numbers_of_the_reference_become_ours():
  theirs = np.array([[5, 0, 0], [0, 0, 0], [1, 2, 3]])
  ours = converter.as_ours(theirs)
  assert ours.tolist() == [[7, EOS, PAD], [EOS, PAD, PAD], [3, 4, 5]]
  assert SOS not in ours
