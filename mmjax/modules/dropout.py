"""Dropout whose mask is a hash of the element's place, made where it is used."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt32


def hashed(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
  """Well-mixed 32 bits of each element: two rounds of multiply and xor-shift."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)


def keep_mask(key: jax.Array, shape: tuple[int, ...], rate: float) -> Bool[Array, "..."]:
  """True with probability 1 - rate, a pure function of the key and the element's place.

  A counter-based generator of a few integer operations, which XLA fuses into the product with the
  mask; JAX's own draw takes longer than the layer it follows, to compile and to run. The numbers
  do not depend on how the array is spread over devices.
  """
  place = jnp.zeros(shape, jnp.uint32)
  for axis, size in enumerate(shape):
    place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
  first, second = jax.random.key_data(key)
  bits = hashed(hashed(place ^ first) + second)
  return bits >= jnp.uint32(round(rate * 2**32))


class Dropout(nn.Module):
  """Inverted dropout.

  Attributes:
    rate: share of elements set to zero.
  """

  rate: float

  @nn.compact
  def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
    if not train or self.rate == 0:
      return x
    kept = keep_mask(self.make_rng("dropout"), x.shape, self.rate)
    return jnp.where(kept, x / (1 - self.rate), 0).astype(x.dtype)
