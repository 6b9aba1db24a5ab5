"""Dropout that draws one byte, not one float, for each element."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float


class Dropout(nn.Module):
  """Inverted dropout with the rate rounded to a multiple of 1/256.

  Random bytes are a quarter of the random words that a float per element takes, and drawing them
  is what dropout costs on a CPU.

  Attributes:
    rate: share of elements set to zero.
  """

  rate: float

  @nn.compact
  def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
    dropped = round(self.rate * 256)
    if not train or dropped == 0:
      return x
    kept = jax.random.bits(self.make_rng("dropout"), x.shape, jnp.uint8) >= dropped
    return jnp.where(kept, x * (256 / (256 - dropped)), 0).astype(x.dtype)
