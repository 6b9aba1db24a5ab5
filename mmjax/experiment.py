"""From a config to its parts: data split, task, optimizer, state."""

import dataclasses
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import datasets
from data_pipelines.augment import Augment
from data_pipelines.batching import Options, Plan
from data_pipelines.index import RecordIndex, check_split, load_index
from data_pipelines.pipeline import Records, encode_texts
from data_pipelines.transforms import Resize
from mmjax import convert, models, optim, pretrained, sharding, tasks, train_state
from mmjax.config import ConfigError
from mmjax.decode.options import DecodeOptions
from mmjax.tasks.hub import Changes
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of a prepared data set, ready to be planned."""

  name: str
  index: RecordIndex
  records: Records
  tokens: list[list[int]]
  resize: Resize | None = None  # how the model wants its pictures, whatever the config says

  def plan(self, options: Options, **kwargs) -> Plan:
    """The batches of this split.

    Raises:
      ConfigError: the sizes of the config leave no records, or do not divide among devices.
    """
    if self.resize:
      options = dataclasses.replace(options, resize=self.resize, align=1)
    lengths = np.array([len(numbers) for numbers in self.tokens], np.int32)
    try:
      return Plan(self.index.sizes, lengths, options, **kwargs)
    except ValueError as e:
      raise ConfigError(f"{self.name}: {e}") from e


def open_dataset(config: ConfigDict):
  """The prepared data set of a config, as a tfds builder.

  Raises:
    NotPreparedError: it is not there; says how to make it.
  """
  folder = Path(config.data.dir).expanduser() if config.data.dir else datasets.default_data_dir()
  return datasets.load(config.data.name, folder)


def vocabulary_of(builder) -> Vocabulary:
  """The vocabulary that a data set was prepared with."""
  return Vocabulary.from_words(builder.info.metadata["vocabulary"])


def words_of(config: ConfigDict, builder, workdir: Path) -> Any:
  """The vocabulary of a run: that of its data set, or the tokenizer of a model of the hub."""
  if not pretrained.chosen(config):
    return vocabulary_of(builder)
  pretrained.check_lengths(config, workdir)
  return pretrained.vocabulary(config, workdir)


def require_split(builder, name: str) -> None:
  """Raises ConfigError, naming the splits there are, if `name` is not one of them."""
  try:
    check_split(builder, name)
  except ValueError as e:
    raise ConfigError(str(e)) from e


def load_split(config: ConfigDict, builder, name: str, vocabulary: Any) -> Split:
  """Sizes, texts and (lazily) pictures of one split.

  Raises:
    ConfigError: no such split.
    UnknownWordError: a text has a word outside the vocabulary.
  """
  require_split(builder, name)
  index = load_index(builder, name)
  undecoded = {"image": tfds.decode.SkipDecoding()}
  channels, resize = (3, pretrained.resize(vocabulary)) if pretrained.chosen(config) else (1, None)
  source = builder.as_data_source(name, decoders=undecoded)
  records = Records(source, index.ids, channels=channels)
  if config.data.in_memory:
    records.hold()
  return Split(name, index, records, encode_texts(index.texts, vocabulary), resize)


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
      # Runs that were made before something was a key decode and score as ever.
      model = models.build(config.model.name, len(vocabulary), **sizes)
      options["decode"] = DecodeOptions(**config.decode)
    if "metrics" in config.evaluate:
      options["metrics"] = tuple(config.evaluate.metrics)
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
  return train_state.Rates(rule, schedule, o.ema, o.accumulate)


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
    config: ConfigDict, state: train_state.TrainState, shardings: train_state.TrainState
) -> train_state.TrainState:
  """`state` with the published weights of `config.init_from`.

  Raises:
    WeightsError: they cannot be read or do not fit the model.
  """
  if pretrained.chosen(config):
    variables = pretrained.weights(config)
  else:
    variables = convert.load(config.model.name, Path(config.init_from), config.model, state)
  params = jax.device_put(variables.pop("params"), shardings.params)
  model_state = jax.device_put(variables, shardings.model_state)
  ema = None if state.ema is None else jax.tree.map(lambda x: x.copy(), params)
  return state.replace(params=params, model_state=model_state, ema=ema)


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
