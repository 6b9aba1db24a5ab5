"""Converters on the recorded state dicts of the reference networks: every name accounted for."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import convert
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError
from mmjax.models.san import RELATIONS, Nodes

FILES = {
    "comer": "comer_small",
    "can": "can_small",
    "dense_attention": "wap_densenet_attention",
    "san": "san_small",
    "show_attend_tell": "sat_decoder_small",
    "caption_transformer": "transformer_captioner_small",
}
BUFFERS = r".*\.num_batches_tracked|.*\.pe|positional_encodings\..*"


@functools.cache
def recorded(path):
  arrays = read_arrays(path)
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  return json.loads(str(arrays["hparams"])), state


@pytest.fixture(params=FILES)
def network(request, shared):
  """Our converter, the reference's sizes, and a state dict to change."""
  sizes, state = recorded(shared / "golden" / f"{FILES[request.param]}.npz")
  heads = sizes.get("nhead") or sizes.get("heads")
  options = {"heads": heads} if heads else {}
  module = convert.converter(request.param)
  return module, functools.partial(module.convert, **options), sizes, dict(state)


def inputs(kind):
  image, valid = jnp.zeros((1, 32, 32, 1), jnp.uint8), jnp.ones((1, 32, 32), bool)
  if kind != "san":
    return image, valid, jnp.ones((1, 1, 2), int)
  words = jnp.ones((1, 2), int)
  flags = jnp.ones((1, 2, len(RELATIONS)), bool)
  return image, valid, Nodes(words, words, words, flags, words > 0, words > 0)


def variables_of(kind, model, sizes, key):
  """New ones; of captioners, whose files hold no encoder, those that features meet."""
  channels = sizes.get("encoder_dim") or sizes.get("feature_channels")
  if not channels:
    return nn.unbox(model.init(key, *inputs(kind)))
  decode = lambda m, features, tokens: m.decode(tokens, m.encode_features(features))
  return nn.unbox(
      model.init(key, jnp.zeros((1, 2, 2, channels)), jnp.ones((1, 1, 2), int), method=decode)
  )


def test_every_variable_is_filled(network):
  module, convert_state, sizes, state = network
  model = module.model_of(sizes)
  kind = module.__name__.rsplit(".", 1)[1]
  init = functools.partial(variables_of, kind, model, sizes)
  target = jax.eval_shape(init, jax.random.key(0))
  if kind == "dense_attention":  # its recorded file has the decoder alone
    target = {k: {n: x for n, x in v.items() if n != "encoder"} for k, v in target.items()}
  variables = convert_state(state)
  convert.check_shapes(variables, target)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_each_missing_weight_is_named(network):
  module, convert_state, _, state = network
  unused = getattr(module, "UNUSED", "(?!)")
  needed = [name for name in state if not re.fullmatch(f"{BUFFERS}|{unused}", name)]
  assert 18 < len(needed) <= len(state)
  for name in needed:
    left = {k: v for k, v in state.items() if k != name}
    with pytest.raises(WeightsError, match=re.escape(name)):
      convert_state(left)


@pytest.mark.parametrize("name", ["decoder.extra.weight", "criterion.weight"])
def test_an_additional_weight_is_named(network, name):
  _, convert_state, _, state = network
  state[name] = np.zeros(3, np.float32)
  with pytest.raises(WeightsError, match=f"1 weights have no place.*{name}"):
    convert_state(state)


def test_a_shape_that_a_layer_cannot_have_is_named(network):
  _, convert_state, _, state = network
  name = next(k for k in state if k.endswith(".bias"))
  state[name] = state[name][:, None]
  with pytest.raises(WeightsError, match=re.escape(f"{name} has the shape")):
    convert_state(state)


def test_the_name_of_a_wrapper_is_stripped(network):
  _, convert_state, _, state = network
  wrapped = convert_state({"model.module." + k: v for k, v in state.items()})
  jax.tree.map(np.testing.assert_array_equal, wrapped, convert_state(state))


def test_weights_of_another_network_are_refused(network):
  _, convert_state, _, state = network
  with pytest.raises(WeightsError, match="no weight is named"):
    convert_state({"backbone." + k.replace(".", "_"): v for k, v in state.items()})
