"""Every experiment in configs/ builds, and its task and step fit together."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.tiny import tiny
from mmjax import config as configs
from mmjax import experiment, train_state
from mmjax.text.vocabulary import Vocabulary

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    str(p.relative_to(ROOT)) for p in ROOT.glob("configs/*/*.py") if p.name != "__init__.py"
)
WORDS = Vocabulary.from_words([r"\frac", "{", "}", "x", "+"])


def parameters(tree) -> int:
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", FILES)
def test_config(name):
  text = (ROOT / name).read_text()
  assert f"--config={name}" in text, f"the docstring of {name} lacks the command that runs it"
  config = configs.load(str(ROOT / name))
  assert config.is_locked
  full = jax.eval_shape(experiment.make_task(config, WORDS).init, jax.random.key(0))

  config = tiny(config).lock()
  mesh = experiment.make_mesh(config)
  experiment.data_options(config, mesh, train=True)
  task, rates = experiment.make_task(config, WORDS), experiment.make_rates(config, 10)
  state = jax.eval_shape(lambda: train_state.create(task, rates, mesh, config.seed)[0])
  assert parameters(state.params) < parameters(full["params"]) / 10

  rows = config.data.batch
  numbers = np.shape(task.encode_texts(["x + x"])[0])[1:]  # of each token
  batch = {
      "image": jnp.zeros((rows, 32, 64, 1), jnp.uint8),
      "size": jnp.full((rows, 2), 32),
      "tokens": jnp.ones((rows, 8, *numbers), jnp.int32),
      "length": jnp.full(rows, 8),
      "record": jnp.arange(rows),
      "real": jnp.ones(rows, bool),
  }
  after, metrics = jax.eval_shape(
      train_state.make_update(task, rates), state, batch, jax.random.key(1)
  )
  assert jax.tree.structure(after) == jax.tree.structure(state)
  shapes = lambda tree: [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]
  assert shapes(after) == shapes(state)
  assert {"loss", "finite"} <= metrics.keys()
