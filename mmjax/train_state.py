"""What training carries from step to step, and the step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from mmjax import sharding
from mmjax.optim import Plateau, new_plateau, rate_factors

Metrics = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]  # (sum, weight): they add up
Update = Callable[["TrainState", dict, jax.Array], tuple["TrainState", Metrics]]


class TrainState(struct.PyTreeNode):
  """Everything that a checkpoint of a run holds."""

  step: Int[Array, ""]
  params: Any
  model_state: Any  # running statistics; {} where a model has none
  opt_state: Any
  ema: Any  # moving average of the parameters; None unless asked for
  plateau: Plateau

  @property
  def variables(self) -> dict:
    """What evaluation uses: averaged parameters where there are any."""
    params = self.params if self.ema is None else self.ema
    return {"params": params, **self.model_state}


class Rates(NamedTuple):
  """How a step moves the parameters."""

  optimizer: optax.GradientTransformation
  schedule: Callable[[Int[Array, ""]], Float[Array, ""]]
  ema: float = 0.0  # decay of the moving average; 0 keeps none
  accumulate: int = 1  # parts that a batch is cut into, one after the other
  factors: tuple[tuple[str, float], ...] = ()  # see `optim.rate_factors`


def create(task, rates: Rates, mesh: Mesh, seed: int) -> tuple[TrainState, TrainState]:
  """A new state, born on the mesh as it will stay, and its shardings."""
  own = hasattr(task, "make_optimizer_state")

  def optimizer_state(params):
    return task.make_optimizer_state(rates, params) if own else rates.optimizer.init(params)

  def init(key):
    variables = dict(task.init(key))
    params = variables.pop("params")
    unboxed = nn.unbox(params)
    rate_factors(unboxed, rates.factors)  # what fits nothing must not wait for the first step
    return TrainState(
        step=jnp.int32(0),
        params=params,
        model_state=nn.unbox(variables),
        opt_state=optimizer_state(unboxed),
        ema=jax.tree.map(jnp.copy, unboxed) if rates.ema else None,
        plateau=new_plateau(),
    )

  key = jax.random.key(seed)
  boxed = jax.eval_shape(init, key)
  params = sharding.parameter_specs(boxed.params, mesh)
  rest = sharding.like_parameters(boxed.replace(params=None), params, mesh)
  shardings = rest.replace(params=params)
  state = jax.jit(lambda k: nn.unbox(init(k)), out_shardings=shardings)(key)
  return state, shardings


def make_update(task, rates: Rates) -> Update:
  """The task's own update where it has `make_update(rates)`, else the default one.

  The default: gradient of the mean loss, optimizer, moving average.

  `task.loss(params, model_state, batch, key)` returns (sum, (weight, metrics, model_state)). A
  batch cut into parts adds up sums and weights, hence moves the parameters as the whole batch
  would, save that batch statistics are those of each part.

  `metrics["finite"]` is 0 where the gradient is not finite; such a state is never saved.
  """
  if hasattr(task, "make_update"):
    return task.make_update(rates)
  gradient = jax.value_and_grad(task.loss, has_aux=True)

  def update(state: TrainState, batch: dict, key: jax.Array) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(key, state.step)

    def part(carry, inputs):
      model_state, total, total_weight = carry
      rows, i = inputs
      (_, (weight, metrics, model_state)), grads = gradient(
          state.params, model_state, rows, jax.random.fold_in(key, i)
      )
      total = jax.tree.map(jnp.add, total, grads)
      return (model_state, total, total_weight + weight), metrics

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    carry = (state.model_state, zeros, jnp.float32(0))
    n = rates.accumulate
    if n == 1:
      (model_state, total, weight), metrics = part(carry, (batch, 0))
    else:
      # Part i takes rows i, i + n, ...: every device keeps its own rows.
      parts = jax.tree.map(lambda x: x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1), batch)
      (model_state, total, weight), metrics = jax.lax.scan(part, carry, (parts, jnp.arange(n)))
      metrics = jax.tree.map(lambda x: x.sum(0), metrics)
    grads = jax.tree.map(lambda g: g / jnp.maximum(weight, 1), total)
    factors = rate_factors(state.params, rates.factors)
    trained = jax.tree.map(lambda g, f: g if f else None, grads, factors)
    norm = optax.tree.norm(trained)  # of frozen parameters not even a gradient is computed

    rate = rates.schedule(state.step) * state.plateau.factor
    direction, opt_state = rates.optimizer.update(grads, state.opt_state, state.params)
    params = moved(state.params, direction, factors, rate)
    ema = state.ema
    if ema is not None:
      # The average of few steps must not remember the initial weights for long.
      decay = jnp.minimum(rates.ema, (1 + state.step) / (10 + state.step))
      mean = lambda e, p, f: decay * e + (1 - decay) * p if f else e
      ema = jax.tree.map(mean, ema, params, factors)
    one = jnp.float32(1)
    metrics |= {"gradient_norm": (norm, one), "learning_rate": (rate, one)}
    metrics["finite"] = (jnp.isfinite(norm).astype(jnp.float32), one)
    new = state.replace(
        step=state.step + 1, params=params, model_state=model_state, opt_state=opt_state, ema=ema
    )
    return new, metrics

  return update


def moved(params: Any, direction: Any, factors: Any, rate: Float[Array, ""]) -> Any:
  """Parameters a step further, each at its own factor of the rate; 0 leaves it alone."""
  move = lambda p, d, f: p - rate * f * d if f else p
  return jax.tree.map(move, params, direction, factors)
