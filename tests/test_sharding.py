"""The mesh, and the rules that put arrays on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from mmjax import sharding


def mesh_of(data: int, fsdp: int, model: int) -> AbstractMesh:
  """A mesh of devices that this machine need not have."""
  return AbstractMesh((data, fsdp, model), sharding.AXES)


def boxed(names, shape):
  return nn.LogicallyPartitioned(jax.ShapeDtypeStruct(shape, jnp.float32), names)


@pytest.mark.parametrize(
    ("names", "shape", "spec"),
    [
        (("embed", "mlp"), (16, 32), P("fsdp", "model")),
        (("vocab", "embed"), (112, 16), P("model", "fsdp")),
        (("vocab", "embed"), (113, 16), P(None, "fsdp")),  # 2 does not divide 113
        ((None, None, None, "embed"), (3, 3, 8, 6), P(None, None, None, None)),
        (("norm",), (16,), P(None)),
        (("heads", "kv"), (4, 8), P("model", None)),
    ],
)
def test_names_lead_to_mesh_axes_where_these_divide(names, shape, spec):
  specs = sharding.parameter_specs({"a": boxed(names, shape)}, mesh_of(2, 4, 2))
  assert specs["a"].spec == spec


def test_parameters_without_names_are_on_every_device():
  tree = {"a": jax.ShapeDtypeStruct((16,), jnp.float32)}
  assert sharding.parameter_specs(tree, mesh_of(2, 4, 2))["a"].spec == P()


def test_what_is_shaped_like_the_parameters_follows_them():
  mesh = mesh_of(1, 2, 1)
  params = {"a": boxed(("embed",), (4,)), "b": boxed((None,), (4,))}
  specs = sharding.parameter_specs(params, mesh)
  state = {"mean": nn.unbox(params), "count": jax.ShapeDtypeStruct((), jnp.int32), "none": None}
  found = sharding.like_parameters(state, specs, mesh)
  assert found["mean"] == specs and found["mean"]["a"].spec == P("fsdp")
  assert found["count"].spec == P() and found["none"] is None


def test_a_mesh_takes_all_devices():
  mesh = sharding.make_mesh()
  assert dict(mesh.shape) == {"data": jax.device_count(), "fsdp": 1, "model": 1}
  assert sharding.batch_shards(mesh) == jax.device_count()
  assert sharding.batch_shards(mesh_of(4, 2, 3)) == 8


@pytest.mark.parametrize("axes", [dict(data=3, fsdp=5), dict(data=-1, fsdp=7), dict(model=64)])
def test_a_mesh_that_does_not_fit_the_devices_says_so(axes):
  with pytest.raises(ValueError, match=r"is not the \d+ devices there are; set config.mesh"):
    sharding.make_mesh(**axes)


def test_batches_are_placed_whole():
  batch = {"image": np.arange(24, dtype=np.uint8).reshape(8, 3), "real": np.ones(8, bool)}
  placed = sharding.place_batch(batch, sharding.make_mesh())
  for name in batch:
    np.testing.assert_array_equal(placed[name], batch[name])
    assert placed[name].dtype == batch[name].dtype
    assert placed[name].sharding.spec == P(sharding.BATCH_AXES)
