"""Initial weights as the published PyTorch networks draw them."""

import jax
from flax import linen as nn
from jax.nn import initializers

# PyTorch's default for convolutions and linear layers: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
fan_in_uniform = initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def partitioned(init: initializers.Initializer, *axes: str | None):
  """`init` with the logical axis names of `mmjax.sharding` attached."""
  return nn.with_logical_partitioning(init, axes)


def bias_uniform(fan_in: int) -> initializers.Initializer:
  """PyTorch's default bias of a linear layer: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
  bound = fan_in**-0.5

  def init(key, shape, dtype=float, out_sharding=None):
    return jax.random.uniform(key, shape, dtype, -bound, bound, out_sharding=out_sharding)

  return init
