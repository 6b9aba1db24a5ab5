"""WAP's decoder against its equations in NumPy, and its two encoders; more in test_recognizers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import models
from mmjax.models.wap import Memory
from mmjax.text.vocabulary import SOS
from tests.models.test_recognizers import ENCODER, random_variables

V, B, T, GRID = 9, 2, 4, (3, 5)
SIZES = dict(hidden=6, embedding=8, attention=5, coverage_channels=3, kernel=3, **ENCODER)
MODEL = models.build("wap", V, **SIZES)
VALID = np.zeros((B, *GRID), bool)
VALID[0], VALID[1, :2, :4] = True, True


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def written_out(p, features, valid, tokens):
  """Logits [T, V] of one picture, from the paper's equations."""
  affine = lambda name, x: x @ p[name]["kernel"] + p[name].get("bias", 0)
  gates = lambda cell, part, x: np.split(
      x @ p[cell][part]["kernel"] + p[cell][part].get("bias", 0), 3, -1
  )

  def gru(cell, x, h):
    """r, u = sigmoid(W x + U h + b); u keeps the old state."""
    (r_x, u_x, n_x), (r_h, u_h, n_h) = gates(cell, "input", x), gates(cell, "state", h)
    r, u = sigmoid(r_x + r_h), sigmoid(u_x + u_h)
    return u * h + (1 - u) * np.tanh(n_x + r * n_h)

  h = np.tanh(affine("start", features[valid].mean(0)))
  past, out = np.zeros(GRID), []
  a = p["attend"]
  for token in tokens:
    word = np.zeros(8) if token == SOS else p["word_embed"]["embedding"][token]
    h1 = gru("word_gru", word, h)
    padded = np.pad(past, 1)
    scores = np.full(GRID, -np.inf)
    for i, j in zip(*np.nonzero(valid)):
      window = padded[i : i + 3, j : j + 3]
      maps = np.einsum("hw,hwc->c", window, a["past_kernel"][:, :, 0])
      cell = features[i, j] @ a["cells"]["kernel"] + a["cells"]["bias"]
      total = h1 @ a["state"]["kernel"] + cell + maps @ a["past_proj_kernel"]
      scores[i, j] = (np.tanh(total) @ a["score"]["kernel"] + a["score"]["bias"]).item()
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    past = past + weights
    found = np.einsum("hw,hwc->c", weights, features)
    h = gru("picture_gru", found, h1)
    x = affine("from_state", h) + affine("from_word", word) + affine("from_picture", found)
    out.append(affine("word_proj", np.maximum(x[0::2], x[1::2])))
  return np.stack(out)


def test_decoder_equations():
  rng = np.random.default_rng(0)
  tokens = rng.integers(3, V, (B, 1, T))
  tokens[:, :, 0] = SOS
  images, pixels = jnp.zeros((1, 32, 32, 1)), jnp.ones((1, 32, 32), bool)
  init = lambda key: nn.unbox(MODEL.init(key, images, pixels, jnp.ones((1, 1, 2), int)))
  variables = random_variables(jax.eval_shape(init, jax.random.key(0)))
  channels = variables["params"]["start"]["kernel"].shape[0]
  features = rng.normal(size=(B, *GRID, channels)).astype(np.float32)
  decode = jax.jit(functools.partial(MODEL.apply, method="decode"))
  ours = decode(variables, tokens, Memory(jnp.asarray(features), jnp.asarray(VALID)))
  p = jax.tree.map(np.asarray, variables["params"])
  for b in range(B):
    expected = written_out(p, features[b], VALID[b], tokens[b, 0])
    np.testing.assert_allclose(ours[b, 0], expected, atol=1e-5)
  assert p["word_gru"]["state"].keys() == p["picture_gru"]["input"].keys() == {"kernel"}


@pytest.mark.parametrize("name,channels,parameters", [
    ("densenet", 684, 2_979_288 + 2 * 48),  # CAN's, and a norm after the stem
    ("vgg", 128, 9 * (32 + 3 * 32**2 + 32 * 64 + 7 * 64**2 + 64 * 128 + 3 * 128**2)
     + 2 * 4 * (32 + 64 + 64 + 128)),
])  # fmt: skip
def test_encoders_at_the_published_sizes(name, channels, parameters):
  model = models.build("wap", 113, encoder_name=name)
  image, valid = jnp.zeros((1, 37, 50, 1), jnp.uint8), jnp.ones((1, 37, 50), bool)
  init = functools.partial(model.init, jax.random.key(0))
  params = jax.eval_shape(init, image, valid, jnp.ones((1, 1, 2), int))["params"]
  assert sum(x.size for x in jax.tree.leaves(params["encoder"])) == parameters
  encode = functools.partial(model.init, method="encode")
  apply = lambda: model.apply(encode(jax.random.key(0), image, valid), image, valid,
                              method="encode")  # fmt: skip
  assert jax.eval_shape(apply).features.shape == (1, 3, 4, channels)


def test_an_unknown_encoder_is_refused():
  with pytest.raises(ValueError, match=r"model 'wap': encoder_name is 'resnet'; there are: dense"):
    models.build("wap", 9, encoder_name="resnet")
