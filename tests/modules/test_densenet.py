"""The encoder: pools against loops, and a picture's features on any canvas."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax.modules.densenet import DenseNet, average_pool, max_pool, output_grid

H, W = 37, 51  # odd at most strides: 37x51, 19x26, 10x13, 5x7, 3x4
CANVAS = (64, 96)


@pytest.fixture(scope="module")
def pooled():
  """All pools of maps with sides 1..9, compiled as one program."""
  rng = np.random.default_rng(0)
  sizes = [*itertools.product(range(1, 10, 2), repeat=2), (2, 3), (3, 2), (4, 9), (7, 6), (8, 8)]
  maps = [rng.normal(size=(2, h, w, 2)).astype(np.float32) for h, w in sizes]
  valid = [rng.random((2, h, w)) < 0.6 for h, w in sizes]

  @jax.jit
  def pool(maps, valid):
    masked = [average_pool(x, v) for x, v in zip(maps, valid)]
    return [max_pool(x) for x in maps], [average_pool(x, None) for x in maps], masked

  return maps, valid, pool(maps, valid)


def windows(x, b, i, j, c):
  return x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]


def loop(x, value):
  """value(b, i, j, c) at every place of the ceil-mode output of `x`."""
  b, h, w, c = x.shape
  out = np.empty((b, -(-h // 2), -(-w // 2), c), np.float32)
  for place in np.ndindex(out.shape):
    out[place] = value(*place)
  return out


def test_max_pool_is_the_maximum_of_the_cells_in_bounds(pooled):
  maps, _, (highest, _, _) = pooled
  for x, ours in zip(maps, highest):
    np.testing.assert_array_equal(ours, loop(x, lambda *p, x=x: windows(x, *p).max()))


def test_max_pool_gradient_goes_to_the_first_of_the_largest_cells():
  """Also where XLA computes the pooled map once more, rounded otherwise, in the backward pass."""
  rng = np.random.default_rng(5)
  x = np.round(rng.normal(size=(2, 4, 5, 3)), 1).astype(np.float32)  # rounded: some cells are equal
  g = rng.normal(size=(2, 2, 3, 3)).astype(np.float32)
  x[:, :2, :2] = 0.3
  ours = jax.jit(jax.grad(lambda x: (max_pool(nn.relu(x * 1.3 + 2.1)) * g).sum()))(x)
  expected = np.zeros_like(x)
  for b, i, j, c in np.ndindex(g.shape):
    first = np.unravel_index(windows(x, b, i, j, c).argmax(), windows(x, b, i, j, c).shape)
    lit = x[b, 2 * i + first[0], 2 * j + first[1], c] * 1.3 + 2.1 > 0
    expected[b, 2 * i + first[0], 2 * j + first[1], c] = 1.3 * g[b, i, j, c] * lit
  np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_average_pool_divides_by_the_cells_in_bounds(pooled):
  maps, _, (_, mean, _) = pooled
  for x, ours in zip(maps, mean):
    expected = loop(x, lambda *p, x=x: windows(x, *p).mean())
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_average_pool_divides_by_the_valid_cells(pooled):
  maps, valid, (_, _, masked) = pooled

  def mean_of_valid(x, v, b, i, j, c):
    cells = windows(x, b, i, j, c)[windows(v[..., None], b, i, j, 0)]
    return cells.mean() if cells.size else 0

  for x, v, ours in zip(maps, valid, masked):
    expected = loop(x, functools.partial(mean_of_valid, x, v))
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def on_canvas(pictures, height, width, filler=0):
  """Pictures at the top left of a canvas, `filler` rows behind them; images and valid."""
  n, h, w, c = pictures.shape
  images = np.zeros((n + filler, height, width, c), np.float32)
  images[:n, :h, :w] = pictures
  valid = np.zeros((n + filler, height, width), bool)
  valid[:n, :h, :w] = True
  return jnp.asarray(images), jnp.asarray(valid)


def small(**options):
  return DenseNet(growth=4, layers=(1, 1, 1), dropout=0.0, **options)


@pytest.fixture(scope="module")
def pictures():
  return np.random.default_rng(2).random((2, H, W, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def variables(pictures):
  """All random: fresh biases and running statistics would hide what padding does."""
  init = functools.partial(small().init, train=False)
  shapes = nn.unbox(jax.eval_shape(init, jax.random.key(0), *on_canvas(pictures, H, W)))
  rng = np.random.default_rng(1)

  def draw(path, x):
    name = path[-1].key
    if name == "kernel":
      value = rng.normal(size=x.shape) / np.prod(x.shape[:-1]) ** 0.5
    else:
      value = rng.uniform(0.5, 1.5, x.shape) - (name in ("bias", "mean"))
    return jnp.asarray(value, jnp.float32)

  return jax.tree.map_with_path(draw, shapes)


def evaluate(variables, images, valid, mask_features):
  net = small(mask_features=mask_features)
  features, cells = jax.jit(functools.partial(net.apply, train=False))(variables, images, valid)
  return np.asarray(features), np.asarray(cells)


@pytest.fixture(scope="module")
def tight(variables, pictures):
  return evaluate(variables, *on_canvas(pictures, H, W), mask_features=True)


def test_grid_and_valid_cells(tight):
  features, cells = tight
  assert features.shape[:3] == (2, 3, 4) == (2, *output_grid(H, W))
  assert cells.all()


@pytest.mark.parametrize("height,width", [(48, 64), (80, 64)])
def test_a_picture_has_the_same_features_on_any_canvas(variables, pictures, tight, height, width):
  images, valid = on_canvas(pictures, height, width)
  features, cells = evaluate(variables, images, valid, mask_features=True)
  np.testing.assert_array_equal(cells[:, :3, :4], True)
  assert cells.sum() == 2 * 12
  np.testing.assert_allclose(features[:, :3, :4], tight[0], atol=1e-5)


def test_published_arithmetic_depends_on_the_canvas(variables, pictures, tight):
  features, _ = evaluate(variables, *on_canvas(pictures, H, W), mask_features=False)
  np.testing.assert_allclose(features, tight[0], atol=1e-5)  # nothing to mask on a tight canvas
  images, valid = on_canvas(pictures, 48, 64)
  features, _ = evaluate(variables, images, valid, mask_features=False)
  assert np.abs(features[:, :3, :4] - tight[0]).max() > 1e-2


def test_training_does_not_see_padding_or_filler(variables, pictures):
  net = small(mask_features=True)
  weights = np.random.default_rng(4).normal(size=(1, 3, 4, 9)).astype(np.float32)

  @jax.jit
  def learn(variables, images, valid):
    def loss(params):
      variables_now = {**variables, "params": params}
      (features, _), new = net.apply(
          variables_now, images, valid, train=True, mutable=["batch_stats"]
      )
      features = features[:2, :3, :4]
      return (features * weights).sum(), (features, new["batch_stats"])

    gradients, (features, stats) = jax.grad(loss, has_aux=True)(variables["params"])
    return features, stats, gradients

  plain = learn(variables, *on_canvas(pictures, H, W))
  padded = learn(variables, *on_canvas(pictures, *CANVAS, filler=1))
  for name, a, b in zip(("features", "statistics", "gradients"), plain, padded):
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b)):
      where = name + jax.tree_util.keystr(path)
      np.testing.assert_allclose(y, x, atol=1e-5 * max(1, np.abs(x).max()), err_msg=where)
  moved = jax.tree.map(lambda x, y: np.abs(x - y).max(), plain[1], variables["batch_stats"])
  assert min(jax.tree.leaves(moved)) > 1e-3  # the statistics did change


@pytest.mark.parametrize("size", [(1, 1), (15, 17), (16, 16), (33, 129), (37, 51), (64, 256)])
def test_grid_is_a_sixteenth_rounded_up(variables, size):
  images = jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)
  valid = jax.ShapeDtypeStruct((1, *size), jnp.bool)
  apply = functools.partial(small().apply, train=False)
  features, cells = jax.eval_shape(apply, variables, images, valid)
  assert features.shape[1:3] == cells.shape[1:3] == output_grid(*size)
  assert output_grid(*size) == tuple(int(np.ceil(n / 16)) for n in size)


@pytest.mark.parametrize("norms,parameters", [(True, 2_980_752), (False, 2_979_288)])
def test_parameters_at_the_published_size(norms, parameters):
  """BTTR: 3,156,624 less projection 684x256 + 256 and layer norm 512; SAN and CAN: 2,979,288."""
  net = DenseNet(stem_norm=norms, final_norm=norms)
  init = functools.partial(net.init, train=False)
  images, valid = on_canvas(np.zeros((1, 32, 32, 1)), 32, 32)
  shapes = jax.eval_shape(init, jax.random.key(0), images, valid)
  assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == parameters
  assert net.channels == 684
  if norms:
    assert parameters + 684 * 256 + 256 + 512 == 3_156_624
    assert shapes["params"]["post_norm"]["scale"].unbox().shape == (684,)
