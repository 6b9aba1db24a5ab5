"""The picture encoders: their shapes, their parts by written-out numbers, their batch norms."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax.modules import encoders
from mmjax.modules.convolution import DepthwiseConv, adaptive_average_pool, standardise
from mmjax.modules.resnet import max_pool
from mmjax.sharding import RULES

SMALL = {
    "resnet50": {"layers": (1, 1, 1, 1), "width": 4},
    "efficientnet_lite0": {"width": 0.25, "depth": 0.1, "features": 16, "stem_channels": 8},
    "clip_resnet50": {"layers": (1, 1, 1, 1), "width": 4},
    "clip_vit_b32": {"layers": 1, "width": 64, "picture_size": 64},
    "vit_b16": {"layers": 1, "width": 64, "picture_size": 32},
}
NORMED = ["resnet50", "efficientnet_lite0", "clip_resnet50"]
# Of the classifying network, as torchvision, timm and the authors of EfficientNet-Lite count them.
PARAMETERS = {
    "resnet50": 25_557_032, "resnet101": 44_549_160, "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680, "efficientnet_lite2": 6_092_072, "vit_b16": 86_567_656,
    "vit_b32": 88_224_232,
}  # fmt: skip


def pictures(side, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), np.uint8)


def small(name, **options):
  """An encoder, its variables, pictures and their features."""
  encoder = encoders.build(name, **SMALL[name] | options)
  images = pictures(SMALL[name].get("picture_size", 64))
  features, variables = jax.jit(encoder.init_with_output)(jax.random.key(0), images)
  return encoder, nn.unbox(variables), images, features


def test_unknown_names_and_sizes_are_named():
  with pytest.raises(ValueError, match=r"no picture encoder 'vgg'; there are: clip_resnet50, "):
    encoders.build("vgg")
  with pytest.raises(ValueError, match=r"resnet50 has no patch; it has: batch_statistics, "):
    encoders.build("resnet50", patch=3)


@pytest.mark.parametrize("name", encoders.names())
def test_published_sizes(name):
  encoder = encoders.build(name)
  side = encoder.picture_size
  picture = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
  features, variables = jax.eval_shape(encoder.init_with_output, jax.random.key(0), picture)
  cells = -(-side // encoder.stride)
  assert features.shape == (1, cells, cells, encoder.features)
  if name in PARAMETERS:
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count + 1000 * (encoder.features + 1) == PARAMETERS[name]


@pytest.mark.parametrize("name", SMALL)
def test_features_and_axes_and_bfloat16(name):
  encoder, variables, images, features = small(name)
  cells = images.shape[1] // encoder.stride
  assert features.shape == (2, cells, cells, encoder.features)
  assert np.isfinite(features).all() and np.asarray(features).std() > 0
  boxed = jax.eval_shape(encoder.init, jax.random.key(0), images)["params"]
  boxes = jax.tree.leaves(boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned))
  for box in boxes:
    assert isinstance(box, nn.LogicallyPartitioned)
    assert len(box.names) == len(box.value.shape) and set(box.names) <= {None, *RULES}
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(variables))
  narrow = jax.eval_shape(encoder.clone(dtype=jnp.bfloat16).apply, variables, images)
  assert narrow.dtype == jnp.bfloat16 and narrow.shape == features.shape


def test_pixels_are_standardised():
  """Whole numbers and floats alike, as EfficientNet-Lite and torchvision's networks want them."""
  whole = np.array([0, 127, 255], np.uint8)[None, :, None, None].repeat(3, -1)
  for image in (whole, whole.astype(np.float32)):
    lite = encoders.build("efficientnet_lite0")
    x = standardise(jnp.asarray(image), lite.mean, lite.deviation, jnp.float32)[0, :, 0]
    np.testing.assert_allclose(x, np.array([[-127 / 128], [0], [1]]).repeat(3, 1), atol=1e-6)
    plain = encoders.build("resnet50")
    x = standardise(jnp.asarray(image), plain.mean, plain.deviation, jnp.float32)[0, :, 0]
    np.testing.assert_allclose(x[0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)
    np.testing.assert_allclose(x[2, 2], (1 - 0.406) / 0.225, rtol=1e-6)


@pytest.mark.parametrize("name", NORMED)
def test_batch_statistics_drift_only_when_asked(name):
  encoder, variables, images, still = small(name)
  train = jax.jit(
      lambda encoder, v, x: encoder.apply(v, x, train=True, mutable=["batch_stats"]),
      static_argnums=0,
  )
  frozen, kept = train(encoder, variables, images)
  np.testing.assert_allclose(frozen, still, atol=1e-4)
  jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])
  drifting = encoder.clone(batch_statistics=True)
  moved, new = train(drifting, variables, images)
  assert np.abs(moved - still).max() > 1e-2
  for old, now in zip(jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(new)):
    assert np.abs(old - now).max() > 0
  evaluated = jax.jit(drifting.apply)(variables, images)  # evaluation uses the running ones
  np.testing.assert_allclose(evaluated, still, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "pattern", "frozen"),
    [
        ("resnet50", r"stage[234]_", {"stem", "stage1_0"}),
        ("efficientnet_lite0", r"stage[67]_|head", {"stem", *(f"stage{n}_0" for n in range(1, 6))}),
    ],
)
def test_a_pattern_picks_the_last_stages(name, pattern, frozen):
  """The patterns that the classes' descriptions give."""
  encoder = encoders.build(name, **SMALL[name])
  params = jax.eval_shape(encoder.init, jax.random.key(0), pictures(64))["params"]
  assert {p for p in params if not re.match(pattern, p)} == frozen
  assert pattern in type(encoder).__doc__


def test_the_row_of_the_adaptive_pool():
  """Cell i of 14 is the mean of floor(8 i / 14) .. ceil(8 (i + 1) / 14) - 1 of 0..7."""
  row = np.arange(8, dtype=np.float32)
  x = np.stack([np.tile(row, (8, 1)), np.tile(10 * row[:, None], (1, 8))], -1)[None]
  expected = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 5.5, 6, 6.5, 7], np.float32)
  y = adaptive_average_pool(jnp.asarray(x), 14)[0]
  np.testing.assert_allclose(y[..., 0], np.tile(expected, (14, 1)), atol=1e-6)
  np.testing.assert_allclose(y[..., 1], np.tile(10 * expected[:, None], (1, 14)), atol=1e-5)
  np.testing.assert_allclose(adaptive_average_pool(jnp.asarray(x), 2)[0, 0, :, 0], [1.5, 5.5])


@pytest.mark.parametrize(("side", "stride", "size"), [(3, 1, 6), (3, 2, 6), (5, 2, 7), (5, 2, 6)])
def test_depthwise_is_the_grouped_convolution(side, stride, size):
  x = jax.random.normal(jax.random.key(0), (2, size, size + 2, 3))
  conv = DepthwiseConv(side, stride)
  variables = nn.unbox(conv.init(jax.random.key(1), x))
  grouped = jax.lax.conv_general_dilated(
      x,
      variables["params"]["kernel"],
      (stride, stride),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=3,
  )
  np.testing.assert_allclose(conv.apply(variables, x), grouped, atol=1e-5)


def test_max_pool_and_where_its_gradient_goes():
  plain = lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
  for height, width in ((6, 7), (5, 8)):
    x = jnp.round(2 * jax.random.normal(jax.random.key(0), (1, height, width, 2)))  # with ties
    np.testing.assert_array_equal(max_pool(x), plain(x))
    weight = jax.random.normal(jax.random.key(1), max_pool(x).shape)
    ours, theirs = (jax.vjp(pool, x)[1](weight)[0] for pool in (max_pool, plain))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_grid_of_a_residual_network():
  encoder, variables, images, features = small("resnet50")
  pooled = jax.jit(encoder.clone(grid=3).apply)(variables, images)
  assert pooled.shape == (2, 3, 3, encoder.features)
  np.testing.assert_allclose(pooled, adaptive_average_pool(features, 3), atol=1e-4)


def test_pictures_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match=r"64 x 64 pixels; the encoder's position table .* 32 x 32"):
    encoders.build("vit_b16", **SMALL["vit_b16"]).init(jax.random.key(0), pictures(64))
  with pytest.raises(ValueError, match=r"50 x 50 pixels; both must be multiples of 32"):
    encoders.build("clip_resnet50").init(jax.random.key(0), pictures(50))
