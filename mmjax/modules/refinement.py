"""CoMER's attention refinement: where the decoder has looked lowers the scores of looking again."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mmjax.modules.densenet import zero_padding
from mmjax.modules.initializers import bias_uniform, fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm

KERNEL = 5
Coverage = Literal["self", "cross"]


class Refinement(nn.Module):
  """Past attention of all heads -> what is taken from the scores of each head.

  conv 5x5 -> ReLU -> conv 1x1 -> batch norm, over valid cells only.

  Reference: Zhao and Gao, "CoMER: Modeling Coverage for Transformer-based Handwritten Mathematical
  Expression Recognition", ECCV 2022.

  Attributes:
    heads: attention heads.
    channels: between the two convolutions.
    dtype: of the computation; the result is float32.
  """

  heads: int
  channels: int
  dtype: DTypeLike

  @nn.compact
  def __call__(
      self, past: Float[Array, "B R T h w C"], valid: Bool[Array, "B h w"], *, train: bool
  ) -> Float[Array, "B N R T S"]:
    """The refinement term.

    Args:
      past: sums of the attention maps before each word.
      valid: real cells.
      train: batch statistics, over all words and valid cells; padding words count.
    """
    b, r, t, h, w, c = past.shape
    maps = past.reshape(b * r * t, h, w, c).astype(self.dtype)
    cells = jnp.repeat(valid, r * t, 0)
    x = nn.Conv(
        self.channels,
        (KERNEL, KERNEL),
        padding=KERNEL // 2,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, None),
        bias_init=partitioned(bias_uniform(KERNEL * KERNEL * c), None),
        name="conv",
    )(maps)
    x = nn.Dense(
        self.heads,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, "heads"),
        name="proj",
    )(zero_padding(nn.relu(x), cells))
    x = zero_padding(BatchNorm(name="post_norm")(x, cells, train=train), cells)
    return x.reshape(b, r, t, h * w, self.heads).transpose(0, 4, 1, 2, 3)


def attention_images(
    before: Float[Array, "B N R T S"],
    now: Float[Array, "B N R T S"],
    coverage: tuple[Coverage, ...],
    grid: tuple[int, int],
) -> Float[Array, "B R T h w C"]:
  """Attention maps as images whose channels are heads: of the layer before, then of this one.

  Args:
    before: the refined attention of the layer below ("cross" coverage).
    now: the attention of this layer before refinement ("self" coverage).
    coverage: which of the two to stack.
    grid: rows and columns of the S cells.
  """
  maps = [m for name, m in (("cross", before), ("self", now)) if name in coverage]
  x = jnp.moveaxis(jnp.concatenate(maps, 1).astype(jnp.float32), 1, -1)
  return x.reshape(*x.shape[:3], *grid, x.shape[-1])
