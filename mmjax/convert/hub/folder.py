"""The files of a folder as the Hugging Face hub has them: settings and weights, without PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError

CONFIG, GENERATION = "config.json", "generation_config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
TRUNCATED = "truncated or damaged; copy or download it again"


class HubError(WeightsError):
  """A folder of the hub that cannot be used."""


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
  """An object of settings; None where there is no such file.

  Raises:
    HubError: it is no JSON object.
  """
  path = folder / name
  if not path.is_file():
    return None
  try:
    found = json.loads(path.read_text("utf-8"))
  except ValueError as e:
    raise HubError(f"{path}: no JSON, {TRUNCATED} ({e})") from e
  if not isinstance(found, dict):
    raise HubError(f"{path}: holds a {type(found).__name__}, not an object of settings")
  return found


def read_config(folder: Path) -> dict[str, Any]:
  """`config.json`.

  Raises:
    HubError: there is no such folder or file, or it names no architecture.
  """
  if not folder.is_dir():
    raise HubError(f"{folder}: no such folder; give one with {CONFIG} and {WEIGHTS}")
  config = read_json(folder, CONFIG)
  if config is None:
    there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    raise HubError(
        f"{folder / CONFIG} is missing (there is {there}); it says what the model is: download it"
        " from the model's page of the hub"
    )
  if "model_type" not in config:
    raise HubError(f"{folder / CONFIG} has no model_type: it does not say what the model is")
  return config


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
  """The settings of what writes: those of the decoder where the model has two parts."""
  parts = (config.get(name) for name in ("decoder", "text_config"))
  return next((part for part in parts if isinstance(part, Mapping)), config)


def read_preprocessor(folder: Path) -> dict[str, Any]:
  """The settings of the picture processor.

  Raises:
    HubError: there are none.
  """
  for name in PREPROCESSORS:
    found = read_json(folder, name)
    if found is not None:
      found = found.get("image_processor", found)
      if found.keys() & {"image_processor_type", "feature_extractor_type"}:
        return found
  raise HubError(
      f"{folder / PREPROCESSORS[0]} is missing, or names no image_processor_type; it says how"
      " pictures are scaled: download it from the model's page of the hub"
  )


def read_state(folder: Path, *, unpickle: bool = False) -> dict[str, np.ndarray]:
  """The weights by their names, in the types that they are stored in.

  Args:
    folder: has `model.safetensors`, its shards, or `pytorch_model.bin`.
    unpickle: whether the last may be read, by an unpickler that runs nothing.

  Raises:
    HubError: there are none, a shard is missing, or a file is damaged.
  """
  if (folder / WEIGHTS).is_file():
    return _safetensors(folder / WEIGHTS)
  if (folder / INDEX).is_file():
    return _shards(folder, INDEX, _safetensors)
  pickles = [name for name in (PICKLE, PICKLE_INDEX) if (folder / name).is_file()]
  if not pickles:
    raise HubError(f"{folder / WEIGHTS} is missing: the folder has no weights; download them")
  if not unpickle:
    raise HubError(
        f"{folder} has its weights as a pickle alone ({pickles[0]}), which may hold a program:"
        f" download {WEIGHTS}, or set config.model.unpickle=True to have the arrays in it read by"
        " an unpickler that runs nothing"
    )
  if pickles[0] == PICKLE:
    return read_arrays(folder / PICKLE)
  return _shards(folder, PICKLE_INDEX, read_arrays)


def _shards(folder: Path, index: str, read) -> dict[str, np.ndarray]:
  """The arrays of all files that an index names."""
  listed = (read_json(folder, index) or {}).get("weight_map")
  if not isinstance(listed, dict) or not listed:
    raise HubError(f"{folder / index} has no weight_map: {TRUNCATED}")
  files = sorted(set(listed.values()))
  missing = [name for name in files if not (folder / name).is_file()]
  if missing:
    raise HubError(
        f"{folder} lacks {len(missing)} of the {len(files)} files of weights that {index} names:"
        f" {', '.join(missing[:5])}; download them"
    )
  state: dict[str, np.ndarray] = {}
  for name in files:
    state |= read(folder / name)
  lacking = sorted(listed.keys() - state.keys())
  if lacking:
    raise HubError(
        f"{folder / listed[lacking[0]]} lacks {lacking[0]}, which {index} says it has: {TRUNCATED}"
    )
  return state


def _safetensors(path: Path) -> dict[str, np.ndarray]:
  try:
    import ml_dtypes  # noqa: F401  (NumPy then knows bfloat16)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
  except ModuleNotFoundError as e:
    raise HubError(f"{e}: pip install 'mmjax[hub]' brings what folders of the hub need") from e
  try:
    return load_file(path)
  except (SafetensorError, OSError) as e:
    raise HubError(f"{path}: {TRUNCATED} ({e})") from e
