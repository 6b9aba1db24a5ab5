r"""Train, evaluate and use models that look at an image and write a sequence.

  python -m mmjax.main --config=configs/crohme/bttr.py --workdir=W
      trains in the folder W; run again, it goes on where it stopped
  python -m mmjax.main --workdir=W --mode=evaluate [--split=test_2014]
      decodes a split, prints its scores, writes a report
  python -m mmjax.main --workdir=W --mode=predict --input=a.png,b.png
      writes LaTeX and a score for pictures or folders of pictures

Any key of the config changes with --config.KEY=VALUE, e.g. --config.optim.lr=0.1.
Exit codes: 0 done; 1 failed; 2 wrong usage; 75 stopped by a signal, run it again to go on.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from mmjax import config as configs

FLAGS = flags.FLAGS
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment, e.g. configs/crohme/bttr.py.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs, reports.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict"], "What to do.")
_SPLIT = flags.DEFINE_string("split", "", "evaluate: the split; default config.evaluate.split.")
_CHECKPOINT = flags.DEFINE_integer(
    "checkpoint", None, "evaluate, predict: step; default the best by validation."
)
_INPUT = flags.DEFINE_list("input", [], "predict: pictures or folders, comma-separated.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0 when several processes train one model."
)
_PROCESSES = flags.DEFINE_integer("processes", 1, "Number of processes.")
_PROCESS = flags.DEFINE_integer("process", 0, "Number of this process, from 0.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Find the other processes by itself (TPU pod, Slurm)."
)


def parse(argv: list[str]) -> list[str]:
  """Flags; wrong ones print what is wrong and exit with 2."""
  if {"--help", "-h", "-help"} & set(argv):
    print(__doc__)
    print("Flags:\n" + FLAGS.module_help(sys.modules[__name__]))
    print("Config keys: configs/base.py lists them with a line on each.")
    sys.exit(0)
  try:
    _check_overrides(argv)
    rest = FLAGS(argv)
    if len(rest) > 1:
      raise configs.ConfigError(f"what is {rest[1]!r}? flags start with --; see --help")
    if not _WORKDIR.value:
      raise configs.ConfigError("--workdir is missing: the folder of the run")
    return rest
  except (flags.Error, configs.ConfigError, AttributeError, KeyError, TypeError, ValueError) as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(2)


def _check_overrides(argv: list[str]) -> None:
  """Finds unknown config keys before the flags library does, to name their neighbours."""
  paths = [a.partition("=")[2] for a in argv if a.startswith("--config=")]
  paths += [b for a, b in zip(argv, argv[1:]) if a == "--config"]
  keys = [a[len("--config.") :].partition("=")[0] for a in argv if a.startswith("--config.")]
  if not paths:
    if keys:
      raise configs.ConfigError("--config.KEY=VALUE needs --config=FILE as well")
    return
  config = configs.load(paths[0])
  for key in keys:
    problem = configs.unknown_key(config, key)
    if problem:
      raise configs.ConfigError(problem)


def main(argv: list[str]) -> None:
  del argv
  if not FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # libraries tell every step of theirs otherwise
  config = FLAGS.config
  from mmjax import api  # after the flags, so that --help and wrong flags answer at once

  try:
    if config is None:
      config = api.stored_config(_WORKDIR.value)
    api.set_up(config, _COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _DISTRIBUTED.value)
    if _MODE.value == "train":
      api.train(config, _WORKDIR.value)
    elif _MODE.value == "evaluate":
      scores = api.evaluate(config, _WORKDIR.value, _SPLIT.value, _CHECKPOINT.value)
      for name, value in scores.items():
        print(f"{name:24s} {value:.4f}")
      split = _SPLIT.value or config.evaluate.split
      print(f"report: {Path(_WORKDIR.value) / 'evaluate' / split / 'report.html'}")
    else:
      sys.exit(api.print_predictions(config, _WORKDIR.value, _INPUT.value, _CHECKPOINT.value))
  except api.Preempted as e:
    print(e, file=sys.stderr)
    _leave(api.PREEMPTED)
  except configs.ConfigError as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(2)
  except api.ERRORS as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(1)


def _leave(code: int) -> None:
  """Ends with `code` even where JAX's preemption service would wait for the other processes."""
  logging.flush()
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


if __name__ == "__main__":
  app.run(main, flags_parser=parse)
