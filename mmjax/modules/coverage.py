"""Additive attention to the cells of a picture that sees where it has looked before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned
from mmjax.modules.transformer import NEGATIVE


def linear(
    features: int, fan_in: int, dtype: DTypeLike, *, bias: bool = True, name: str | None = None
) -> nn.Dense:
  """A dense layer that starts as PyTorch's does."""
  return nn.Dense(
      features,
      use_bias=bias,
      dtype=dtype,
      kernel_init=partitioned(fan_in_uniform, None, "embed"),
      bias_init=partitioned(bias_uniform(fan_in), "embed"),
      name=name,
  )


def masked_softmax(
    scores: Float[Array, "B R h w"], valid: Bool[Array, "B h w"]
) -> Float[Array, "B R h w"]:
  """Softmax over the valid cells, in float32."""
  scores = jnp.where(valid[:, None], scores.astype(jnp.float32), NEGATIVE)
  return jax.nn.softmax(scores, axis=(-2, -1))


def masked_mean(
    features: Float[Array, "B h w C"], valid: Bool[Array, "B h w"]
) -> Float[Array, "B C"]:
  """Mean over the valid cells; a picture without any gives zero."""
  real = valid[..., None].astype(jnp.float32)
  total = jnp.where(valid[..., None], features, 0).sum((1, 2), dtype=jnp.float32)
  return (total / jnp.maximum(real.sum((1, 2)), 1)).astype(features.dtype)


def context(
    weights: Float[Array, "B R h w"], features: Float[Array, "B h w C"]
) -> Float[Array, "B R C"]:
  """Sum of the features by their weights."""
  return jnp.einsum("brhw,bhwc->brc", weights.astype(features.dtype), features)


class Projected(NamedTuple):
  """What does not change from word to word."""

  features: Float[Array, "B h w A"]
  filters: Float[Array, "k k 1 A"]
  valid: Bool[Array, "B h w"]


class CoverageAttention(nn.Module):
  """softmax(v tanh(W h + F + U (Q * past)) + c) over valid cells.

  F is a projection of the features, Q * past a convolution of the sum of all past attention.

  Reference: Zhang et al., 2017 (WAP), as in CAN and SAN.

  Attributes:
    hidden: channels of the state h.
    channels: of the features.
    width: channels in which all are added up.
    maps, kernel: channels and side of Q.
    hidden_bias: whether W h has a bias beside that of F.
    dtype: of the computation; the softmax is float32.
  """

  hidden: int
  channels: int
  width: int
  maps: int = 512
  kernel: int = 11
  hidden_bias: bool = True
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.state = linear(self.width, self.hidden, self.dtype, bias=self.hidden_bias)
    self.cells = linear(self.width, self.channels, self.dtype)
    self.score = linear(1, self.width, self.dtype)
    shape = (self.kernel, self.kernel, 1, self.maps)
    init = lambda *axes: partitioned(fan_in_uniform, *axes)
    self.past_kernel = self.param("past_kernel", init(None, None, None, None), shape)
    shape = (self.maps, self.width)
    self.past_proj_kernel = self.param("past_proj_kernel", init(None, "embed"), shape)

  def project(
      self, features: Float[Array, "B h w C"], valid: Bool[Array, "B h w"]
  ) -> Projected:
    """F, and Q and U as the one convolution that they are together."""
    filters = jnp.einsum("hwic,ca->hwia", self.past_kernel, self.past_proj_kernel)
    return Projected(self.cells(features), filters.astype(self.dtype), valid)

  def __call__(
      self,
      h: Float[Array, "B R H"],
      past: Float[Array, "B R h w"],
      picture: Projected,
  ) -> Float[Array, "B R h w"]:
    """Where to look, from the states of R rows and the sums of their attention so far."""
    b, r, *grid = past.shape
    maps = jax.lax.conv_general_dilated(
        past.reshape(b * r, *grid, 1).astype(self.dtype),
        picture.filters,
        (1, 1),
        [(self.kernel // 2,) * 2] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ).reshape(b, r, *grid, self.width)
    total = self.state(h)[:, :, None, None] + picture.features[:, None] + maps
    return masked_softmax(self.score(nn.tanh(total))[..., 0], picture.valid)
