"""Features of a frozen picture encoder: computed once, kept in a file, read as needed."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float
from ml_collections import ConfigDict
from numpy.lib.format import open_memmap
from tqdm import tqdm

from data_pipelines import pipeline
from data_pipelines.augment import Augment
from data_pipelines.batching import Options, Plan
from data_pipelines.transforms import Resize
from mmjax import splits
from mmjax.config import ConfigError
from mmjax.optim import rate_factors
from mmjax.splits import Split
from mmjax.tasks.self_critical import Judge


def attach(
    config: ConfigDict, split: Split, task: Any, variables: Any, options: Options
) -> None:
  """Gives the records of `split` the features of their pictures, which batches then carry.

  The file is named by what the features depend on: the encoder, its weights, how pictures are
  brought to their canvas, and which they are; so another config that shares these shares it. A
  computation that was cut short goes on where it stopped.

  Args:
    task: its model has an `encoder`: image [B, H, W, 3] -> features [B, h, w, D].
    variables: of the model.
    options: of evaluation, since features are of pictures that are not augmented.

  Raises:
    ConfigError: the encoder is trained, pictures are augmented, or they have no common canvas.
    OSError: the disk lacks the room.
  """
  _check(config, variables)
  d = config.data
  transforms = (d.resize, tuple(d.canvas), d.shorter, d.interpolation)
  sizes = sorted((k, v) for k, v in config.model.items() if k.startswith("encoder"))
  about = transforms, sizes
  split.records.features = _kept(config, split, task.model, variables, options, about)


def of_judge(
    config: ConfigDict, split: Split, judge: Judge, options: Options
) -> Float[np.ndarray, "N h w D"]:
  """What the encoder of a judge with a `picture_size` makes of the pictures of `split`.

  A picture is the middle square of its own, resized as published CLIPs were trained on them; the
  rest is as in `attach`.
  """
  side = judge.model.picture_size
  resize = Resize("crop", (side, side), side, "bicubic")
  about: Any = dataclasses.astuple(resize), []  # the rest its weights tell
  options = dataclasses.replace(options, resize=resize)
  return _kept(config, split, judge.model, judge.variables, options, about)


def _kept(
    config: ConfigDict, split: Split, model: Any, variables: Any, options: Options, about: Any
) -> Float[np.ndarray, "N h w D"]:
  """Features of the pictures of `split`, from their file; `about`: resizing and encoder."""
  variables = _whole(variables)
  encoder = {name: tree["encoder"] for name, tree in variables.items() if "encoder" in tree}
  folder = splits.data_dir(config) / "features" / config.data.name
  path = folder / f"{split.name}-{_key(config, split, about, encoder)}.npy"
  if not path.exists() and jax.process_index() == 0:
    _compute(path, split, model, variables, options, config.data.threads)
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices("features")
  return np.load(path, mmap_mode="r")


def _check(config: ConfigDict, variables: Any) -> None:
  """Raises ConfigError where features that are computed once would be wrong."""
  if config.data.resize == "fit":
    raise ConfigError('config.data.cache_features needs one canvas: data.resize="squash" or "crop"')
  if Augment(**config.data.augment).any:
    raise ConfigError("config.data.cache_features keeps no augmented pictures: set one of them off")
  factors = rate_factors(variables["params"], config.optim.factors)
  if any(jax.tree.leaves(factors.get("encoder", 1.0))):
    raise ConfigError(
        "config.data.cache_features is for a frozen encoder: add ('^encoder/', 0.0) to"
        " config.optim.factors"
    )


def _key(config: ConfigDict, split: Split, about: Any, encoder: Any) -> str:
  digest = hashlib.sha256()
  about = (config.data.name, split.name, split.index.ids, *about)
  digest.update(json.dumps(about, default=str).encode())
  for leaf in jax.tree.leaves(encoder):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:12]


def _compute(
    path: Path, split: Split, model: Any, variables: Any, options: Options, threads: int
) -> None:
  """Writes `path` batch by batch, under another name until all are there."""
  # Of every picture, whatever texts it has in this config: others share the file.
  nothing: list = [[]] * len(split.index.ids)
  options = dataclasses.replace(options, texts="")
  plan = Plan(split.index.sizes, np.zeros(len(nothing), np.int32), options, train=False)
  look = lambda model, image: model.encoder(image)
  see = jax.jit(lambda image: model.apply(variables, image, method=look))
  canvas = (1, *options.resize.canvas, 3)
  shape = (len(split.index.ids), *jax.eval_shape(see, np.zeros(canvas, np.uint8)).shape[1:])
  path.parent.mkdir(parents=True, exist_ok=True)
  partial, done = path.with_suffix(".partial"), path.with_suffix(".done")
  if done.exists() and partial.exists():
    start, array = int(done.read_text()), open_memmap(partial, mode="r+")
  else:
    needed, free = 2 * int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if needed > free:
      raise OSError(
          f"features of {split.name} need {needed / 1e9:.1f} GB in {path.parent}, where"
          f" {free / 1e9:.1f} GB are free; make room, or set config.data.cache_features=False"
      )
    start, array = 0, open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
  loaded = pipeline.batches(plan, split.records, nothing, start=start, threads=threads)
  title = f"features of {split.name}"
  for step in tqdm(range(start, len(plan)), desc=title, unit="batch", leave=False, disable=None):
    batch = next(loaded)
    real = batch["real"]
    array[batch["record"][real]] = np.asarray(see(batch["image"]), np.float16)[real]
    if step % 20 == 19:
      array.flush()
      done.write_text(str(step + 1))
  array.flush()
  del array
  partial.rename(path)
  done.unlink(missing_ok=True)


def _whole(arrays: Any) -> Any:
  """Host arrays, however they are spread."""
  if jax.process_count() == 1:
    return jax.device_get(arrays)
  return multihost_utils.process_allgather(arrays, tiled=True)
