"""The published form of Show, Attend and Tell: whole modules, and words in another order."""

import re

import numpy as np
import pytest

from mmjax.convert import show_attend_tell as converter
from mmjax.convert.state_dict import WeightsError

V, D, A, E, H = 9, 64, 3, 4, 5  # D: of a ResNet of width 2


def affine(name, *shape):
  return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name, n):
  parts = ("weight", "bias", "running_mean", "running_var")
  return {f"{name}.{part}": (n,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def shapes():
  """Name -> shape as published, of a ResNet with two blocks in its third stage."""
  found = {
      "decoder.embedding.weight": (V, E),
      "decoder.decode_step.weight_ih": (4 * H, E + D),
      "decoder.decode_step.weight_hh": (4 * H, H),
      "decoder.decode_step.bias_ih": (4 * H,),
      "decoder.decode_step.bias_hh": (4 * H,),
      **affine("decoder.attention.encoder_att", A, D),
      **affine("decoder.attention.decoder_att", A, H),
      **affine("decoder.attention.full_att", 1, A),
      **affine("decoder.init_h", H, D),
      **affine("decoder.init_c", H, D),
      **affine("decoder.f_beta", D, H),
      **affine("decoder.fc", V, H),
      "encoder.resnet.0.weight": (2, 3, 7, 7),
      **norm("encoder.resnet.1", 2),
  }
  channels = 2
  for stage, depth in enumerate((1, 1, 2, 1)):
    width = 2 * 2**stage
    for i in range(depth):
      block = f"encoder.resnet.{stage + 4}.{i}"
      sides = ((width, channels, 1), (width, width, 3), (4 * width, width, 1))
      for n, (out, into, side) in enumerate(sides, 1):
        found[f"{block}.conv{n}.weight"] = (out, into, side, side)
        found |= norm(f"{block}.bn{n}", out)
      if i == 0:
        found[f"{block}.downsample.0.weight"] = (4 * width, channels, 1, 1)
        found |= norm(f"{block}.downsample.1", 4 * width)
      channels = 4 * width
  return found


@pytest.fixture
def state():
  rng = np.random.default_rng(0)
  return {k: rng.random(shape).astype(np.float32) for k, shape in shapes().items()}


def test_words_come_in_our_order(state):
  """There 0 padding, 1..5 words, 6 unknown, 7 start, 8 end; ours 0, start, end, unknown, words."""
  params = converter.convert(state)["params"]
  order = [0, 7, 8, 6, 1, 2, 3, 4, 5]
  np.testing.assert_array_equal(
      params["word_embed"]["embedding"], state["decoder.embedding.weight"][order]
  )
  np.testing.assert_array_equal(
      params["word_proj"]["kernel"].T, state["decoder.fc.weight"][order]
  )
  np.testing.assert_array_equal(params["word_proj"]["bias"], state["decoder.fc.bias"][order])


def test_words_and_pictures_share_the_published_gates(state):
  params = converter.convert(state)["params"]
  both = [params[name]["kernel"] for name in ("from_word", "from_picture")]
  np.testing.assert_array_equal(
      np.concatenate(both).T, state["decoder.decode_step.weight_ih"]
  )
  assert "bias" not in params["from_picture"]


def test_the_encoder_comes_along(state):
  variables = converter.convert(state)
  blocks = {"stem", "stage1_0", "stage2_0", "stage3_0", "stage3_1", "stage4_0"}
  assert variables["params"]["encoder"].keys() == blocks
  assert variables["batch_stats"]["encoder"].keys() == blocks
  alone = converter.convert({k: v for k, v in state.items() if k.startswith("decoder")})
  assert alone.keys() == {"params"} and "encoder" not in alone["params"]


@pytest.mark.parametrize("name", [
    "encoder.resnet.0.weight", "encoder.resnet.6.1.conv2.weight", "encoder.resnet.5.0.bn1.bias",
])  # fmt: skip
def test_a_missing_weight_of_the_encoder_is_named(state, name):
  del state[name]
  with pytest.raises(WeightsError, match=r"(resnet\.0|layer3\.1\.conv2|layer2\.0\.bn1)"):
    converter.convert(state)


def test_an_additional_weight_of_the_encoder_is_named(state):
  state["encoder.resnet.8.weight"] = np.zeros(3, np.float32)
  with pytest.raises(WeightsError, match=re.escape("resnet.8.weight")):
    converter.convert(state)
