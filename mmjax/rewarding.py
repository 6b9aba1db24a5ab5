"""What a self-critical run is rewarded with: training references, a judge, where it began."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mmjax import convert, experiment, train_state
from mmjax.checkpoint import read_run
from mmjax.config import ConfigError, from_dict
from mmjax.metrics import rewards
from mmjax.tasks.self_critical import Judge
from mmjax.text.vocabulary import EOS, Vocabulary


def attach(
    config: ConfigDict, task: Any, tokens: Sequence[Sequence[Sequence[int]]], mesh: Mesh
) -> Any:
  """`task` with what its training needs, if it is one that is rewarded.

  The arrays become constants of the compiled step: a judge should be small.

  Args:
    tokens: of each text of each training picture, for the frequencies of CIDEr-D.

  Raises:
    ConfigError: `config.reward.judge` or `config.init_from` is missing or does not fit.
    CheckpointError, WeightsError: see `experiment.start_from`.
  """
  make = {
      "table": lambda: reference_table(tokens),
      "judge": lambda: load_judge(config, task.vocabulary, mesh),
      "start": lambda: _starting_policy(config, task, mesh),
  }
  found = {name: make[name]() for name in getattr(task, "judged_by", ())}
  return dataclasses.replace(task, **found) if found else task


def reference_table(tokens: Sequence[Sequence[Sequence[int]]]) -> rewards.Table:
  """Frequencies of n-grams in references, their ends counted, as arrays of the host."""
  ended = [[[*words, EOS] for words in texts if len(words)] for texts in tokens]
  return jax.device_get(rewards.make_table(ended))


def load_judge(config: ConfigDict, vocabulary: Vocabulary, mesh: Mesh) -> Judge:
  """The trained judge of `config.reward.judge`, the workdir of a contrastive run.

  Raises:
    ConfigError: there is none, or it has other words or another picture encoder.
  """
  folder = config.reward.judge
  run = read_run(Path(folder)) if folder else None
  if run is None:
    raise ConfigError(
        f"config.reward.judge is {folder!r}; give the workdir of a run of the task contrastive, as"
        " configs/flickr8k/clip.py makes one"
    )
  theirs = from_dict(run["config"])
  if theirs.task != "contrastive":
    raise ConfigError(f"config.reward.judge: {folder} is a run of the task {theirs.task}, not of"
                      " contrastive")  # fmt: skip
  if tuple(run["vocabulary"]) != vocabulary.words:
    raise ConfigError(
        f"config.reward.judge: {folder} has other words ({len(run['vocabulary'])}, here"
        f" {len(vocabulary.words)}); train it with the same data.name, language and min_count"
    )
  if config.data.cache_features and theirs.model.encoder_name != config.model.encoder_name:
    raise ConfigError(
        f"config.reward.judge: {folder} looks through {theirs.model.encoder_name}, the captioner"
        f" through {config.model.encoder_name}, and cached features are of one encoder"
    )
  judge = experiment.make_task(theirs, vocabulary)
  variables, _ = experiment.restore_trained(Path(folder), run, judge, mesh)
  if config.data.cache_features:  # the encoder is not needed
    variables = {
        name: {k: v for k, v in tree.items() if k != "encoder"} for name, tree in variables.items()
    }
  return Judge(judge.model, jax.tree.map(np.asarray, variables))


def _starting_policy(config: ConfigDict, task: Any, mesh: Mesh) -> Any:
  """Parameters of `config.init_from`."""
  if not config.init_from:
    raise ConfigError("config.reward.kl needs config.init_from: the policy to stay near to")
  path = Path(config.init_from)
  if run := read_run(path):
    variables, _ = experiment.restore_trained(path, run, task, mesh)
  else:
    rates = experiment.make_rates(config, total_steps=2)
    state, _ = train_state.create(task, rates, mesh, config.seed)
    variables = convert.load(config.model.name, path, config.model, state)
  return jax.tree.map(np.asarray, variables["params"])
