"""Reading configs: files, overrides, and what differs between two of them."""

import difflib
import importlib.util
import json
import traceback
from pathlib import Path

from ml_collections import ConfigDict

# A run may be resumed although these changed.
FREE = (
    "checkpoint", "log", "profile", "mesh", "cpu_devices", "init_from", "players_from",
    "evaluate",
    "decode", "data.dir", "data.threads", "data.prefetch", "data.in_memory", "model.remat",
    "optim.lr",
)  # fmt: skip


class ConfigError(ValueError):
  """A config or an override that cannot be used."""


def load(path: str) -> ConfigDict:
  """The config of a file, locked; `file.py:arg` passes `arg` to its `get_config`.

  Raises:
    ConfigError: no such file, it fails, or it has no `get_config`.
  """
  name, _, arg = path.partition(":")
  if not Path(name).is_file():
    files = [str(f) for f in Path("configs").glob("*/**/*.py") if f.name != "__init__.py"]
    near = difflib.get_close_matches(name, files, 3, 0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(f"there is no config file {name}{hint}")
  spec = importlib.util.spec_from_file_location("_config", name)
  if spec is None or spec.loader is None:
    raise ConfigError(f"config file {name} is no Python file (.py)")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    make = getattr(module, "get_config", None)
    if make is None:
      raise ConfigError(f"{name} has no function get_config: it is no config file")
    return (make(arg) if arg else make()).lock()
  except ConfigError:
    raise
  except (Exception, SystemExit) as e:  # a file of the user's may do anything
    lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == name]
    where = f" in line {lines[-1]}" if lines else ""
    raise ConfigError(f"config file {path} fails{where}: {type(e).__name__}: {e}") from e


def flatten(config: ConfigDict | dict) -> dict[str, object]:
  """{"optim.lr": 0.1, ...}; sequences are tuples."""
  out: dict[str, object] = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict | dict):
      out |= {f"{key}.{k}": v for k, v in flatten(value).items()}
    else:
      out[key] = tuple(value) if isinstance(value, list | tuple) else value
  return out


def unknown_key(config: ConfigDict, key: str) -> str | None:
  """What to say about `key` when `config` lacks it; None when it is there."""
  known = list(flatten(config))
  if key in known:
    return None
  within = [k for k in known if k.startswith(key + ".")]
  if within:
    return f"config.{key} is a group of keys; change one of them: {', '.join(within)}"
  leaf = {k.rsplit(".", 1)[-1]: k for k in known}
  near = difflib.get_close_matches(key, known, 3, 0.5)
  near += [leaf[n] for n in difflib.get_close_matches(key.rsplit(".", 1)[-1], leaf, 2, 0.7)]
  near = list(dict.fromkeys(near)) or known[:5]
  return f"config has no key {key!r}; nearest: {', '.join(near[:4])}"


def override(config: ConfigDict, overrides: dict[str, object]) -> ConfigDict:
  """A copy of `config` with dotted keys changed, e.g. {"optim.lr": 0.1}.

  Raises:
    ConfigError: a key is unknown (names its neighbours) or a value has the wrong type.
  """
  config = config.copy_and_resolve_references()
  for key, value in overrides.items():
    problem = unknown_key(config, key)
    if problem:
      raise ConfigError(problem)
    try:
      config.update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as e:
      raise ConfigError(f"config.{key} = {value!r}: {e}") from e
  return config.lock()


def from_dict(stored: dict) -> ConfigDict:
  """A config as `run.json` stores it."""

  def tuples(node):
    if isinstance(node, dict):
      return {k: tuples(v) for k, v in node.items()}
    return tuple(map(tuples, node)) if isinstance(node, list) else node

  return ConfigDict(tuples(stored)).lock()


def to_dict(config: ConfigDict) -> dict:
  return json.loads(config.to_json())


def check_same_run(
    stored: dict, config: ConfigDict, workdir: Path, only: tuple[str, ...] = ()
) -> None:
  """Refuses to continue a run with settings that would make it another one.

  Args:
    stored: the config of the run, as `run.json` has it.
    config: the one to go on with.
    only: keys or groups of keys to look at; default all but `FREE`.

  Raises:
    ConfigError: names each key with its two values.
  """
  old, new = flatten(from_dict(stored)), flatten(config)
  of = lambda key, groups: any(key == g or key.startswith(g + ".") for g in groups)
  matters = [k for k in old.keys() | new.keys() if not of(k, FREE) and (not only or of(k, only))]
  missing = object()
  differ = sorted(k for k in matters if old.get(k, missing) != new.get(k, missing))
  if differ:
    lines = "".join(
        f"\n  {k}: {old.get(k, 'absent')!r} there, {new.get(k, 'absent')!r} now" for k in differ
    )
    raise ConfigError(
        f"--workdir {workdir} holds a run with other settings:{lines}\n"
        "use another --workdir, or the settings that it was made with"
    )
