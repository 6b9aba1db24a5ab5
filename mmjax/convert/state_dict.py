"""PyTorch state dicts -> linen variables: the layers that several converters meet.

Every function takes the reference's name of a layer and our path of it, e.g.
`linear(w, "decoder.proj", "word_proj")`.
"""

import re

import numpy as np


class WeightsError(ValueError):
  """A file of weights that cannot be read, or does not fit the model."""


class Weights:
  """A state dict on its way into variables; counts which names were used."""

  def __init__(self, arrays: dict[str, np.ndarray], anchor: str):
    """Strips the wrapper's name (`bttr.`, `module.`) that stands before `anchor`.

    Raises:
      WeightsError: no name ends with `anchor`: these are another network's weights.
    """
    found = [name for name in arrays if name == anchor or name.endswith("." + anchor)]
    if not found:
      some = ", ".join(sorted(arrays)[:3])
      raise WeightsError(f"no weight is named {anchor}; there are {some}, ...")
    wrapper = found[0][: -len(anchor)]
    self._left = {k[len(wrapper) :]: v for k, v in arrays.items() if k.startswith(wrapper)}
    self._left |= {k: v for k, v in arrays.items() if not k.startswith(wrapper)}
    self._variables: dict = {}

  def matches(self, pattern: str) -> list[tuple[str, ...]]:
    """The distinct groups of `pattern` at the start of the names that are left."""
    return sorted({m.groups() for m in map(re.compile(pattern).match, self._left) if m})

  def ignore(self, pattern: str) -> None:
    """Drops names that match `pattern` whole: buffers that we compute."""
    self._left = {k: v for k, v in self._left.items() if not re.fullmatch(pattern, k)}

  def take(self, name: str, *shape: int | None) -> np.ndarray:
    """The array of `name`, which counts as used; None in `shape` is a side of any length.

    Raises:
      WeightsError: it is not there, or has another shape.
    """
    if name not in self._left:
      raise WeightsError(f"weight {name} is missing")
    array = np.asarray(self._left.pop(name), np.float32)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape)):
      wanted = ", ".join("any" if n is None else str(n) for n in shape)
      raise WeightsError(f"weight {name} has the shape {array.shape}, not ({wanted})")
    return array

  def put(self, path: str, array: np.ndarray) -> None:
    """Stores `array` at `path`, collection first: `params/word_proj/kernel`."""
    *parents, leaf = path.split("/")
    node = self._variables
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = array

  def finish(self) -> dict:
    """The variables.

    Raises:
      WeightsError: names are left over.
    """
    if self._left:
      raise WeightsError(f"{len(self._left)} weights have no place: {sorted(self._left)[:5]}")
    return self._variables


def convolution(w: Weights, name: str, path: str, *, bias: bool = False) -> None:
  """[O, I, kh, kw] -> [kh, kw, I, O]."""
  w.put(f"params/{path}/kernel", w.take(f"{name}.weight", *[None] * 4).transpose(2, 3, 1, 0))
  if bias:
    w.put(f"params/{path}/bias", w.take(f"{name}.bias", None))


def pointwise(w: Weights, name: str, path: str, *, bias: bool = False) -> None:
  """A 1x1 convolution [O, I, 1, 1] -> the [I, O] of a dense layer."""
  w.put(f"params/{path}/kernel", w.take(f"{name}.weight", None, None, 1, 1)[:, :, 0, 0].T)
  if bias:
    w.put(f"params/{path}/bias", w.take(f"{name}.bias", None))


def linear(w: Weights, name: str, path: str) -> None:
  """[O, I] -> [I, O], and a bias."""
  w.put(f"params/{path}/kernel", w.take(f"{name}.weight", None, None).T)
  w.put(f"params/{path}/bias", w.take(f"{name}.bias", None))


def layer_norm(w: Weights, name: str, path: str) -> None:
  w.put(f"params/{path}/scale", w.take(f"{name}.weight", None))
  w.put(f"params/{path}/bias", w.take(f"{name}.bias", None))


def batch_norm(w: Weights, name: str, path: str) -> None:
  layer_norm(w, name, path)
  w.put(f"batch_stats/{path}/mean", w.take(f"{name}.running_mean", None))
  w.put(f"batch_stats/{path}/var", w.take(f"{name}.running_var", None))


def densenet(w: Weights, name: str, path: str, *, norms: bool) -> None:
  """The encoder of `mmjax.modules.densenet`; `norms` as there."""
  convolution(w, f"{name}.conv1", f"{path}/conv1")
  for norm in ("norm1", "post_norm") if norms else ():
    batch_norm(w, f"{name}.{norm}", f"{path}/{norm}")
  for block, i in w.matches(rf"{re.escape(name)}\.dense(\d+)\.(\d+)\."):
    old, new = f"{name}.dense{block}.{i}", f"{path}/dense{block}_{i}"
    pointwise(w, f"{old}.conv1", f"{new}/conv1")
    batch_norm(w, f"{old}.bn1", f"{new}/bn1")
    convolution(w, f"{old}.conv2", f"{new}/conv2")
    batch_norm(w, f"{old}.bn2", f"{new}/bn2")
  for (i,) in w.matches(rf"{re.escape(name)}\.trans(\d+)\."):
    pointwise(w, f"{name}.trans{i}.conv1", f"{path}/trans{i}/conv1")
    batch_norm(w, f"{name}.trans{i}.bn1", f"{path}/trans{i}/bn1")


def decoder_layers(w: Weights, name: str, path: str, heads: int) -> None:
  """The layers `name.0`, `name.1`, ... of a Transformer decoder -> `path_0`, `path_1`, ..."""
  for (i,) in w.matches(rf"{re.escape(name)}\.(\d+)\."):
    old, new = f"{name}.{i}", f"{path}_{i}"
    attention(w, f"{old}.self_attn", f"{new}/self_attention", heads)
    attention(w, f"{old}.multihead_attn", f"{new}/cross_attention", heads)
    for part in ("linear1", "linear2"):
      linear(w, f"{old}.{part}", f"{new}/{part}")
    for part in ("norm1", "norm2", "norm3"):
      layer_norm(w, f"{old}.{part}", f"{new}/{part}")


def gru(w: Weights, name: str, path: str) -> None:
  """Gates r, z, n stacked as [3 H, D] -> `mmjax.modules.recurrent.GRU`."""
  for part, ours in (("ih", "input"), ("hh", "state")):
    w.put(f"params/{path}/{ours}/kernel", w.take(f"{name}.weight_{part}", None, None).T)
    w.put(f"params/{path}/{ours}/bias", w.take(f"{name}.bias_{part}", None))


def coverage_attention(w: Weights, name: str, path: str, *, cells: str) -> None:
  """`mmjax.modules.coverage.CoverageAttention`; `cells` names the projection of the features."""
  pointwise(w, cells, f"{path}/cells", bias=True)
  linear(w, f"{name}.hidden_weight", f"{path}/state")
  linear(w, f"{name}.alpha_convert", f"{path}/score")
  kernel = w.take(f"{name}.attention_conv.weight", None, 1, None, None)
  w.put(f"params/{path}/past_kernel", kernel.transpose(2, 3, 1, 0))
  proj = w.take(f"{name}.attention_weight.weight", None, kernel.shape[0])
  w.put(f"params/{path}/past_proj_kernel", proj.T)


def embedding(w: Weights, name: str, path: str) -> None:
  w.put(f"params/{path}/embedding", w.take(f"{name}.weight", None, None))


def attention(w: Weights, name: str, path: str, heads: int) -> None:
  """Stacked [3 D, D] projections -> query, key, value [D, heads, D / heads] and out.

  Raises:
    WeightsError: `heads` does not divide D.
  """
  weight = w.take(f"{name}.in_proj_weight", None, None)
  width = weight.shape[1]
  if weight.shape[0] != 3 * width or width % heads:
    raise WeightsError(
        f"weight {name}.in_proj_weight has the shape {weight.shape}, not (3 D, D) with a D that"
        f" {heads} heads divide"
    )
  bias = w.take(f"{name}.in_proj_bias", 3 * width)
  for i, part in enumerate(("query", "key", "value")):
    rows = slice(i * width, (i + 1) * width)
    w.put(f"params/{path}/{part}/kernel", weight[rows].T.reshape(width, heads, -1))
    w.put(f"params/{path}/{part}/bias", bias[rows].reshape(heads, -1))
  out = w.take(f"{name}.out_proj.weight", width, width).T.reshape(heads, -1, width)
  w.put(f"params/{path}/out/kernel", out)
  w.put(f"params/{path}/out/bias", w.take(f"{name}.out_proj.bias", width))
