"""The DenseNet attention recognizer: its cells, and its encoder's published names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import convert, models
from mmjax.convert import dense_attention
from mmjax.convert.state_dict import WeightsError
from tests.models.test_recognizers import ENCODER, on_canvas

WORDS, SIZE, GROWTH = 9, 8, ENCODER["growth"]
MODEL = models.build("dense_attention", WORDS, hidden=SIZE, **ENCODER)


@pytest.fixture(scope="module")
def shapes():
  inputs = *on_canvas(np.zeros((1, 64, 96, 1)), 64, 96), jnp.ones((1, 1, 2), int)
  init = lambda key: nn.unbox(MODEL.init(key, *inputs))
  return jax.eval_shape(init, jax.random.key(0))


def test_cells_are_counted_as_published(shapes):
  """Real are int(height / 16) + 1 rows and int(width / 16) + 1 columns, of those that there are."""
  variables = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

  @jax.jit
  def cells(images, valid):
    return MODEL.apply(variables, images, valid, method="encode").valid

  for height, width in ((33, 64), (32, 47), (1, 95), (64, 96)):
    images, valid = on_canvas(np.zeros((1, height, width, 1)), 64, 96)
    ours = np.asarray(cells(images, valid)[0])
    assert ours.shape == (4, 6)
    rows, columns = min(height // 16 + 1, 4), min(width // 16 + 1, 6)
    assert ours[:rows, :columns].all() and ours.sum() == rows * columns


def published():
  """State dicts of both parts, one layer a block; the encoder's names are torchvision's."""
  rng, state = np.random.default_rng(0), {}

  def put(name, *shape):
    state[name] = rng.random(shape).astype(np.float32)

  def norm(name, n):
    for part in ("weight", "bias", "running_mean", "running_var"):
      put(f"{name}.{part}", n)
    state[f"{name}.num_batches_tracked"] = np.array(7)

  def affine(name, *shape):
    put(f"{name}.weight", *shape)
    put(f"{name}.bias", shape[0])

  net, channels = "encoder.features", 2 * GROWTH
  put(f"{net}.conv0_m.weight", channels, 2, 7, 7)
  norm(f"{net}.norm0", channels)
  for block in (1, 2, 3):
    layer = f"{net}.denseblock{block}.denselayer1"
    norm(f"{layer}.norm1", channels)
    put(f"{layer}.conv1.weight", 4 * GROWTH, channels, 1, 1)
    norm(f"{layer}.norm2", 4 * GROWTH)
    put(f"{layer}.conv2.weight", GROWTH, 4 * GROWTH, 3, 3)
    channels += GROWTH
    if block < 3:
      norm(f"{net}.transition{block}.norm", channels)
      put(f"{net}.transition{block}.conv.weight", channels // 2, channels, 1, 1)
      channels //= 2
  norm(f"{net}.norm5", channels)
  affine("encoder.classifier", 10, channels)
  put("decoder.embedding.weight", WORDS, SIZE)
  for name, fan_in in (("gru1", SIZE), ("gru", channels)):
    put(f"decoder.{name}.weight_ih", 3 * SIZE, fan_in)
    put(f"decoder.{name}.weight_hh", 3 * SIZE, SIZE)
    put(f"decoder.{name}.bias_ih", 3 * SIZE)
    put(f"decoder.{name}.bias_hh", 3 * SIZE)
  affine("decoder.conv1", 1, 1, 3, 3)
  affine("decoder.conv_tan", SIZE, SIZE, 3, 3)
  norm("decoder.bn1", SIZE)
  norm("decoder.bn", 1)
  for name, *shape in (
      ("hidden", SIZE, SIZE), ("ua", SIZE, channels), ("uf", SIZE, 1), ("v", 1, SIZE),
      ("hidden2", SIZE // 2, SIZE), ("emb2", SIZE // 2, SIZE), ("wc", SIZE // 2, channels),
      ("emb", SIZE // 2, SIZE), ("out", WORDS, SIZE // 2),
  ):  # fmt: skip
    affine(f"decoder.{name}", *shape)
  return state


def test_weights_of_both_parts_fill_the_model(shapes):
  state = published()
  variables = dense_attention.convert(state)
  convert.check_shapes(variables, shapes)
  layer = variables["params"]["encoder"]["dense2_0"]["conv2"]["kernel"]
  theirs = state["encoder.features.denseblock2.denselayer1.conv2.weight"]
  np.testing.assert_array_equal(layer, np.einsum("oihw->hwio", theirs))
  del state["encoder.features.transition2.conv.weight"]
  with pytest.raises(WeightsError, match=r"transition2\.conv\.weight is missing"):
    dense_attention.convert(state)
