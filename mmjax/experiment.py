"""From a config to its parts: batches, task, optimizer, state."""

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines.augment import Augment
from data_pipelines.batching import Options
from data_pipelines.transforms import Resize
from mmjax import convert, models, optim, pretrained, sharding, splits, tasks, train_state
from mmjax.checkpoint import CheckpointError, Checkpoints, read_run
from mmjax.config import ConfigError, from_dict
from mmjax.convert import encoders
from mmjax.decode.options import DecodeOptions
from mmjax.tasks.hub import Changes

_OF_JUDGE = ("judge", "prompt", "weights")  # keys of config.reward that are no options of the task


def data_options(config: ConfigDict, mesh: Mesh, *, train: bool) -> Options:
  """How pictures are scaled and batched; evaluation has its own batch size and no randomness.

  Raises:
    ConfigError: a pair of numbers is none, or a value is out of its range.
  """
  d = config.data
  for key in ("low", "high", "scale_range", "canvas"):
    if len(d[key]) != 2 or not all(isinstance(n, int | float) for n in d[key]):
      raise ConfigError(f"config.data.{key} is {tuple(d[key])}; give two numbers, as in '(1, 2)'")
  shards = sharding.batch_shards(mesh)
  batch = d.batch if train else -(-config.evaluate.batch // shards) * shards
  try:
    resize = Resize(d.resize, tuple(d.canvas), d.shorter, d.interpolation)
    augment = Augment(**d.augment)
  except ValueError as e:
    raise ConfigError(f"config.data: {e}") from e
  return Options(
      batch=batch,
      max_pixels=d.max_pixels,
      multiple=shards * (config.optim.accumulate if train else 1),
      max_buckets=d.max_buckets if train else config.evaluate.max_buckets,
      align=d.align,
      scale=d.scale,
      scale_range=tuple(d.scale_range) if train else (1.0, 1.0),
      low=tuple(d.low),
      high=tuple(d.high),
      max_area=d.max_area,
      max_tokens=d.max_tokens,
      resize=resize,
      augment=augment,
      texts=d.texts if train or not d.texts else "references",
  )


def make_task(config: ConfigDict, vocabulary: Any):
  """The task with its model.

  Raises:
    ConfigError: an unknown task, model or metric, or a size that the model lacks.
  """
  sizes = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in config.model.items()}
  del sizes["name"]
  try:
    options: dict[str, Any] = {}
    if pretrained.chosen(config):
      model, options["decode"] = pretrained.model(vocabulary), Changes(**config.decode)
    else:
      model = models.build(config.model.name, len(vocabulary), **sizes)
      # Runs that were made before something was a key decode and score as ever.
      options |= {"decode": DecodeOptions(**config.decode)} if config.decode else {}
    if "metrics" in config.evaluate:
      options["metrics"] = tuple(config.evaluate.metrics)
    if splits.has_captions(config):
      options["language"] = config.data.language
      if config.train.label_smoothing:
        options["label_smoothing"] = config.train.label_smoothing
    options |= config.get("contrastive", {}) or config.get("unpaired", {})
    if "reward" in config:
      options |= {k: v for k, v in config.reward.items() if k not in _OF_JUDGE}
      options["reward_weights"] = tuple((k, w) for k, w in config.reward.weights.items() if w)
    return tasks.build(config.task, model=model, vocabulary=vocabulary, **options)
  except (TypeError, ValueError) as e:
    raise ConfigError(str(e)) from e


def make_rates(config: ConfigDict, total_steps: int) -> train_state.Rates:
  """Optimizer and schedule.

  Raises:
    ConfigError: an unknown name.
  """
  o = config.optim
  try:
    rule, schedule = optim.make_optimizer(o), optim.make_schedule(o, total_steps)
  except ValueError as e:
    raise ConfigError(str(e)) from e
  return train_state.Rates(rule, schedule, o.ema, o.accumulate, tuple(o.get("factors", ())))


def make_mesh(config: ConfigDict) -> Mesh:
  """The mesh of a config.

  Raises:
    ConfigError: it does not fit the devices.
  """
  try:
    return sharding.make_mesh(**config.mesh)
  except ValueError as e:
    raise ConfigError(str(e)) from e


def start_from(
    config: ConfigDict, task, mesh: Mesh, state: train_state.TrainState,
    shardings: train_state.TrainState,
) -> train_state.TrainState:  # fmt: skip
  """`state` with the weights of `config.init_from`, or of the encoder, or of players, alone.

  Raises:
    ConfigError: a player is to come from a folder without one.
    CheckpointError: `init_from` is a workdir with another vocabulary, or without a checkpoint.
    WeightsError: published weights cannot be read or do not fit the model.
  """
  players = {name: folder for name, folder in config.get("players_from", {}).items() if folder}
  if not (config.init_from or config.encoder_from or players):
    return state
  path = Path(config.init_from)
  if not config.init_from:
    variables = {"params": state.params, **state.model_state}
    if config.encoder_from:
      variables = _with_encoder(config, state)
    for name, folder in players.items():
      variables["params"] = {
          **variables["params"], name: _player(config, task, mesh, name, Path(folder), state)
      }  # fmt: skip
  elif pretrained.chosen(config):
    variables = pretrained.weights(config)
  elif run := read_run(path):
    if tuple(run["vocabulary"]) != task.vocabulary.words:
      raise CheckpointError(f"config.init_from: {path} was trained with another vocabulary")
    variables, _ = restore_trained(path, run, task, mesh)
  else:
    variables = convert.load(config.model.name, path, config.model, state, task.vocabulary)
  params = jax.device_put(variables.pop("params"), shardings.params)
  model_state = jax.device_put(variables, shardings.model_state)
  ema = None if state.ema is None else jax.tree.map(lambda x: x.copy(), params)
  return state.replace(params=params, model_state=model_state, ema=ema)


def _player(
    config: ConfigDict, task, mesh: Mesh, name: str, folder: Path, state: train_state.TrainState
) -> Any:
  """The parameters `name` of the run in `folder`.

  Raises:
    CheckpointError: it has another vocabulary, or no checkpoint.
    ConfigError: there is no run, or its model is another one.
  """
  key = f"config.players_from.{name}"
  run = read_run(folder)
  if run is None:
    raise ConfigError(f"{key} is {str(folder)!r}, which holds no run; give the workdir of the stage"
                      " before")  # fmt: skip
  theirs = from_dict(run["config"])
  if tuple(run["vocabulary"]) != task.vocabulary.words:
    raise CheckpointError(
        f"{key}: {folder} was trained with other words ({len(run['vocabulary'])}, here"
        f" {len(task.vocabulary.words)}); train it with the same data.corpus, concepts, language,"
        " min_count and sentence_words"
    )
  differ = [k for k, v in config.model.items() if theirs.model.get(k) != v and k != "dropout"]
  if differ or name not in state.params:
    why = f"its model.{differ[0]} is another" if differ else f"there is no player {name}"
    raise ConfigError(f"{key}: {folder}: {why}")
  variables, _ = restore_trained(folder, run, make_task(theirs, task.vocabulary), mesh)
  return variables["params"][name]


def _with_encoder(config: ConfigDict, state: train_state.TrainState) -> dict[str, Any]:
  """The variables of `state` with published weights in the encoder.

  Raises:
    ConfigError: the model has no encoder of that kind.
    WeightsError: they cannot be read or do not fit.
  """
  variables = {"params": state.params, **state.model_state}
  if "encoder_name" not in config.model or "encoder" not in state.params:
    raise ConfigError(f"config.encoder_from: the model {config.model.name} has no such encoder")
  found = encoders.load(config.model.encoder_name, config.encoder_from)
  ours = {name: tree["encoder"] for name, tree in variables.items() if "encoder" in tree}
  convert.check_shapes(found, ours)
  return {
      name: {**tree, "encoder": found[name]} if name in found else tree
      for name, tree in variables.items()
  }


def restore_trained(
    workdir: Path, run: dict, task, mesh: Mesh, step: int | None = None
) -> tuple[dict[str, Any], int]:
  """(variables, step) of the run in `workdir`: of `step`, else the best, else the newest.

  Raises:
    CheckpointError: there is none.
  """
  rates = make_rates(from_dict(run["config"]), total_steps=2)
  state, _ = train_state.create(task, rates, mesh, seed=0)
  checkpoints = Checkpoints(workdir)
  try:
    return checkpoints.restore_variables(state, step)
  finally:
    checkpoints.close()


def versions() -> dict[str, str]:
  """What a run was made with: packages, and the commit where there is one."""
  names = ("mmjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
  found = {}
  for name in names:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = "not installed"
  root = Path(__file__).parent.parent
  describe = ["git", "-C", str(root), "describe", "--always", "--dirty"]
  try:
    found["commit"] = subprocess.run(
        describe, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    found["commit"] = "unknown"
  return found
