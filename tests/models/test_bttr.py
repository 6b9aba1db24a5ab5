"""BTTR at a tiny size: its options, and that it learns; the rest is in test_recognizers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models, sharding, train_state
from mmjax.decode.bidirectional import both_directions
from mmjax.decode.options import DecodeOptions
from mmjax.losses import cross_entropy
from mmjax.tasks.bidirectional import Task
from mmjax.tasks.recognition import valid_pixels
from mmjax.text.vocabulary import Vocabulary
from tests.models.test_recognizers import CANVAS, on_canvas

V, B, R, T = 9, 2, 3, 6
SIZES = dict(width=16, heads=2, layers=2, hidden=32, growth=4, encoder_layers=(1, 1, 1))
MODEL = models.build("bttr", V, mask_features=True, **SIZES)
HEIGHT, WIDTH = 21, 40


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


def test_memory_is_the_grid_row_by_row(variables, pictures):
  encode = jax.jit(functools.partial(MODEL.apply, method="encode"))
  memory = encode(variables, *on_canvas(pictures, *CANVAS))
  assert memory.features.shape == (B, 2 * 4, 16)  # 32x64 / 16
  np.testing.assert_array_equal(memory.valid, [[1, 1, 1, 0, 1, 1, 1, 0]] * B)  # 21x40: 2x3 cells


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
  task = Task(model, vocabulary, DecodeOptions(beam=3, max_length=10))
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
    for decoder in (task, Task(model, vocabulary, DecodeOptions(beam=1, max_length=10))):
      found = decoder.predict(state.variables, {k: v[order] for k, v in batch.items()})
      ours = [" ".join(vocabulary.decode(t[0].tolist())) for t in np.asarray(found.tokens)]
      assert ours == [TEXTS[i] for i in order]
      np.testing.assert_array_equal(found.lengths[:, 0], batch["length"][order])
  assert Task.predict._cache_size() == traces + 2  # one for each beam, none for the second batch
