"""The dropout mask looks random by every test a layer could notice, and ignores sharding."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.modules.dropout import Dropout, keep_mask

SHAPE = (64, 128, 128)
N = 64 * 128 * 128
RATE = 0.3
BOUND = 5 / N**0.5  # five standard deviations of a correlation of independent draws


def masks(*keys, rate=RATE):
  return [np.asarray(keep_mask(key, SHAPE, rate)) for key in keys]


@pytest.fixture(scope="module")
def mask():
  return masks(jax.random.key(0))[0]


def correlation(a, b):
  return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.3, 0.5, 0.9])
def test_share_of_zeros(rate):
  for seed in range(3):
    (kept,) = masks(jax.random.key(seed), rate=rate)
    assert abs(kept.mean() - (1 - rate)) < 5 * (rate * (1 - rate) / N) ** 0.5


def test_neighbours_are_independent(mask):
  for axis in range(3):
    for lag in (1, 2, 3, 16, 32):
      a = np.take(mask, range(mask.shape[axis] - lag), axis)
      b = np.take(mask, range(lag, mask.shape[axis]), axis)
      assert correlation(a, b) < BOUND * (N / a.size) ** 0.5, (axis, lag)


def test_patterns_of_eight_neighbours_are_as_frequent_as_chance_has_them(mask):
  bits = mask.reshape(-1, 8)
  seen = np.bincount(bits @ (1 << np.arange(8)), minlength=256)
  ones = np.array([i.bit_count() for i in range(256)])
  expected = len(bits) * (1 - RATE) ** ones * RATE ** (8 - ones)
  chi_squared = ((seen - expected) ** 2 / expected).sum()
  assert abs(chi_squared - 255) < 5 * (2 * 255) ** 0.5


def test_rows_and_columns_hold_binomial_numbers(mask):
  """Neither more even nor more uneven than chance: their variance is n p (1 - p)."""
  for axes in ((1, 2), (0, 2), (0, 1)):
    counts = mask.sum(axes)
    n = N / len(counts)
    ratio = counts.var() / (n * RATE * (1 - RATE))
    assert abs(ratio - 1) < 5 * (2 / len(counts)) ** 0.5


def test_keys_draw_independent_masks():
  key = jax.random.key(0)
  others = [jax.random.fold_in(key, i) for i in range(3)]
  others += [jax.random.wrap_key_data(jnp.array(k, jnp.uint32)) for k in ((0, 1), (0, 2), (1, 0))]
  drawn = masks(key, *others)
  for i, a in enumerate(drawn):
    for b in drawn[:i]:
      assert correlation(a, b) < BOUND


def test_a_key_draws_the_same_again(mask):
  np.testing.assert_array_equal(masks(jax.random.key(0))[0], mask)


def test_layer_keeps_the_mean_and_scales_what_it_keeps():
  x = jnp.asarray(np.random.default_rng(0).normal(3, 1, SHAPE), jnp.float32)
  y = Dropout(RATE).apply({}, x, train=True, rngs={"dropout": jax.random.key(1)})
  kept = np.asarray(y) != 0
  np.testing.assert_allclose(np.asarray(y)[kept], x[kept] / (1 - RATE), rtol=1e-6)
  assert abs(y.mean() - x.mean()) < 5 * 3 * (RATE / (1 - RATE) / N) ** 0.5 * 1.1


def test_layers_of_a_network_drop_different_places():
  """Two uses of one layer in one step, and one use in two steps."""
  x = jnp.ones(SHAPE)
  twice = lambda layer, x: (layer(x, train=True), layer(x, train=True))
  first, second = Dropout(0.5).apply({}, x, method=twice, rngs={"dropout": jax.random.key(2)})
  assert correlation(np.asarray(first), np.asarray(second)) < BOUND


@pytest.mark.parametrize("rate,train", [(0.5, False), (0.0, True)])
def test_identity_in_evaluation_and_at_rate_zero(rate, train):
  x = jnp.arange(6.0)
  np.testing.assert_array_equal(Dropout(rate).apply({}, x, train=train), x)


def test_keeps_the_type():
  x = jnp.ones((4, 4), jnp.bfloat16)
  y = Dropout(0.5).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
  assert y.dtype == jnp.bfloat16


SHARDED = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from mmjax.modules.dropout import Dropout

assert jax.device_count() == 8
drop = lambda x, key: Dropout(0.4).apply({}, x, train=True, rngs={"dropout": key})
x, key = np.ones((16, 6, 8), np.float32), jax.random.key(3)
alone = np.asarray(jax.jit(drop)(x, key))
mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
for spec in (P("data"), P("data", None, "model"), P(None, "model", "data")):
  where = NamedSharding(mesh, spec)
  spread = jax.jit(drop, in_shardings=(where, None), out_shardings=where)(x, key)
  assert len(spread.addressable_shards) == 8 and spread.addressable_shards[0].data.size < x.size
  np.testing.assert_array_equal(np.asarray(spread), alone)
assert 0.3 < (alone == 0).mean() < 0.5
print("equal")
"""


def test_the_mask_does_not_depend_on_the_devices():
  flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
  run = subprocess.run(
      [sys.executable, "-c", SHARDED],
      env=os.environ | {"XLA_FLAGS": flags},
      capture_output=True,
      text=True,
      timeout=120,
      check=False,
  )
  assert run.stdout.strip() == "equal", run.stderr[-2000:]
