"""Published CLIP weights: every name accounted for, sizes told by shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import convert
from mmjax.convert import clip
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError


@pytest.fixture(scope="module", params=["vit", "resnet"])
def state(shared, request):
  arrays = read_arrays(shared / "golden" / f"clip_{request.param}_small.npz")
  return {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}


def test_every_variable_of_the_model_is_filled(state):
  variables = clip.convert(state)
  model = clip.model_of(variables)
  side = 32 if "visual.proj" in state else 64
  inputs = jnp.zeros((1, side, side, 3)), jnp.zeros((1, 16), int)
  ours = jax.eval_shape(model.init, jax.random.key(0), *inputs)
  convert.check_shapes(variables, nn.unbox(ours))


def test_a_wrapper_is_stripped_and_names_must_match(state):
  wrapped = {"clip." + k: v for k, v in state.items()}
  ours, theirs = clip.convert(wrapped), clip.convert(state)
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  for name in ("ln_final.bias", "visual.conv1.weight", "transformer.resblocks.1.mlp.c_fc.bias"):
    with pytest.raises(WeightsError, match=name):
      clip.convert({k: v for k, v in state.items() if k != name})
  with pytest.raises(WeightsError, match=r"1 weights have no place: \['visual.more'\]"):
    clip.convert(state | {"visual.more": np.zeros(3)})
  with pytest.raises(WeightsError, match=r"text_projection has the shape \(3,\)"):
    clip.convert(state | {"text_projection": np.zeros(3)})
