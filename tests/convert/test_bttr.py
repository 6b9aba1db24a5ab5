"""Published BTTR weights: every name accounted for, every value in its place."""

import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import convert, models
from mmjax.convert import bttr
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError
from tests.convert.published import SIZES, VOCABULARY, state_dict
from tests.convert.test_arrays import storage, tensor, write_zip


def shapes_of(vocabulary=VOCABULARY, **sizes):
  """Variables of our model, as shapes."""
  model = models.build("bttr", vocabulary, **sizes)
  image, valid = jnp.zeros((1, 32, 32, 1), jnp.uint8), jnp.ones((1, 32, 32), bool)
  variables = jax.eval_shape(model.init, jax.random.key(0), image, valid, jnp.ones((1, 2, 2), int))
  is_box = lambda x: hasattr(x, "unbox")
  return jax.tree.map(lambda x: x.unbox() if is_box(x) else x, variables, is_leaf=is_box)


@pytest.fixture(scope="module")
def target():
  variables = shapes_of(**SIZES)
  return types.SimpleNamespace(
      params=variables["params"], model_state={"batch_stats": variables["batch_stats"]}
  )


@pytest.fixture
def state():
  return state_dict()


def test_every_variable_is_filled(state, target):
  variables = bttr.convert(state, heads=2)
  convert.check_shapes(variables, {"params": target.params, **target.model_state})
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_values_are_in_their_places(state):
  v = bttr.convert(state, heads=2)
  p, s = v["params"], v["batch_stats"]
  theirs = lambda name: state[name]
  conv2 = theirs("encoder.model.dense1.1.conv2.weight")
  np.testing.assert_array_equal(
      p["encoder"]["dense1_1"]["conv2"]["kernel"], np.einsum("oihw->hwio", conv2)
  )
  trans = theirs("encoder.model.trans2.conv1.weight")
  np.testing.assert_array_equal(p["encoder"]["trans2"]["conv1"]["kernel"], trans[:, :, 0, 0].T)
  np.testing.assert_array_equal(
      s["encoder"]["post_norm"]["var"], theirs("encoder.model.post_norm.running_var")
  )
  stacked = theirs("decoder.model.layers.1.multihead_attn.in_proj_weight")
  for i, name in enumerate(("query", "key", "value")):
    kernel = p["decoder_1"]["cross_attention"][name]["kernel"]  # [D, heads, D / heads]
    for head in range(2):
      rows = stacked[8 * i + 4 * head : 8 * i + 4 * head + 4]
      np.testing.assert_array_equal(kernel[:, head], rows.T)
  out = theirs("decoder.model.layers.0.self_attn.out_proj.weight")
  np.testing.assert_array_equal(
      p["decoder_0"]["self_attention"]["out"]["kernel"].reshape(8, 8), out.T
  )
  np.testing.assert_array_equal(p["word_proj"]["kernel"], theirs("decoder.proj.weight").T)
  np.testing.assert_array_equal(p["feature_norm"]["bias"], theirs("encoder.norm.bias"))


@pytest.mark.parametrize("prefix", ["bttr.", "module.", "model.module.bttr."])
def test_the_name_of_a_wrapper_is_stripped(state, prefix):
  wrapped = bttr.convert({prefix + k: v for k, v in state.items()}, heads=2)
  jax.tree.map(np.testing.assert_array_equal, wrapped, bttr.convert(state, heads=2))


NAMES = [
    "encoder.model.conv1.weight",
    "encoder.model.dense1.1.bn2.running_var",
    "encoder.model.trans1.conv1.weight",
    "encoder.feature_proj.0.bias",
    "decoder.word_embed.0.weight",
    "decoder.model.layers.1.self_attn.in_proj_bias",
    "decoder.model.layers.0.linear2.bias",
    "decoder.proj.bias",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_weight_is_named(state, name):
  del state[name]
  with pytest.raises(WeightsError, match=name):
    bttr.convert(state, heads=2)


@pytest.mark.parametrize("name", [
    "decoder.extra.weight", "encoder.model.conv1.bias", "encoder.model.trans1.bn2.weight",
    "criterion.weight",
])  # fmt: skip
def test_an_additional_weight_is_named(state, name):
  wrapped = {"bttr." + k: v for k, v in state.items()}
  wrapped[name if name == "criterion.weight" else "bttr." + name] = np.zeros(3, np.float32)
  with pytest.raises(WeightsError, match=f"1 weights have no place.*{name}"):
    bttr.convert(wrapped, heads=2)


@pytest.mark.parametrize("name,shape", [
    ("encoder.model.conv1.weight", (8, 49)),
    ("encoder.model.dense1.0.conv1.weight", (16, 8, 3, 3)),
    ("encoder.model.norm1.running_mean", (1, 8)),
    ("decoder.model.layers.0.self_attn.in_proj_weight", (20, 8)),
    ("decoder.model.layers.0.self_attn.out_proj.weight", (8, 4)),
    ("decoder.model.layers.0.self_attn.in_proj_bias", (8,)),
    ("decoder.proj.weight", (9,)),
])  # fmt: skip
def test_a_shape_that_a_layer_cannot_have_is_named(state, name, shape):
  state[name] = np.zeros(shape, np.float32)
  with pytest.raises(WeightsError, match=name):
    bttr.convert(state, heads=2)


def test_heads_must_divide_the_width(state):
  with pytest.raises(WeightsError, match=r"self_attn\.in_proj_weight.* 3 heads"):
    bttr.convert(state, heads=3)


def test_weights_of_another_network_are_refused(state):
  with pytest.raises(WeightsError, match=r"no weight is named encoder\.model\.conv1\.weight"):
    bttr.convert({"backbone." + k[3:]: v for k, v in state.items()})


def as_checkpoint(path, state):
  """A Lightning checkpoint: the weights under `state_dict`, between other things."""
  tensors = {}
  for i, (name, array) in enumerate(state.items()):
    if name.endswith("num_batches_tracked"):
      tensors[name] = tensor(storage(str(i), np.array([7]), "LongStorage"), (), ())
      continue
    strides = tuple(math.prod(array.shape[d + 1 :]) for d in range(array.ndim))
    tensors[name] = tensor(storage(str(i), array), array.shape, strides)
  return write_zip(path, {"epoch": 3, "state_dict": tensors, "hparams": {"beam_size": 10}})


def test_load_reads_npz_and_ckpt(state, target, tmp_path):
  np.savez(tmp_path / "weights.npz", **state)
  wrapped = {"bttr." + k: v for k, v in state.items()}
  as_checkpoint(tmp_path / "weights.ckpt", wrapped)
  expected = bttr.convert(state, heads=2)
  for name in ("weights.npz", "weights.ckpt"):
    ours = convert.load("bttr", tmp_path / name, SIZES, target)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_load_names_the_weights_that_do_not_fit_the_model(state, tmp_path):
  np.savez(tmp_path / "weights.npz", **state)
  other = shapes_of(VOCABULARY + 2, **SIZES)
  target = types.SimpleNamespace(
      params=other["params"], model_state={"batch_stats": other["batch_stats"]}
  )
  with pytest.raises(WeightsError) as said:
    convert.load("bttr", tmp_path / "weights.npz", SIZES, target)
  assert "3 weights do not fit the model (sizes or vocabulary differ?)" in str(said.value)
  one = "['params']['word_proj']['kernel']: (8, 9) in the file, (8, 11) in the model"
  assert one in str(said.value)


@pytest.mark.parametrize("kind", ["btr", "", "a.b", "arrays", "parity"])
def test_an_unknown_kind_is_refused(kind):
  with pytest.raises(WeightsError, match="no converter for the model"):
    convert.converter(kind)


def test_recorded_weights_fit_our_model(shared):
  """The state dict of the reference network itself: nothing missing, nothing left."""
  arrays = read_arrays(shared / "golden" / "bttr_small.npz")
  hparams = json.loads(str(arrays["hparams"]))
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  variables = bttr.convert(state, heads=hparams["nhead"])
  ours = shapes_of(
      hparams["vocab_size"],
      width=hparams["d_model"],
      heads=hparams["nhead"],
      layers=hparams["num_decoder_layers"],
      hidden=hparams["dim_feedforward"],
      growth=hparams["growth_rate"],
      encoder_layers=(hparams["num_layers"],) * 3,
  )
  convert.check_shapes(variables, ours)
