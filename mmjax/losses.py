"""Losses over sequences; every one returns a sum and its weight, so that parts add up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mmjax.text.vocabulary import PAD


def cross_entropy(
    logits: Float[Array, "*B T V"], targets: Int[Array, "*B T"], pad: int = PAD
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Sum of -log p(target) over targets that are not `pad`, and their number; float32."""
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  nll = -jnp.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
  real = targets != pad
  return jnp.where(real, nll, 0).sum(), real.sum(dtype=jnp.float32)


def token_accuracy(
    logits: Float[Array, "*B T V"], targets: Int[Array, "*B T"], pad: int = PAD
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Number of targets that are the likeliest word, and of targets that are not `pad`."""
  real = targets != pad
  right = (logits.argmax(-1) == targets) & real
  return right.sum(dtype=jnp.float32), real.sum(dtype=jnp.float32)
