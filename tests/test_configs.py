"""Every experiment in configs/ builds, and its task and step fit together."""

import dataclasses
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs.tiny import tiny
from mmjax import config as configs
from mmjax import experiment, models, rewarding, train_state
from mmjax.tasks import contrastive, self_critical, unsupervised
from mmjax.text.vocabulary import Vocabulary

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    str(p.relative_to(ROOT)) for p in ROOT.glob("configs/*/**/*.py") if p.name != "__init__.py"
)
WORDS = Vocabulary.from_words([r"\frac", "{", "}", "x", "+"])


def parameters(tree) -> int:
  """How many there are, apart from those of a picture encoder, whose size is published."""
  own = {name: part for name, part in tree.items() if name != "encoder"}
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(own))


def rewarded(task):
  """A self-critical task with made-up references and an untrained judge."""
  model = models.build("small_clip", len(WORDS), width=16, heads=2, layers=1)
  shapes = jax.eval_shape(contrastive.Task(model, WORDS).init, jax.random.key(0))
  variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), nn.unbox(shapes))
  table = rewarding.reference_table([[[3, 4]], [[5]]])
  return dataclasses.replace(task, table=table, judge=self_critical.Judge(model, variables))


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

  if hasattr(task, "judged_by"):
    task = rewarded(task)
  if "sentences" in getattr(task, "learns_from", ()):
    task = dataclasses.replace(task, sentences=unsupervised.sentences_of([[3, 4], [5]]))
  rows = config.data.batch
  photographs = (*config.data.canvas, 3) if config.data.texts else (32, 64, 1)
  numbers = np.shape(task.encode_texts(["x + x"])[0])[1:]  # of each token
  batch = {
      "image": jnp.zeros((rows, *photographs), jnp.uint8),
      "size": jnp.full((rows, 2), 32),
      "tokens": jnp.ones((rows, 8, *numbers), jnp.int32),
      "length": jnp.full(rows, 8),
      "references": jnp.ones((rows, 2, 8), jnp.int32),
      "reference_length": jnp.full((rows, 2), 8),
      "concepts": jnp.ones((rows, 3), jnp.int32),
      "concept_scores": jnp.ones((rows, 3)),
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
