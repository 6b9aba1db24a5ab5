"""Networks that were published as graph models of TensorFlow.js, read and run without TensorFlow.

A graph model is a folder with NAME.json, the operations and where weights lie, and NAME.bin, the
weights. Only operations of feed-forward picture networks are known.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mmjax.convert.state_dict import WeightsError
from mmjax.modules.convolution import depthwise

Arrays = Mapping[str, Any]


class Node(NamedTuple):
  """An operation: its kind, the nodes that it reads, and its settings."""

  kind: str
  inputs: tuple[str, ...]
  settings: dict[str, Any]


class GraphModel(NamedTuple):
  """A network as a graph.

  Attributes:
    nodes: by their names, each behind those that it reads.
    constants: weights, by the names of their nodes.
  """

  nodes: dict[str, Node]
  constants: dict[str, np.ndarray]

  def run(self, constants: Arrays, given: Arrays, wanted: Sequence[str]) -> list[jax.Array]:
    """What the nodes `wanted` give.

    Args:
      constants: as the attribute; an argument, so that a compiled function need not hold them.
      given: of placeholders, or of any node that is not to be computed.
      wanted: names of nodes.

    Raises:
      WeightsError: no such node, or one of a kind that is not known.
    """
    values: dict[str, Any] = dict(given)
    for name in self._needed(wanted, given):
      node = self.nodes[name]
      if node.kind == "Const":
        values[name] = constants[name]
        continue
      if node.kind not in _OPERATIONS:
        raise WeightsError(f"node {name} is a {node.kind}; known are {', '.join(_OPERATIONS)}")
      inputs = [self.constants.get(i, values[i]) if i in _static(node) else values[i]
                for i in node.inputs]  # fmt: skip
      values[name] = _OPERATIONS[node.kind](node.settings, *inputs)
    return [values[name] for name in wanted]

  def _needed(self, wanted: Sequence[str], given: Arrays) -> list[str]:
    """Names of the nodes behind `wanted`, in an order in which they can be computed."""
    needed, waiting = set(), list(wanted)
    while waiting:
      name = waiting.pop()
      if name not in needed and name not in given:
        if name not in self.nodes:
          raise WeightsError(f"the graph has no node {name}")
        needed.add(name)
        waiting += self.nodes[name].inputs
    return [name for name in self.nodes if name in needed]


def load(path: Path) -> GraphModel:
  """Reads NAME.json and the weights beside it.

  Raises:
    WeightsError: missing, damaged, or not a graph model.
  """
  try:
    model = json.loads(path.read_text())
    manifest = model["weightsManifest"]
    nodes = model["modelTopology"]["node"]
    data = b"".join((path.parent / p).read_bytes() for group in manifest for p in group["paths"])
    constants = _constants([w for group in manifest for w in group["weights"]], data)
    return GraphModel({n["name"]: _node(n) for n in _sorted(nodes)}, constants)
  except OSError as e:
    raise WeightsError(f"{path}: cannot be read ({e})") from e
  except (ValueError, KeyError, TypeError) as e:
    raise WeightsError(f"{path}: not a graph model of TensorFlow.js, or damaged ({e!r})") from e


def _constants(weights: Sequence[dict], data: bytes) -> dict[str, np.ndarray]:
  out, at = {}, 0
  for w in weights:
    stored = np.dtype(w.get("quantization", {}).get("dtype", w["dtype"]))
    if "scale" in w.get("quantization", {}):
      raise WeightsError(f"{w['name']}: weights on a scale of integers are not known")
    size = int(np.prod(w["shape"])) * stored.itemsize
    if at + size > len(data):
      raise WeightsError(f"the file of weights ends before {w['name']}; copy it again")
    array = np.frombuffer(data[at : at + size], stored).reshape(w["shape"])
    out[w["name"]] = array.astype(w["dtype"])
    at += size
  if at != len(data):
    raise WeightsError(f"the file of weights has {len(data) - at:,} bytes too many")
  return out


def _node(node: dict) -> Node:
  settings = {name: _setting(value) for name, value in node.get("attr", {}).items()}
  inputs = tuple(i.removesuffix(":0") for i in node.get("input", ()) if not i.startswith("^"))
  return Node(node["op"], inputs, settings)


def _setting(value: dict) -> Any:
  """A setting as JSON has it: whole numbers as texts, texts in base 64."""
  ((kind, v),) = value.items()
  if kind == "list":
    return [_setting({k: item}) for k, items in v.items() for item in items]
  if kind == "s":
    return base64.b64decode(v).decode()
  return int(v) if kind == "i" else v


def _sorted(nodes: Sequence[dict]) -> list[dict]:
  """Each node behind those that it reads."""
  left, done, out = list(nodes), set(), []
  while left:
    ready = [n for n in left if all(i.split(":")[0] in done for i in n.get("input", ()))]
    if not ready:
      raise ValueError(f"nodes that are not there, or a circle, before {left[0]['name']}")
    done |= {n["name"] for n in ready}
    out += ready
    left = [n for n in left if n["name"] not in done]
  return out


def _static(node: Node) -> tuple[str, ...]:
  """Inputs that say sizes and axes: they must be known when a function is compiled."""
  places = {"Mean": (1,), "ResizeBilinear": (1,), "ConcatV2": (-1,)}.get(node.kind, ())
  return tuple(node.inputs[i] for i in places)


def _convolution(settings: dict, x, kernel, *bias):
  _check(settings, "VALID", "SAME")
  out = lax.conv_general_dilated(
      x, kernel, settings["strides"][1:3], settings["padding"],
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip
  return _fused(settings, out, bias)


def _depthwise(settings: dict, x, kernel, *bias):
  _check(settings, "SAME")
  if kernel.shape[3] != 1:
    raise WeightsError("depthwise convolutions of more than one channel each are not known")
  return _fused(settings, depthwise(x, kernel[..., 0], settings["strides"][1]), bias)


def _check(settings: dict, *paddings: str) -> None:
  rows, columns = settings["strides"][1:3]
  plain = settings.get("dilations", [1] * 4) == [1] * 4 and rows == columns
  if settings.get("data_format", "NHWC") != "NHWC" or not plain:
    raise WeightsError("convolutions must have channels last, one stride and no holes")
  if settings["padding"] not in paddings:
    raise WeightsError(f"padding {settings['padding']} is not known here")


def _fused(settings: dict, x, bias):
  for fused in settings.get("fused_ops", ()):
    x = x + bias[0] if fused == "BiasAdd" else _OPERATIONS[fused]({}, x)
  return x


def _resize(settings: dict, x, size):
  """Bilinear, the corners of both grids on each other at the top left, as TensorFlow 1 had it."""
  if settings["align_corners"] or settings["half_pixel_centers"]:
    raise WeightsError("of the ways to resize only that of TensorFlow 1 is known")
  for axis, n in zip((1, 2), np.asarray(size)):
    old = x.shape[axis]
    at = np.arange(n) * (old / n)
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
    high = np.minimum(low + 1, old - 1)
    x = jnp.take(x, low, axis) * (1 - share) + jnp.take(x, high, axis) * share
  return x


def _mean(settings: dict, x, axes):
  return x.mean(tuple(np.atleast_1d(axes)), keepdims=settings.get("keep_dims", False))


_OPERATIONS: dict[str, Callable] = {
    "Add": lambda _, a, b: a + b,
    "ConcatV2": lambda _, *x: jnp.concatenate(x[:-1], int(x[-1])),
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "FusedDepthwiseConv2dNative": _depthwise,
    "Identity": lambda _, x: x,
    "Mean": _mean,
    "Mul": lambda _, a, b: a * b,
    "Relu": lambda _, x: jax.nn.relu(x),
    "Relu6": lambda _, x: jax.nn.relu6(x),
    "ResizeBilinear": _resize,
    "Sigmoid": lambda _, x: jax.nn.sigmoid(x),
    "_FusedConv2D": _convolution,
}
