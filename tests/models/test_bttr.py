"""BTTR at a tiny size: what it may look at, its cached form, its options, and that it learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models, sharding, train_state
from mmjax.decode.bidirectional import both_directions
from mmjax.losses import cross_entropy
from mmjax.models.bttr import Memory
from mmjax.tasks.bidirectional import Task, valid_pixels
from mmjax.text.vocabulary import Vocabulary

V, B, R, T = 9, 2, 3, 6
SIZES = dict(width=16, heads=2, layers=2, hidden=32, growth=4, encoder_layers=(1, 1, 1))
MODEL = models.build("bttr", V, mask_features=True, **SIZES)
HEIGHT, WIDTH, CANVAS = 21, 40, (32, 64)


def on_canvas(pictures, height, width):
  n, h, w, c = pictures.shape
  images = np.zeros((n, height, width, c), np.uint8)
  images[:, :h, :w] = pictures
  valid = np.zeros((n, height, width), bool)
  valid[:, :h, :w] = True
  return jnp.asarray(images), jnp.asarray(valid)


@pytest.fixture(scope="module")
def pictures():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (B, HEIGHT, WIDTH, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def tokens():
  return np.random.default_rng(1).integers(1, V, (B, R, T))


@pytest.fixture(scope="module")
def variables(pictures, tokens):
  """Random biases and running statistics as well: fresh ones hide what padding does."""
  inputs = *on_canvas(pictures, *CANVAS), jnp.asarray(tokens)
  init = jax.jit(lambda key: nn.unbox(MODEL.init(key, *inputs)))
  rng = np.random.default_rng(2)
  shake = lambda x: x * rng.uniform(0.7, 1.3, x.shape) + rng.uniform(0, 0.2, x.shape)
  return jax.tree.map(lambda x: jnp.asarray(shake(x), jnp.float32), init(jax.random.key(0)))


def method(model, name):
  return jax.jit(functools.partial(model.apply, method=name))


ENCODE, DECODE = method(MODEL, "encode"), method(MODEL, "decode")


@pytest.fixture(scope="module")
def memory(variables, pictures):
  return ENCODE(variables, *on_canvas(pictures, *CANVAS))


@pytest.fixture(scope="module")
def logits(variables, tokens, memory):
  return np.asarray(DECODE(variables, tokens, memory))


def test_memory_is_the_grid_row_by_row(memory):
  assert memory.features.shape == (B, 2 * 4, 16)  # 32x64 / 16
  np.testing.assert_array_equal(memory.valid, [[1, 1, 1, 0, 1, 1, 1, 0]] * B)  # 21x40: 2x3 cells


def test_logits_know_nothing_of_later_words(variables, tokens, memory, logits):
  for t in (1, 3, T - 1):
    changed = tokens.copy()
    changed[:, :, t:] = changed[:, :, t:] % (V - 1) + 1
    ours = np.asarray(DECODE(variables, changed, memory))
    np.testing.assert_allclose(ours[:, :, :t], logits[:, :, :t], atol=1e-6)
    assert np.abs(ours[:, :, t:] - logits[:, :, t:]).max() > 1e-2


def test_padding_behind_a_text_changes_nothing_before_it(variables, tokens, memory, logits):
  padded = tokens.copy()
  padded[:, :, 4:] = 0
  ours = DECODE(variables, padded, memory)
  np.testing.assert_allclose(ours[:, :, :4], logits[:, :, :4], atol=1e-6)


def test_rows_and_pictures_are_independent(variables, tokens, memory, logits):
  changed = tokens.copy()
  changed[0, 1] = changed[0, 1] % (V - 1) + 1
  ours = np.asarray(DECODE(variables, changed, memory))
  same = np.ones((B, R), bool)
  same[0, 1] = False
  np.testing.assert_allclose(ours[same], logits[same], atol=1e-6)
  assert np.abs(ours[~same] - logits[~same]).max() > 1e-2


def test_cached_steps_equal_teacher_forcing(variables, tokens, memory, logits):
  @jax.jit
  def steps(variables, tokens, memory):
    call = functools.partial(MODEL.apply, variables)
    shared, cache = call(memory, R, T, method="init_cache")

    def step(cache, now):
      logits, cache = call(*now, cache, shared, method="step")
      return cache, logits

    words = jnp.moveaxis(jnp.asarray(tokens), -1, 0)
    return jnp.moveaxis(jax.lax.scan(step, cache, (words, jnp.arange(T)))[1], 0, 2)

  np.testing.assert_allclose(steps(variables, tokens, memory), logits, atol=1e-5)


def test_memory_under_the_mask_does_not_matter(variables, tokens, memory, logits):
  junk = jnp.where(memory.valid[..., None], memory.features, 1e3)
  ours = DECODE(variables, tokens, Memory(junk, memory.valid))
  np.testing.assert_allclose(ours, logits, atol=1e-6)
  junk = jnp.where(memory.valid[..., None], 1e3, memory.features)
  assert np.abs(DECODE(variables, tokens, Memory(junk, memory.valid)) - logits).max() > 1e-2


def test_logits_do_not_depend_on_the_canvas(variables, tokens, pictures, memory, logits):
  tight = ENCODE(variables, *on_canvas(pictures, HEIGHT, WIDTH))
  features = memory.features[memory.valid].reshape(tight.features.shape)
  np.testing.assert_allclose(features, tight.features, atol=1e-5)
  np.testing.assert_allclose(DECODE(variables, tokens, tight), logits, atol=1e-5)


def test_bfloat16_computes_close_by_and_answers_in_float32(variables, tokens, pictures, logits):
  model = models.build("bttr", V, mask_features=True, dtype="bfloat16", **SIZES)
  memory = method(model, "encode")(variables, *on_canvas(pictures, *CANVAS))
  assert memory.features.dtype == jnp.bfloat16
  ours = method(model, "decode")(variables, tokens, memory)
  assert ours.dtype == jnp.float32
  difference = np.abs(ours - logits)
  assert 0 < difference.max() < 0.1 * logits.std()
  fresh = jax.eval_shape(model.init, jax.random.key(0), *on_canvas(pictures, *CANVAS), tokens)
  assert {x.dtype for x in jax.tree.leaves(fresh)} == {jnp.dtype("float32")}


def test_rematerialisation_gives_equal_gradients(variables, tokens, pictures):
  """In training, dropout and all."""
  images, valid = on_canvas(pictures, *CANVAS)

  def gradient(remat):
    model = models.build("bttr", V, remat=remat, **(SIZES | {"layers": 1}))

    def loss(params):
      out, _ = model.apply(
          {**variables, "params": params},
          images,
          valid,
          jnp.asarray(tokens),
          train=True,
          rngs={"dropout": jax.random.key(3)},
          mutable=["batch_stats"],
      )
      return (out**2).mean()

    return jax.jit(jax.grad(loss))(variables["params"])

  kept, recomputed = gradient(remat=False), gradient(remat=True)
  for (path, a), b in zip(jax.tree.leaves_with_path(kept), jax.tree.leaves(recomputed)):
    scale = max(1e-3, np.abs(a).max())
    np.testing.assert_allclose(b, a, atol=1e-4 * scale, err_msg=jax.tree_util.keystr(path))


def test_parameters_at_the_published_sizes():
  model = models.build("bttr", 113)
  image, valid = jnp.zeros((1, 32, 32, 1), jnp.uint8), jnp.ones((1, 32, 32), bool)
  tokens = jnp.ones((1, 2, 2), jnp.int32)
  params = jax.eval_shape(model.init, jax.random.key(0), image, valid, tokens)["params"]
  count = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in params.items()}
  encoder = count["encoder"] + count["feature_proj"] + count["feature_norm"]
  assert encoder == 3_156_624
  assert sum(count.values()) - encoder == 3_218_801
  assert sum(count.values()) == 6_375_425


def test_unknown_names_and_sizes_are_refused():
  assert "bttr" in models.names()
  with pytest.raises(ValueError, match=r"no model 'btr'; there are: .*bttr"):
    models.build("btr", 9)
  with pytest.raises(ValueError, match=r"model 'bttr': .*depth"):
    models.build("bttr", 9, depth=3)


TEXTS = ["a", "b a", "a b", "c c d", "d ^ { a }", "a + b + a", "c", "{ a } { b }"]


def test_overfits_eight_pictures():
  """The update of the training loop, then greedy and beam search, give the exact texts."""
  vocabulary = Vocabulary.from_words(["a", "b", "c", "d", "+", "^", "{", "}"])
  sizes = SIZES | dict(width=32, layers=1, hidden=64, dropout=0.0, encoder_dropout=0.0)
  model = models.build("bttr", len(vocabulary), mask_features=True, **sizes)
  task = Task(model, vocabulary, beam=3, max_length=10)
  rates = train_state.Rates(optax.scale_by_adam(), lambda step: jnp.float32(5e-3))
  numbers = [vocabulary.encode(text.split()) for text in TEXTS]
  size = np.array([[32, 64], [20, 33], [32, 48], [16, 64], [31, 64], [32, 63], [8, 20], [32, 64]])
  image = np.random.default_rng(5).integers(0, 256, (8, 32, 64, 1), dtype=np.uint8)
  batch = {
      "image": image,
      "size": size,
      "tokens": np.array([n + [0] * (8 - len(n)) for n in numbers]),
      "length": np.array([len(n) for n in numbers]),
      "real": np.ones(8, bool),
  }
  state, _ = train_state.create(task, rates, sharding.make_mesh(), seed=0)
  update = jax.jit(train_state.make_update(task, rates), donate_argnums=0)
  losses = []
  for _ in range(150):
    state, metrics = update(state, batch, jax.random.key(0))
    losses.append(float(metrics["loss"][0] / metrics["loss"][1]))
  assert losses[0] > 2 and losses[-1] < 0.05
  words = both_directions(jnp.asarray(batch["tokens"]), jnp.asarray(batch["length"]))
  logits = jax.jit(model.apply)(state.variables, image, valid_pixels(batch), words[0])
  total, weight = cross_entropy(logits, words[1])  # dropout off, running statistics
  assert total / weight < 0.1

  traces = Task.predict._cache_size()
  for order in (np.arange(8), np.arange(8)[::-1]):
    for decoder in (task, Task(model, vocabulary, beam=1, max_length=10)):
      found = decoder.predict(state.variables, {k: v[order] for k, v in batch.items()})
      ours = [" ".join(vocabulary.decode(t[0].tolist())) for t in np.asarray(found.tokens)]
      assert ours == [TEXTS[i] for i in order]
      np.testing.assert_array_equal(found.lengths[:, 0], batch["length"][order])
  assert Task.predict._cache_size() == traces + 2  # one for each beam, none for the second batch
