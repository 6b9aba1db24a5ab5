"""Names of weights in published folders <-> paths of ours, as one table read both ways."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from mmjax.convert.state_dict import WeightsError


class Form(NamedTuple):
  """How one array becomes the other; both ways undo each other."""

  ours: Callable[[np.ndarray], np.ndarray]
  theirs: Callable[[np.ndarray], np.ndarray]


SAME = Form(lambda a: a, lambda a: a)
TRANSPOSED = Form(lambda a: a.T, lambda a: a.T)  # a linear layer [O, I] is our [I, O]
CONVOLUTION = Form(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
ROW = Form(lambda a: a.reshape(a.shape[-1]), lambda a: a[None, None])  # [1, 1, D], our [D]
TABLE = Form(lambda a: a.reshape(a.shape[-2:]), lambda a: a[None])  # [1, S, D], our [S, D]


class Part(NamedTuple):
  """An array that others of the same length stand beside, all under one name."""

  which: int
  among: int
  axis: int


class Rule(NamedTuple):
  """One of our arrays and where a folder keeps it."""

  name: str
  path: str  # below "params"
  form: Form = SAME
  part: Part | None = None


class Table(NamedTuple):
  """All that a folder of one model may hold.

  Attributes:
    rules: what fills our variables.
    copies: a name -> the name of the same array, which need not be there twice. Matrices are
      compared where they are; of vectors the latter counts.
    ignored: patterns of names, matched whole: what is computed or never used.
    renamed: (pattern, replacement) from other versions' names to those of the rules.
  """

  rules: list[Rule]
  copies: dict[str, str]
  ignored: tuple[str, ...] = ()
  renamed: tuple[tuple[str, str], ...] = ()


def read(table: Table, state: dict[str, np.ndarray]) -> dict:
  """Our variables, {"params": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, of a wrong shape, or differs from its copy.
  """
  left = {}
  for name, array in state.items():
    for pattern, replacement in table.renamed:
      name = re.sub(pattern, replacement, name)
    if not any(re.fullmatch(pattern, name) for pattern in table.ignored):
      left[name] = array
  for copy, name in table.copies.items():
    if copy in left:
      if name not in left:
        left[name] = left[copy]
      elif left[copy].ndim > 1 and not np.array_equal(left[copy], left[name]):
        raise WeightsError(
            f"{copy} differs from {name}, but the configuration says that they are one;"
            " set tie_word_embeddings to false if they are not"
        )
      del left[copy]
  params: dict = {}
  for rule in table.rules:
    if rule.name not in left:
      some = ", ".join(sorted(left)[:3])
      raise WeightsError(f"weight {rule.name} is missing; there are {some}, ...")
    array = np.asarray(left[rule.name], np.float32)
    try:
      if rule.part:
        which, among, axis = rule.part
        array = np.split(array, among, axis)[which]
      array = np.ascontiguousarray(rule.form.ours(array))
    except (ValueError, IndexError, np.exceptions.AxisError) as e:
      shape = left[rule.name].shape
      raise WeightsError(f"weight {rule.name} has the shape {shape}, which does not fit") from e
    *parents, leaf = rule.path.split("/")
    node = params
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = array
  unused = sorted(left.keys() - {rule.name for rule in table.rules})
  if unused:
    raise WeightsError(f"{len(unused)} weights have no place: {unused[:5]}")
  return {"params": params}


def write(table: Table, variables: dict) -> dict[str, np.ndarray]:
  """The state dict that `read` makes `variables` of; copies are left out.

  Raises:
    WeightsError: our variables have other paths than the table.
  """
  ours = {
      "/".join(key.key for key in path): np.asarray(leaf, np.float32)
      for path, leaf in jax.tree.leaves_with_path(variables["params"])
  }
  differ = sorted(ours.keys() ^ {rule.path for rule in table.rules})
  if differ:
    raise WeightsError(f"variables and configuration differ at {differ[:5]}")
  parts = defaultdict(list)
  for rule in table.rules:
    parts[rule.name].append((rule.part, rule.form.theirs(ours[rule.path])))
  return {name: _whole(found) for name, found in parts.items()}


def _whole(found: list[tuple[Part | None, np.ndarray]]) -> np.ndarray:
  parts = sorted((part, array) for part, array in found if part is not None)
  if not parts:
    return np.ascontiguousarray(found[0][1])
  return np.concatenate([array for _, array in parts], parts[0][0].axis)


def linear(name: str, path: str, *, stored: Form = TRANSPOSED, bias: bool = True) -> list[Rule]:
  """A linear layer; `stored` is `SAME` where the folder has [I, O]."""
  rules = [Rule(f"{name}.weight", f"{path}/kernel", stored)]
  return rules + [Rule(f"{name}.bias", f"{path}/bias")] * bias


def layer_norm(name: str, path: str) -> list[Rule]:
  return [Rule(f"{name}.weight", f"{path}/scale"), Rule(f"{name}.bias", f"{path}/bias")]


def convolution(name: str, path: str, *, bias: bool = True) -> list[Rule]:
  return linear(name, path, stored=CONVOLUTION, bias=bias)


def embedding(name: str, path: str) -> list[Rule]:
  return [Rule(f"{name}.weight", f"{path}/embedding")]


def projections(
    names: Iterable[tuple[str, str, int, int]],
    path: str,
    heads: int,
    *,
    stored: Form = TRANSPOSED,
    biased: Iterable[str] = ("query", "key", "value"),
) -> list[Rule]:
  """Query, key and value of `mmjax.modules.transformer.Attention`.

  Args:
    names: (ours, the folder's name, which part of its array, of how many parts).
    path: of the attention.
    heads: attention heads.
    stored: `SAME` where the folder has [I, O].
    biased: which have a bias.
  """
  split = lambda a: a.reshape(a.shape[0], heads, -1)  # [I, O] -> [I, N, K]
  join = lambda a: a.reshape(a.shape[0], -1)
  kernel = Form(lambda a: split(stored.ours(a)), lambda a: stored.theirs(join(a)))
  bias = Form(lambda a: a.reshape(heads, -1), lambda a: a.reshape(-1))
  rules = []
  for ours, name, index, count in names:
    axis = 0 if stored is TRANSPOSED else 1
    whole = count == 1
    part = lambda axis, i=index, n=count, whole=whole: None if whole else Part(i, n, axis)
    rules.append(Rule(f"{name}.weight", f"{path}/{ours}/kernel", kernel, part(axis)))
    if ours in biased:
      rules.append(Rule(f"{name}.bias", f"{path}/{ours}/bias", bias, part(0)))
  return rules


def attention_out(
    name: str, path: str, heads: int, *, stored: Form = TRANSPOSED, bias: bool = True
) -> list[Rule]:
  """The last layer of `mmjax.modules.transformer.Attention`."""
  split = lambda a: a.reshape(heads, -1, a.shape[-1])  # [I, O] -> [N, K, O]
  join = lambda a: a.reshape(-1, a.shape[-1])
  kernel = Form(lambda a: split(stored.ours(a)), lambda a: stored.theirs(join(a)))
  rules = [Rule(f"{name}.weight", f"{path}/out/kernel", kernel)]
  return rules + [Rule(f"{name}.bias", f"{path}/out/bias")] * bias


def attention(
    names: tuple[str, str, str, str],
    path: str,
    heads: int,
    *,
    biased: Iterable[str] = ("query", "key", "value"),
    out_bias: bool = True,
) -> list[Rule]:
  """All of it, where query, key, value and the last layer are linear layers called `names`."""
  *three, out = names
  parts = [(ours, name, 0, 1) for ours, name in zip(("query", "key", "value"), three)]
  last = attention_out(out, path, heads, bias=out_bias)
  return projections(parts, path, heads, biased=biased) + last


def t5_attention(name: str, path: str, heads: int) -> list[Rule]:
  """That of `mmjax.modules.t5.T5Layer`."""
  q, k, v, out = (f"{name}.{part}" for part in ("query", "key", "value", "output"))
  return attention((q, k, v, out), path, heads, biased=(), out_bias=False)


def t5_feed_forward(name: str, path: str) -> list[Rule]:
  """The feed-forward part of the layer at `path`."""
  parts = (("wi_0", "gate"), ("wi_1", "linear1"), ("wo", "linear2"))
  return [Rule(f"{name}.{a}.weight", f"{path}/{b}/kernel", TRANSPOSED) for a, b in parts]
