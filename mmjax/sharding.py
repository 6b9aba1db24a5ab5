"""The mesh, and where each array lives on it."""

from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp", "model")
BATCH_AXES = ("data", "fsdp")
# Logical axis names of parameters -> mesh axis. A dimension that its mesh axis does not divide
# stays whole.
RULES = {
    "embed": "fsdp", "mlp": "model", "heads": "model", "vocab": "model", "kv": None, "norm": None,
}  # fmt: skip


def make_mesh(data: int = -1, fsdp: int = 1, model: int = 1) -> Mesh:
  """A mesh over all devices; `data=-1` takes what the other axes leave.

  Raises:
    ValueError: the axes do not multiply to the number of devices.
  """
  devices = jax.device_count()
  if data == -1:
    data = devices // (fsdp * model)
  if data * fsdp * model != devices or data < 1:
    raise ValueError(
        f"mesh data={data} x fsdp={fsdp} x model={model} is not the {devices} devices there are;"
        " set config.mesh so that they multiply to it (data=-1 takes the rest)"
    )
  return jax.make_mesh((data, fsdp, model), AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Rows of a batch spread over the data and fsdp axes."""
  return NamedSharding(mesh, P(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, P())


def batch_shards(mesh: Mesh) -> int:
  """Into how many parts a batch is cut; divides every batch size."""
  return mesh.shape["data"] * mesh.shape["fsdp"]


def parameter_specs(boxed, mesh: Mesh):
  """Shardings of a tree of arrays or shapes whose parameters carry logical axis names."""

  def sharding(leaf):
    if not isinstance(leaf, nn.LogicallyPartitioned):
      return replicated(mesh)
    axes = [RULES.get(name) if name else None for name in leaf.names]
    fits = [a if a and n % mesh.shape[a] == 0 else None for a, n in zip(axes, leaf.value.shape)]
    return NamedSharding(mesh, P(*fits))

  return jax.tree.map(sharding, boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned))


def like_parameters(tree, shardings, mesh: Mesh):
  """Shardings for `tree`: subtrees shaped like the parameters get theirs, all else replicated."""
  structure: Any = jax.tree.structure(shardings)
  masked = lambda node: isinstance(node, optax.MaskedNode)  # in place of what is frozen
  same = lambda node: bool(jax.tree.structure(node, is_leaf=masked) == structure)

  def assign(node):
    if same(node):
      put = lambda leaf, sharding: leaf if masked(leaf) else sharding
      return jax.tree.map(put, node, shardings, is_leaf=masked)
    return jax.tree.map(lambda _: replicated(mesh), node)

  return jax.tree.map(assign, tree, is_leaf=same)


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
  """Global arrays from this process's rows of a batch."""
  where = batch_sharding(mesh)
  return {k: jax.make_array_from_process_local_data(where, v) for k, v in batch.items()}
