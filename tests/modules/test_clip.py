"""Parts of CLIP's towers that the recorded outputs do not reach; the rest is in tests/parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax.modules.clip import CLIP, Bottleneck, TextTransformer, quick_gelu, standardise
from mmjax.sharding import RULES

SIZES = {"features": 8, "vocabulary_size": 20, "text_width": 64, "text_layers": 1}
MODELS = {
    "vit": CLIP(image_width=64, image_layers=1, patch=8, **SIZES),
    "resnet": CLIP(image_width=4, image_layers=(1, 2, 1, 1), patch=0, **SIZES),
}
TOKENS = jnp.array([[18, 3, 5, 19, 0], [18, 7, 19, 0, 0]])


def shapes(name):
  """Variables of a model, boxed with their axes, as shapes."""
  images = jnp.zeros((2, 64, 64, 3))
  return jax.eval_shape(MODELS[name].init, jax.random.key(0), images, TOKENS)


def test_standardised_pixels():
  pixels = jnp.array([0, 255], jnp.uint8)[None, :, None, None].repeat(3, -1)
  black, white = standardise(pixels)[0, :, 0]
  np.testing.assert_allclose(black[0], -0.48145466 / 0.26862954, rtol=1e-6)
  np.testing.assert_allclose(white[2], (1 - 0.40821073) / 0.27577711, rtol=1e-6)


def test_quick_gelu():
  np.testing.assert_allclose(
      quick_gelu(jnp.array([-1.0, 0, 2])), [-0.15420423, 0, 1.93565862], rtol=1e-6)


def test_what_follows_the_end_of_the_text_does_not_matter():
  tower = TextTransformer(vocabulary_size=20, width=64, layers=1, features=8)
  variables = nn.unbox(jax.jit(tower.init)(jax.random.key(0), TOKENS))
  text = jax.jit(lambda tokens: tower.apply(variables, tokens))
  np.testing.assert_allclose(text(TOKENS.at[1, 3:].set(9))[1], text(TOKENS)[1], atol=1e-6)
  assert np.abs(text(TOKENS.at[1, 1].set(9))[1] - text(TOKENS)[1]).max() > 1e-3


def test_later_bottlenecks_of_a_stage_have_a_plain_shortcut():
  visual = shapes("resnet")["params"]["visual"]
  assert "shortcut" in visual["layer2_0"] and "shortcut" not in visual["layer2_1"]
  x = jax.random.normal(jax.random.key(0), (1, 4, 4, 16))
  block = Bottleneck(channels=4, stride=1, dtype=jnp.float32)
  variables = nn.unbox(block.init(jax.random.key(1), x))
  scale = variables["params"]["bn3"]["scale"] * 0
  variables["params"]["bn3"]["scale"] = scale  # what is left is the shortcut
  np.testing.assert_allclose(block.apply(variables, x), np.maximum(x, 0), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_carry_axes_that_the_mesh_knows(name):
  boxed = shapes(name)["params"]
  boxes = jax.tree.leaves(boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned))
  for box in boxes:
    assert isinstance(box, nn.LogicallyPartitioned)
    assert len(box.names) == len(box.value.shape) and set(box.names) <= {None, *RULES}
    assert any(box.names) or box.value.shape == ()
