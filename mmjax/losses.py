"""Losses over sequences; every one returns a sum and its weight, so that parts add up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mmjax.text.vocabulary import PAD


def cross_entropy(
    logits: Float[Array, "*B T V"], targets: Int[Array, "*B T"], smoothing: float = 0.0
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Sum of -log p(target) over targets that are not PAD, and their number; float32.

  `smoothing` takes that share of the target's weight and spreads it over all V words, the target
  included (Szegedy et al., 2016; torch.nn.CrossEntropyLoss).
  """
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  nll = -jnp.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
  if smoothing:
    nll = (1 - smoothing) * nll - smoothing * log_probs.mean(-1)
  real = targets != PAD
  return jnp.where(real, nll, 0).sum(), real.sum(dtype=jnp.float32)


def token_accuracy(
    logits: Float[Array, "*B T V"], targets: Int[Array, "*B T"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Number of targets that are the likeliest word, and the number of targets."""
  real = targets != PAD
  right = (logits.argmax(-1) == targets) & real
  return right.sum(dtype=jnp.float32), real.sum(dtype=jnp.float32)
