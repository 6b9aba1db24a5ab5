"""Graph models of TensorFlow.js, run operation by operation."""

import base64
import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from mmjax.convert import graph_model
from mmjax.convert.state_dict import WeightsError

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 7, 6, 3)).astype(np.float32)


def text(*words):
  return [base64.b64encode(w.encode()).decode() for w in words]


def node(name, kind, *inputs, **settings):
  return {"name": name, "op": kind, "input": list(inputs), "attr": settings}


def conv(name, kind, *inputs, stride=1, padding="SAME", fused=()):
  return node(name, kind, *inputs, strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
              padding={"s": text(padding)[0]}, data_format={"s": text("NHWC")[0]},
              fused_ops={"list": {"s": text(*fused)}})  # fmt: skip


def write(folder, nodes, constants, halves=()):
  """Writes a graph; constants whose names are in `halves` are stored as float16."""
  weights, data = [], b""
  for name, array in constants.items():
    array = np.asarray(array)
    row = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
    if name in halves:
      row["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
    data += array.astype("float16" if name in halves else array.dtype).tobytes()
    weights.append(row)
  nodes = [*nodes, *(node(name, "Const") for name in constants)]  # behind those that read them
  model = {"modelTopology": {"node": nodes},
           "weightsManifest": [{"paths": ["g.bin"], "weights": weights}]}  # fmt: skip
  (folder / "g.bin").write_bytes(data)
  (folder / "g.json").write_text(json.dumps(model))
  return folder / "g.json"


def run(path, wanted, image=IMAGE):
  model = graph_model.load(path)
  return np.asarray(model.run(model.constants, {"x": jnp.asarray(image)}, [wanted])[0])


def same(picture, kernel, stride):
  """Channel by channel, padded as TensorFlow does."""
  out = []
  for axis, n in enumerate(picture.shape):
    k = kernel.shape[axis]
    border = max((-(-n // stride) - 1) * stride + k - n, 0)
    out.append((border // 2, border - border // 2))
  return correlate2d(np.pad(picture, out), kernel, "valid")[::stride, ::stride]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 3])
def test_convolutions(tmp_path, stride, side):
  kernel = RNG.normal(size=(side, side, 3, 4)).astype(np.float32)
  alone = RNG.normal(size=(side, side, 3, 1)).astype(np.float32)
  bias, few = RNG.normal(size=4).astype(np.float32), np.float32([0.5, -1, 2])
  path = write(tmp_path, [
      conv("c", "Conv2D", "x", "kernel", stride=stride),
      conv("f", "_FusedConv2D", "x:0", "kernel", "bias", stride=stride, fused=["BiasAdd", "Relu"]),
      conv("v", "Conv2D", "x", "kernel", stride=stride, padding="VALID"),
      conv("d", "DepthwiseConv2dNative", "x", "alone", stride=stride),
      conv("e", "FusedDepthwiseConv2dNative", "x", "alone", "few", stride=stride,
           fused=["BiasAdd", "Relu6"]),
      node("x", "Placeholder"),
  ], {"kernel": kernel, "alone": alone, "bias": bias, "few": few})  # fmt: skip
  expected = np.stack([
      np.stack([sum(same(p[..., i], kernel[..., i, o], stride) for i in range(3))
                for o in range(4)], -1) for p in IMAGE])  # fmt: skip
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)
  close(run(path, "c"), expected)
  close(run(path, "f"), np.maximum(expected + bias, 0))
  inside = np.stack([np.stack([sum(
      correlate2d(p[..., i], kernel[..., i, o], "valid")[::stride, ::stride] for i in range(3))
      for o in range(4)], -1) for p in IMAGE])  # fmt: skip
  close(run(path, "v"), inside)
  each = np.stack([np.stack([same(p[..., i], alone[..., i, 0], stride) for i in range(3)], -1)
                   for p in IMAGE])  # fmt: skip
  close(run(path, "d"), each)
  close(run(path, "e"), np.clip(each + few, 0, 6))


def test_the_other_operations(tmp_path):
  """The graph has its nodes in no order, and one constant in half precision."""
  no = {"b": False}
  path = write(tmp_path, [
      node("out", "Identity", "joined"),
      node("joined", "ConcatV2", "large", "mean", "axis"),
      node("large", "ResizeBilinear", "sum", "size", align_corners=no, half_pixel_centers=no),
      node("mean", "Mean", "six", "both", keep_dims={"b": True}),
      node("sum", "Add", "six", "sigmoid"),
      node("six", "Relu6", "scaled"),
      node("sigmoid", "Sigmoid", "positive"),
      node("positive", "Relu", "scaled"),
      node("scaled", "Mul", "x", "factor"),
      node("x", "Placeholder"),
  ], {"factor": np.float32([4.3, 2, 1]), "size": np.int32([14, 9]), "both": np.int32([1, 2]),
      "axis": np.int32(1)}, halves=["factor"])  # fmt: skip
  x = IMAGE * np.float16([4.3, 2, 1]).astype(np.float32)
  np.testing.assert_allclose(run(path, "scaled"), x, rtol=1e-6)
  six = np.clip(x, 0, 6)
  mean = six.mean((1, 2), keepdims=True)
  np.testing.assert_allclose(run(path, "mean"), mean, atol=1e-6)
  total = six + 1 / (1 + np.exp(-np.maximum(x, 0)))
  large = run(path, "large")
  assert large.shape == (2, 14, 9, 3)
  np.testing.assert_allclose(large[:, ::2, ::3], total[:, :, ::2], atol=1e-5)  # the old points
  halfway = (total[:, :-1] + total[:, 1:]) / 2
  np.testing.assert_allclose(large[:, 1:-1:2, ::3], halfway[:, :, ::2], atol=1e-5)
  np.testing.assert_allclose(large[:, 13], large[:, 12])  # nothing lies below
  third = (total[:, :, 0] + 2 * total[:, :, 1]) / 3
  np.testing.assert_allclose(large[:, ::2, 1], third, atol=1e-5)


def test_joined_maps(tmp_path):
  path = write(tmp_path, [node("j", "ConcatV2", "x", "x", "axis"), node("x", "Placeholder")],
               {"axis": np.int32(-1)})  # fmt: skip
  np.testing.assert_array_equal(run(path, "j"), np.concatenate([IMAGE, IMAGE], -1))


def test_damage_is_named(tmp_path):
  with pytest.raises(WeightsError, match=r"g\.json: cannot be read"):
    graph_model.load(tmp_path / "g.json")
  path = write(tmp_path, [node("s", "Softmax", "x"), node("x", "Placeholder")], {"a": np.ones(3)})
  with pytest.raises(WeightsError, match="node s is a Softmax; known are Add, "):
    run(path, "s")
  with pytest.raises(WeightsError, match="the graph has no node y"):
    run(path, "y")
  (tmp_path / "g.bin").write_bytes(b"1234567")
  with pytest.raises(WeightsError, match="ends before a; copy it again"):
    graph_model.load(path)
  (tmp_path / "g.bin").write_bytes(bytes(25))
  with pytest.raises(WeightsError, match="has 1 bytes too many"):
    graph_model.load(path)
  path = write(tmp_path, [node("s", "Relu", "t"), node("t", "Relu", "s")], {})
  with pytest.raises(WeightsError, match="a circle, before s"):
    graph_model.load(path)
  path.write_text("{}")
  with pytest.raises(WeightsError, match=r"not a graph model of TensorFlow\.js"):
    graph_model.load(path)
