"""CoMER's choices of coverage; what it shares with others is in test_recognizers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import models
from mmjax.models.comer import Memory
from tests.models.test_recognizers import TRANSFORMER, random_variables

V, B, R, T, GRID = 9, 2, 2, 4, (2, 3)
CHOICES = {("self",): 2, ("cross",): 2, (): 0}  # channels of the maps: the heads


def build(coverage):
  sizes = TRANSFORMER | {"layers": 2 if coverage else 1}
  return models.build("comer", V, coverage=coverage, coverage_channels=4, **sizes)


@functools.cache
def variables_of(coverage):
  model = build(coverage)
  inputs = jnp.zeros((1, 32, 32, 1)), jnp.ones((1, 32, 32), bool), jnp.ones((1, 1, 2), int)
  init = lambda key: nn.unbox(model.init(key, *inputs))
  return random_variables(jax.eval_shape(init, jax.random.key(0)))


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  valid = np.ones((B, *GRID), bool)
  valid[1, :, 2] = False
  features = jnp.asarray(rng.normal(size=(B, *GRID, 16)), jnp.float32)
  return Memory(features, jnp.asarray(valid)), jnp.asarray(rng.integers(1, V, (B, R, T)))


@pytest.mark.parametrize("coverage", CHOICES)
def test_sums_of_past_attention_replace_the_past(coverage, inputs):
  """A step's cache holds the sums that teacher forcing takes over the whole text."""
  memory, tokens = inputs
  model, variables = build(coverage), variables_of(coverage)

  @jax.jit
  def both(variables):
    call = functools.partial(model.apply, variables)
    shared, cache = call(memory, R, T, method="init_cache")

    def step(cache, now):
      logits, cache = call(*now, cache, shared, method="step")
      return cache, logits

    cache, logits = jax.lax.scan(step, cache, (jnp.moveaxis(tokens, -1, 0), jnp.arange(T)))
    return call(tokens, memory, method="decode"), jnp.moveaxis(logits, 0, 2), cache

  whole, ours, cache = both(variables)
  np.testing.assert_allclose(ours, whole, atol=1e-5)
  assert len(cache.past) == (1 if coverage else 0)
  for past in cache.past:
    assert past.shape == (B, R, *GRID, CHOICES[coverage])
    np.testing.assert_allclose(past.sum((2, 3)), T, rtol=1e-5)  # T maps that add up to 1
    assert not np.asarray(past)[1, :, :, 2].any()
  assert ("refinement" in variables["params"]) == bool(coverage)


def test_refinement_starts_with_the_second_word(inputs):
  memory, tokens = inputs
  fused = variables_of(("self", "cross"))
  decode = lambda model, v: jax.jit(functools.partial(model.apply, method="decode"))(
      v, tokens, memory)  # fmt: skip
  refined = decode(build(("self", "cross")), fused)
  plain = decode(build(("self", "cross")).clone(coverage=()), fused)
  apart = np.abs(refined - plain).max((0, 1, 3))
  assert apart[0] < 1e-5 and apart[1:].min() > 1e-4  # at the first word there is no past


def test_unknown_coverage_is_refused():
  with pytest.raises(ValueError, match=r"coverage names \['past'\]; there are: self, cross"):
    build(("past",))
