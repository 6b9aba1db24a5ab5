"""Optimizers, learning-rate schedules and the plateau rule."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from mmjax.config import ConfigError


def make_optimizer(c: ConfigDict) -> optax.GradientTransformation:
  """The direction of a step; the loop multiplies it by -(learning rate).

  `adadelta` is PyTorch's: weight decay is added to the gradient of every parameter before the
  accumulators. `sgd` is PyTorch's with momentum and decays likewise. `adamw` decays matrices only,
  apart from the gradient.

  Raises:
    ValueError: an unknown name.
  """
  if c.name == "adadelta":
    rule = [optax.add_decayed_weights(c.weight_decay), scale_by_adadelta(c.rho, c.eps)]
  elif c.name == "sgd":
    rule = [optax.add_decayed_weights(c.weight_decay), optax.trace(c.momentum)]
  elif c.name == "adamw":
    matrices = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
    rule = [
        optax.scale_by_adam(c.b1, c.b2, c.eps),
        optax.add_decayed_weights(c.weight_decay, matrices),
    ]
  else:
    raise ValueError(f"config.optim.name is {c.name!r}; there are: adadelta, adamw, sgd")
  clip = [optax.clip_by_global_norm(c.clip)] if c.clip else []
  clip += [optax.clip(c.clip_value)] if c.get("clip_value") else []
  chain = optax.chain(*clip, *rule)
  if not c.get("factors"):  # absent from runs that were made before it was a key
    return chain
  check_factors(c.factors)
  trained = lambda params: jax.tree.map(bool, rate_factors(params, c.factors, all_fit=False))
  return optax.masked(chain, trained)


def check_factors(factors: Sequence[tuple[str, float]]) -> None:
  """Raises ValueError unless `factors` are pairs of a regular expression and a number from 0 on."""
  for pair in factors:
    try:
      pattern, factor = pair
      re.compile(pattern)
      fits = float(factor) >= 0
    except (TypeError, ValueError, re.error):
      fits = False
    if not fits:
      raise ValueError(
          f"config.optim.factors has {pair!r}; give pairs like ('encoder/', 0.1)"
      )


def rate_factors(
    params: Any, factors: Sequence[tuple[str, float]], *, all_fit: bool = True
) -> Any:
  """Of each parameter, the factor of the first pattern that is found in its path; else 1.

  Raises:
    ConfigError: a pattern fits no parameter, unless not `all_fit` (an optimizer of some of them).
  """
  found: set[str] = set()

  def factor(path, leaf):
    del leaf
    name = "/".join(str(key.key) for key in path)
    for pattern, value in factors:
      if re.search(pattern, name):
        found.add(pattern)
        return float(value)
    return 1.0

  tree = jax.tree_util.tree_map_with_path(factor, params)
  idle = [pattern for pattern, _ in factors if pattern not in found]
  if idle and all_fit:
    raise ConfigError(f"config.optim.factors: no parameter is left for {', '.join(idle)}")
  return tree


def scale_by_adadelta(rho: float, eps: float) -> optax.GradientTransformation:
  """delta = sqrt(d + eps) / sqrt(s + eps) * g, with running means s of g^2 and d of delta^2.

  Reference: Zeiler, 2012, as in torch.optim.Adadelta.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return (zeros, zeros)

  def update(gradients, state, params=None):
    del params
    mean = lambda old, new: jax.tree.map(lambda o, n: rho * o + (1 - rho) * n * n, old, new)
    squares = mean(state[0], gradients)
    delta = jax.tree.map(
        lambda g, s, d: jnp.sqrt(d + eps) / jnp.sqrt(s + eps) * g, gradients, squares, state[1]
    )
    return delta, (squares, mean(state[1], delta))

  return optax.GradientTransformation(init, update)


def make_schedule(c: ConfigDict, total_steps: int) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
  """Step -> learning rate, before the plateau factor.

  Raises:
    ValueError: an unknown name.
  """
  if c.schedule == "constant":
    return lambda step: jnp.float32(c.lr)
  if c.schedule == "warmup_cosine":
    warmup = min(c.warmup_steps, total_steps - 1)
    return optax.warmup_cosine_decay_schedule(0.0, c.lr, warmup, total_steps, c.lr * c.final_factor)
  raise ValueError(f"config.optim.schedule is {c.schedule!r}; there are: constant, warmup_cosine")


class Plateau(NamedTuple):
  """Learning-rate factor that falls when a validation score stops to rise."""

  factor: Float[Array, ""]
  best: Float[Array, ""]
  bad: Int[Array, ""]  # evaluations since the best


def new_plateau() -> Plateau:
  return Plateau(jnp.float32(1), jnp.float32(-jnp.inf), jnp.int32(0))


def update_plateau(
    p: Plateau, score: float, *, factor: float, patience: int, threshold: float = 1e-4
) -> Plateau:
  """One evaluation later: `factor` times the rate after more than `patience` without a gain.

  The rule of torch.optim.lr_scheduler.ReduceLROnPlateau(mode="max", threshold_mode="rel").
  """
  # Host numbers: all processes compute the same, and none holds the others' devices.
  best = float(p.best)
  better = score > best + threshold * abs(best) if np.isfinite(best) else True
  bad = 0 if better else int(p.bad) + 1
  lower = bad > patience
  numbers: Any = (
      np.float32(float(p.factor) * (factor if lower else 1)),
      np.float32(score if better else best),
      np.int32(0 if lower else bad),
  )
  return Plateau(*numbers)
