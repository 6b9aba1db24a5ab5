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


def transformers_names(state):
  """A state dict of OpenAI's as the transformers package stores the same network."""
  out = {"text_model.embeddings.position_ids": np.arange(16)[None]}
  whole = {
      "logit_scale": "logit_scale",
      "visual.class_embedding": "vision_model.embeddings.class_embedding",
      "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
      "positional_embedding": "text_model.embeddings.position_embedding.weight",
      "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
      "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
  }  # fmt: skip
  norms = {"ln_final": "text_model.final_layer_norm", "visual.ln_pre": "vision_model.pre_layrnorm",
           "visual.ln_post": "vision_model.post_layernorm"}  # fmt: skip
  parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1",
           "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}  # fmt: skip
  for name, array in state.items():
    stem, _, leaf = name.rpartition(".")
    if name in whole:
      out[whole[name]] = array
    elif name in ("text_projection", "visual.proj"):
      tower = "text" if name.startswith("text") else "visual"
      out[f"{tower}_projection.weight"] = array.T
    elif stem in norms:
      out[f"{norms[stem]}.{leaf}"] = array
    else:
      tower = "vision" if name.startswith("visual.") else "text"
      number, _, part = name.partition("resblocks.")[2].partition(".")
      layer = f"{tower}_model.encoder.layers.{number}"
      if part.startswith("attn.in_proj_"):
        for piece, rows in zip("qkv", np.split(array, 3)):
          out[f"{layer}.self_attn.{piece}_proj.{part.removeprefix('attn.in_proj_')}"] = rows
      else:
        out[f"{layer}.{parts[part.rpartition('.')[0]]}.{leaf}"] = array
  return out


def test_names_of_the_transformers_package(shared):
  arrays = read_arrays(shared / "golden" / "clip_vit_small.npz")
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  other = transformers_names(state)
  assert not other.keys() & (state.keys() - {"logit_scale"})
  jax.tree.map(np.testing.assert_array_equal, clip.convert(other), clip.convert(state))
  name = "vision_model.encoder.layers.1.self_attn.k_proj.bias"
  with pytest.raises(WeightsError, match=r"in_proj_bias is missing"):
    clip.convert({k: v for k, v in other.items() if k != name})
