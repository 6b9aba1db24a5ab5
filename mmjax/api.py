"""What the command line does, as functions: for notebooks and other programs.

  from mmjax import api
  config = api.load_config("configs/crohme/bttr.py", **{"optim.lr": 0.5})
  api.train(config, "W")
  print(api.evaluate(config, "W", "test_2014"))
  predictor = api.load_predictor("W")
  print(predictor.predict(["formula.png"])[0].text)
"""

import os
import sys
from pathlib import Path

import jax
from ml_collections import ConfigDict

from data_pipelines.datasets import NotPreparedError, SourceError, UnknownDatasetError
from mmjax import config as configs
from mmjax.checkpoint import CheckpointError, read_run
from mmjax.convert.state_dict import WeightsError
from mmjax.evaluate import evaluate as _evaluate
from mmjax.infer.pictures import PictureError, expand_inputs
from mmjax.infer.predictor import Predictor
from mmjax.report.predictions import write_predictions
from mmjax.text.vocabulary import UnknownWordError
from mmjax.train import PREEMPTED, Diverged, Preempted
from mmjax.train import train as _train

__all__ = ["PREEMPTED", "Preempted"]
ERRORS = (
    CheckpointError, Diverged, NotPreparedError, OSError, PictureError, SourceError,
    UnknownDatasetError, UnknownWordError, WeightsError,
)  # fmt: skip


def load_config(path: str, **overrides) -> ConfigDict:
  """The config of a file with dotted keys changed.

  Raises:
    ConfigError: no such file or key.
  """
  return configs.override(configs.load(path), overrides)


def stored_config(workdir: str | Path) -> ConfigDict:
  """The config that a workdir was made with.

  Raises:
    ConfigError: it holds no run.
  """
  run = read_run(Path(workdir))
  if run is None:
    raise configs.ConfigError(f"{workdir} holds no run yet: give --config=FILE")
  return configs.from_dict(run["config"])


def set_up(
    config: ConfigDict,
    coordinator: str = "",
    processes: int = 1,
    process: int = 0,
    distributed: bool = False,
) -> None:
  """Compile cache, CPU devices and processes; before anything else uses JAX.

  Raises:
    ConfigError: the processes are not described.
  """
  if processes > 1 and not (coordinator and 0 <= process < processes):
    raise configs.ConfigError(
        f"--processes={processes} needs --coordinator=HOST:PORT, the same for all, and --process"
        f" from 0 to {processes - 1}"
    )
  cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", "~/.cache/mmjax/xla")
  jax.config.update("jax_compilation_cache_dir", str(Path(cache).expanduser()))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
  if config.cpu_devices > 1:
    jax.config.update("jax_num_cpu_devices", config.cpu_devices)
  if distributed:
    jax.distributed.initialize()
  elif processes > 1:
    jax.distributed.initialize(coordinator, processes, process)


def train(config: ConfigDict, workdir: str | Path) -> dict[str, float]:
  """Trains in `workdir`, or goes on there; the last validation scores. See `mmjax.train.train`."""
  return _train(config, Path(workdir))


def evaluate(
    config: ConfigDict, workdir: str | Path, split: str = "", step: int | None = None
) -> dict[str, float]:
  """Scores of a split with the best (or the given) checkpoint. See `mmjax.evaluate.evaluate`."""
  return _evaluate(config, Path(workdir), split, step)


def load_predictor(
    workdir: str | Path, config: ConfigDict | None = None, step: int | None = None
) -> Predictor:
  """The trained model of a workdir, ready for pictures."""
  config = config or stored_config(workdir)
  return Predictor.load(config, Path(workdir), step)


def print_predictions(
    config: ConfigDict, workdir: str | Path, inputs: list[str], step: int | None = None,
    output: str | Path = "",
) -> int:  # fmt: skip
  """Prints `file<TAB>score<TAB>text` for every picture; problems go to standard error.

  The folder `output`, by default `<workdir>/predict`, gets the same as `predictions.jsonl`, with
  further hypotheses, and as a page; see `mmjax.report.predictions`.

  Returns:
    Exit code: 0 if every picture was answered, 1 otherwise.
  """
  paths = expand_inputs(inputs)
  predictor = load_predictor(workdir, config, step)
  folder = Path(output) if output else Path(workdir) / "predict"
  folder.mkdir(parents=True, exist_ok=True)  # what cannot be written must not wait for the answers
  answers = predictor.predict(paths)
  for path, answer in zip(paths, answers):
    if answer.error:
      print(f"error: {answer.error}", file=sys.stderr)
    else:
      print(f"{path}\t{answer.score:.4f}\t{answer.text}", flush=True)
  lines, page = write_predictions(folder, predictor, paths, answers)
  print(f"predictions: {lines}\npage: {page}", file=sys.stderr)
  return 1 if any(answer.error for answer in answers) else 0
