"""What a self-critical run is rewarded with: training references, a judge, where it began."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mmjax import convert, experiment, features, train_state
from mmjax.checkpoint import read_run
from mmjax.config import ConfigError, from_dict
from mmjax.convert import word_clip
from mmjax.metrics import rewards
from mmjax.models.word_clip import WordClip
from mmjax.splits import Split
from mmjax.tasks.self_critical import Judge
from mmjax.text.vocabulary import EOS, Vocabulary


def attach(config: ConfigDict, task: Any, split: Split, mesh: Mesh) -> Any:
  """`task` with what its training needs, if it is one that is rewarded.

  The arrays become constants of the compiled step: of a published CLIP those of the text's tower.
  Such a judge has looked at the pictures of `split` before, which batches then carry.

  Args:
    split: of training; the frequencies of CIDEr-D are of its texts.

  Raises:
    ConfigError: `config.reward.judge` or `config.init_from` is missing or does not fit.
    CheckpointError, WeightsError: see `experiment.start_from`.
  """
  make = {
      "table": lambda: reference_table(split.tokens),
      "judge": lambda: _without_encoder(
          config, load_judge(config, task.vocabulary, mesh), split, mesh),
      "start": lambda: _starting_policy(config, task, mesh),
  }
  found = {name: make[name]() for name in getattr(task, "judged_by", ())}
  return dataclasses.replace(task, **found) if found else task


def reference_table(tokens: Sequence[Sequence[Sequence[int]]]) -> rewards.Table:
  """Frequencies of n-grams in references, their ends counted, as arrays of the host."""
  ended = [[[*words, EOS] for words in texts if len(words)] for texts in tokens]
  return jax.device_get(rewards.make_table(ended))


def load_judge(config: ConfigDict, vocabulary: Vocabulary, mesh: Mesh) -> Judge:
  """The judge of `config.reward.judge`: the workdir of a contrastive run, or a published CLIP.

  Raises:
    ConfigError: there is none, or it has other words or another picture encoder, or no head for
      the grammar that is asked for.
    WeightsError: a published one cannot be read.
  """
  given = config.reward.judge
  run = read_run(Path(given)) if given else None
  if not given or (run is None and not Path(given).exists()):
    raise ConfigError(
        f"config.reward.judge is {given!r}; give the workdir of a run of the task contrastive, as"
        " configs/flickr8k/clip.py makes one, or a published CLIP with its merges"
    )
  if run is None:
    return _published(config, Path(given), vocabulary)
  theirs = from_dict(run["config"])
  if theirs.task != "contrastive":
    raise ConfigError(f"config.reward.judge: {given} is a run of the task {theirs.task}, not of"
                      " contrastive")  # fmt: skip
  if tuple(run["vocabulary"]) != vocabulary.words:
    raise ConfigError(
        f"config.reward.judge: {given} has other words ({len(run['vocabulary'])}, here"
        f" {len(vocabulary.words)}); train it with the same data.name, language and min_count"
    )
  judge = experiment.make_task(theirs, vocabulary)
  variables, _ = experiment.restore_trained(Path(given), run, judge, mesh)
  variables = jax.tree.map(np.asarray, variables)
  if isinstance(judge.model, WordClip):
    return Judge(judge.model.clone(prompt=config.reward.get("prompt", True)), variables)
  if config.data.cache_features and theirs.model.encoder_name != config.model.encoder_name:
    raise ConfigError(
        f"config.reward.judge: {given} looks through {theirs.model.encoder_name}, the captioner"
        f" through {config.model.encoder_name}, and cached features are of one encoder"
    )
  return Judge(judge.model, variables)


def _published(config: ConfigDict, path: Path, vocabulary: Vocabulary) -> Judge:
  """A judge whose network was trained elsewhere."""
  if config.data.language != "en":
    raise ConfigError(
        f"config.reward.judge: {path} reads English, config.data.language is"
        f" {config.data.language!r}; give the workdir of a run of configs/flickr8k/clip.py"
    )
  variables = word_clip.read(path, vocabulary)
  model = word_clip.model_of(variables, prompt=config.reward.get("prompt", True))
  params = variables["params"]
  if not params.keys() & {*word_clip.HEADS}:
    if config.reward.weights.grammar:
      raise ConfigError(
          f"config.reward.judge: {path} has no head for grammar: train one with"
          " configs/flickr8k/clip_grammar.py, or set config.reward.weights.grammar to 0"
      )
    shapes = ((model.text_width, model.features), (model.features, 2))
    for name, shape in zip(word_clip.HEADS, shapes):  # which nobody asks
      params[name] = {"kernel": np.zeros(shape, np.float32)}
  return Judge(model, variables)


def _without_encoder(config: ConfigDict, judge: Judge, split: Split, mesh: Mesh) -> Judge:
  """The judge without its encoder where that is not needed in a step."""
  if isinstance(judge.model, WordClip):
    options = experiment.data_options(config, mesh, train=False)
    split.records.more["judged"] = features.of_judge(config, split, judge, options)
  elif not config.data.cache_features:
    return judge
  drop = lambda tree: {name: part for name, part in tree.items() if name != "encoder"}
  return judge._replace(variables={name: drop(tree) for name, tree in judge.variables.items()})


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
    variables = convert.load(config.model.name, path, config.model, state, task.vocabulary)
  return jax.tree.map(np.asarray, variables["params"])
