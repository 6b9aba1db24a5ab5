"""Normalisation: of batches, leaving padding out; of single rows as an early Transformer has it."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mmjax.modules.initializers import partitioned


class BatchNorm(nn.Module):
  """Batch normalisation over the valid cells of a [B, H, W, C] map.

  Normalises with the biased variance and stores the unbiased one, as PyTorch does; the statistics
  are those of the whole global batch, however many devices it is spread over.

  Attributes:
    epsilon: added to the variance.
    momentum: share of the old running statistics kept by a step (PyTorch's 0.1 is 0.9 here).
    dtype: of the output; statistics are always float32.
  """

  epsilon: float = 1e-5
  momentum: float = 0.9
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
      self, x: Float[Array, "B H W C"], valid: Bool[Array, "B H W"] | None, *, train: bool
  ) -> Float[Array, "B H W C"]:
    """Normalises `x`.

    Args:
      x: [B, H, W, C] map.
      valid: [B, H, W] True on cells that count for the statistics; None counts all.
      train: use and store the statistics of this batch.

    Returns:
      [B, H, W, C]; cells outside `valid` are normalised too, and must be zeroed by the caller.
    """
    channels = x.shape[-1]
    scale = self.param("scale", partitioned(nn.initializers.ones, "norm"), (channels,))
    bias = self.param("bias", partitioned(nn.initializers.zeros, "norm"), (channels,))
    mean_of_run = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
    var_of_run = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)
    if train:
      wide = x.astype(jnp.float32)
      if valid is None:
        count = jnp.float32(x.size // channels)
        kept = wide
      else:
        count = jnp.maximum(valid.sum(dtype=jnp.float32), 1)
        kept = jnp.where(valid[..., None], wide, 0)
      mean = kept.sum((0, 1, 2)) / count
      # relu, not maximum: rounded otherwise in the backward pass, that one loses its gradient.
      var = nn.relu((kept * wide).sum((0, 1, 2)) / count - mean**2)
      if not self.is_initializing():
        unbiased = var * count / jnp.maximum(count - 1, 1)
        keep = self.momentum
        mean_of_run.value = keep * mean_of_run.value + (1 - keep) * mean
        var_of_run.value = keep * var_of_run.value + (1 - keep) * unbiased
    else:
      mean, var = mean_of_run.value, var_of_run.value
    factor = scale / jnp.sqrt(var + self.epsilon)
    return (x * factor + (bias - mean * factor)).astype(self.dtype)


class UnbiasedLayerNorm(nn.Module):
  """scale (x - mean) / (deviation + epsilon) + bias, the deviation of a sample: over D - 1.

  Not the usual layer norm, whose deviation is over D and whose epsilon is added to the variance.

  Reference: Rush, 2018, The annotated transformer.
  """

  epsilon: float = 1e-6
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    width = x.shape[-1]
    scale = self.param("scale", partitioned(nn.initializers.ones, "norm"), (width,))
    bias = self.param("bias", partitioned(nn.initializers.zeros, "norm"), (width,))
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    variance = (centred**2).sum(-1, keepdims=True) / (width - 1)
    # The gradient of a root at 0 is infinite; a constant row has no deviation.
    deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1)) * (variance > 0)
    return (scale * centred / (deviation + self.epsilon) + bias).astype(self.dtype)
