"""Losses over sequences; every one returns a sum and its weight, so that parts add up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.text.vocabulary import PAD


def cross_entropy(
    logits: Float[Array, "*B T V"],
    targets: Int[Array, "*B T"],
    smoothing: float = 0.0,
    pad: int = PAD,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Sum of -log p(target) over targets that are not `pad`, and their number; float32.

  `smoothing` takes that share of the target's weight and spreads it over all V words, the target
  included (Szegedy et al., 2016; torch.nn.CrossEntropyLoss).
  """
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  nll = -jnp.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
  if smoothing:
    nll = (1 - smoothing) * nll - smoothing * log_probs.mean(-1)
  real = targets != pad
  return jnp.where(real, nll, 0).sum(), real.sum(dtype=jnp.float32)


def token_accuracy(
    logits: Float[Array, "*B T V"], targets: Int[Array, "*B T"], pad: int = PAD
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Number of targets that are the likeliest word, and of targets that are not `pad`."""
  real = targets != pad
  right = (logits.argmax(-1) == targets) & real
  return right.sum(dtype=jnp.float32), real.sum(dtype=jnp.float32)


def policy_gradient(
    log_probs: Float[Array, "*B T"], advantages: Float[Array, "*B"], written: Bool[Array, "*B T"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Sum of -advantage log p over the words that were written, and their number.

  Its gradient is an estimate of that of -E[reward] (times the number of words), whatever baseline
  that does not depend on the words is taken from the rewards. (Williams, 1992: REINFORCE.)

  Args:
    log_probs: of the words that were drawn.
    advantages: reward less baseline of each text; no gradient goes through them.
    written: True on the words of a text, its end included.
  """
  advantages = jax.lax.stop_gradient(advantages)[..., None]
  return -jnp.where(written, advantages * log_probs, 0).sum(), written.sum(dtype=jnp.float32)
