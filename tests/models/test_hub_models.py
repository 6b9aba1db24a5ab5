"""Models of the Hugging Face hub as the training loop and the searches see them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models
from mmjax.convert import hub_models
from mmjax.losses import cross_entropy
from tests.convert import hub_cases as cases

PLAIN = {"do_normalize": False}


@pytest.mark.parametrize("name", ["beit unscaled, roberta", "vit, gpt2 untied", "git"])
def test_cached_decoding_is_teacher_forcing(name):
  """Two rows a picture; one of them has a padding word amid the others."""
  config = cases.CASES[name]
  model = hub_models.from_config(config, PLAIN)
  variables = jax.tree.map(
      lambda x: np.random.default_rng(x.size).normal(0, 0.3, x.shape).astype(np.float32),
      hub_models.shapes(model),
  )
  pixels, _ = cases.inputs(name, config)
  tokens = np.random.default_rng(3).integers(3, cases.V, (2, 2, 4))
  padding = cases.decoder_config(config)["pad_token_id"]
  tokens[0, 1, 3] = padding

  def whole(model, pixels, tokens):
    memory = model.encode_pixels(pixels)
    return model.decode(tokens, memory), *model.init_cache(memory, 2, 6)

  apply = jax.jit(model.apply, static_argnames="method")
  expected, shared, cache = apply(variables, pixels, tokens, method=whole)
  for position in range(4):
    word = tokens[..., position]
    logits, cache = apply(variables, word, jnp.int32(position), cache, shared, method="step")
    np.testing.assert_allclose(logits, expected[:, :, position], atol=1e-5)


def test_learns_four_pictures():
  """With dropout off in the forward pass after training, every word is right."""
  config = {
      "model_type": "vision-encoder-decoder",
      "encoder": {**cases.VIT, "model_type": "vit", "num_hidden_layers": 1},
      "decoder": {**cases.GPT2, "n_layer": 1},
  }
  model = hub_models.from_config(config, PLAIN)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
  valid = np.ones((4, 24, 24), bool)
  words = rng.integers(3, cases.V, (4, 1, 5))
  tokens = np.concatenate([np.full((4, 1, 1), cases.BOS), words[..., :-1]], -1)
  params = nn.unbox(jax.jit(model.init)(jax.random.key(0), images, valid, tokens))
  optimizer = optax.adam(1e-2)

  @jax.jit
  def update(params, state, key):
    def loss(params):
      out = model.apply(params, images, valid, tokens, train=True, rngs={"dropout": key})
      total, weight = cross_entropy(out, words)
      return total / weight

    value, gradient = jax.value_and_grad(loss)(params)
    changes, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, changes), state, value

  state = optimizer.init(params)
  for step in range(200):
    params, state, value = update(params, state, jax.random.key(step))
  assert value < 0.3
  logits = jax.jit(model.apply)(params, images, valid, tokens)
  np.testing.assert_array_equal(logits.argmax(-1), words)


def test_no_sizes_make_them():
  with pytest.raises(ValueError, match="model 'blip' is not made from sizes but from a folder"):
    models.build("blip", 9)
