"""Sinusoidal positions of words and of picture cells."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def word_positions(length: int, width: int) -> Float[Array, "T D"]:
  """[length, width] of frequencies 10000**(-2i/width), sin at 2i and cos at 2i + 1.

  Reference: Vaswani et al., 2017.
  """
  rate = jnp.exp(jnp.arange(0, width, 2) * (-math.log(10000.0) / width))
  angle = jnp.arange(length)[:, None] * rate
  return jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1).reshape(length, width)


def steep_word_positions(length: int, width: int) -> Float[Array, "T D"]:
  """[length, width] of frequencies 10000**(-2j/width), cos at even j and sin at odd j.

  Every channel has its own frequency, and they fall to 10000**-2. As in S. Kurtisi's
  "pytorch-image-captioning".
  """
  channel = jnp.arange(width)
  angle = jnp.arange(length)[:, None] * 10000.0 ** (-2 * channel / width)
  return jnp.where(channel % 2 == 0, jnp.cos(angle), jnp.sin(angle))


def cell_positions(
    valid: Bool[Array, "B h w"], width: int, *, paired: bool, rows_first: bool = False
) -> Float[Array, "B h w D"]:
  """Positions of picture cells, scaled so that the last valid row and column are at 2 pi.

  Args:
    valid: [B, h, w] True on real cells; counting starts at 1 on the first of them.
    width: channels; the first half tells x, the second y.
    paired: sin and cos share a frequency (CoMER, CAN); else every channel has its own (BTTR).
    rows_first: the first half tells y, the second x (CAN).

  Returns:
    [B, h, w, width].
  """
  half = width // 2
  real = valid.astype(jnp.float32)
  y, x = jnp.cumsum(real, 1), jnp.cumsum(real, 2)
  y = y / (y[:, -1:, :] + 1e-6) * 2 * math.pi
  x = x / (x[:, :, -1:] + 1e-6) * 2 * math.pi
  channel = jnp.arange(half)
  exponent = 2 * (channel // 2) if paired else channel
  rate = 10000.0 ** (-exponent.astype(jnp.float32) / half)

  def encode(position):
    angle = position[..., None] * rate
    return jnp.where(channel % 2 == 0, jnp.sin(angle), jnp.cos(angle))

  halves = (y, x) if rows_first else (x, y)
  return jnp.concatenate([encode(half) for half in halves], -1)
