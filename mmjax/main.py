r"""Train, evaluate and use models that look at an image and write a sequence.

  python -m mmjax.main --config=configs/crohme/bttr.py --workdir=W
      trains in the folder W; run again, it goes on where it stopped
  python -m mmjax.main --workdir=W --mode=evaluate [--split=test_2014]
      decodes a split, prints its scores, writes a report
  python -m mmjax.main --workdir=W --mode=predict --input=a.png,b.png
      writes LaTeX or captions with a score for pictures or folders of pictures, and a page

Any key of the config changes with --config.KEY=VALUE, e.g. --config.optim.lr=0.1;
configs/base.py lists the keys with a line on each.
Exit codes: 0 done; 1 failed; 2 wrong usage; 75 stopped by a signal, run it again to go on.
"""

import itertools
import logging as standard_logging
import os
import re
import sys
import time
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from mmjax import config as configs

FLAGS = flags.FLAGS
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "An experiment, e.g. configs/crohme/bttr.py; default that of the workdir.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", "", "Folder of the run: checkpoints, logs, reports.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict"], "What to do.")
_SPLIT = flags.DEFINE_string("split", "", "evaluate: the split; default config.evaluate.split.")
_CHECKPOINT = flags.DEFINE_integer(
    "checkpoint", None, "evaluate, predict: step; default the best by validation."
)
_INPUT = flags.DEFINE_string("input", "", "predict: pictures or folders, comma-separated.")
_OUTPUT = flags.DEFINE_string(
    "output", "", "predict: folder of the files; default <workdir>/predict."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0 when several processes train one model."
)
_PROCESSES = flags.DEFINE_integer("processes", 1, "Number of processes.")
_PROCESS = flags.DEFINE_integer("process", 0, "Number of this process, from 0.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Find the other processes by itself (TPU pod, Slurm)."
)
_MODES = {
    "input": ["predict"],
    "output": ["predict"],
    "split": ["evaluate"],
    "checkpoint": ["evaluate", "predict"],
}
_STORED = Path(__file__).with_name("stored.py")  # a config file: that of a workdir


def parse(argv: list[str]) -> list[str]:
  """Flags; wrong ones print what is wrong and exit with 2."""
  if {"--help", "-h", "-help"} & set(argv):
    print(_help())
    sys.exit(0)
  try:
    return _parse(argv)
  except (flags.Error, configs.ConfigError, AttributeError, KeyError, TypeError, ValueError) as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(2)


def _help() -> str:
  lines = [__doc__, "Flags:"]
  for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__]):
    default = f" Default {flag.default}." if flag.default else ""
    lines.append(f"  --{flag.name:12s} {flag.help}{default}")
  return "\n".join(lines)


def _parse(argv: list[str]) -> list[str]:
  files, workdirs = _given(argv, "config"), _given(argv, "workdir")
  if not files and workdirs:
    files = [f"{_STORED}:{workdirs[-1]}"]
    argv = [argv[0], f"--config={files[0]}", *argv[1:]]
  if not workdirs:
    raise configs.ConfigError("--workdir is missing: the folder of the run; see --help")
  if Path(workdirs[-1]).is_file():
    raise configs.ConfigError(f"--workdir {workdirs[-1]} is a file; give the folder of the run")
  config = configs.load(files[-1]) if files else None
  for name in argv[1:]:
    key = re.match(r"--?(?:no)?config\.([^=]+)", name)
    problem = configs.unknown_key(config, key[1]) if key and config else None
    if problem:
      raise configs.ConfigError(problem)
  try:
    rest = FLAGS(argv)
  except flags.IllegalFlagValueError as e:
    raise configs.ConfigError(f"{e}{_example(config, str(e))}") from e
  if len(rest) > 1:
    raise configs.ConfigError(f"what is {rest[1]!r}? flags start with --; see --help")
  mode = _MODE.value
  if mode == "predict" and not _INPUT.value:
    raise configs.ConfigError("--mode=predict needs --input=PICTURES")
  for flag, modes in _MODES.items():
    if FLAGS[flag].present and mode not in modes:
      where = " or ".join(f"--mode={m}" for m in modes)
      raise configs.ConfigError(f"--{flag} goes with {where}, this is --mode={mode}")
  return rest


def _given(argv: list[str], name: str) -> list[str]:
  """Values of a flag, before the flags library reads it."""
  joined = [m[1] for a in argv[1:] if (m := re.match(f"--?{name}=(.*)", a, re.DOTALL))]
  return joined + [b for a, b in itertools.pairwise(argv) if a in (f"--{name}", f"-{name}")]


def _example(config: ConfigDict | None, problem: str) -> str:
  """A right value for the config key that `problem` is about."""
  key = re.match(r"flag --config\.([^=]+)=", problem)
  if not key or config is None:
    return ""
  return f"; a value like {configs.flatten(config)[key[1]]!r} is wanted"


def main(argv: list[str]) -> None:
  del argv
  if not FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # libraries tell every step of theirs otherwise
  logging.get_absl_handler().setFormatter(standard_logging.Formatter("%(levelname)s: %(message)s"))
  config = FLAGS.config
  from mmjax import api  # after the flags, so that --help and wrong flags answer at once
  from mmjax.report.terminal import samples

  try:
    api.set_up(config, _COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _DISTRIBUTED.value)
    if _MODE.value == "train":
      api.train(config, _WORKDIR.value)
    elif _MODE.value == "evaluate":
      scores = api.evaluate(config, _WORKDIR.value, _SPLIT.value, _CHECKPOINT.value)
      for name, value in scores.items():
        print(f"{name:24s} {value:.4f}" if isinstance(value, float) else f"{name:24s} {value}")
      folder = Path(_WORKDIR.value) / "evaluate" / (_SPLIT.value or config.evaluate.split)
      if shown := samples(folder / "predictions.jsonl"):
        print(f"\n{shown}\n\nreport: {folder / 'report.html'}")
    else:
      inputs, step = [_INPUT.value], _CHECKPOINT.value
      sys.exit(api.print_predictions(config, _WORKDIR.value, inputs, step, _OUTPUT.value))
  except api.Preempted as e:
    print(e, file=sys.stderr)
    _leave(api.PREEMPTED)
  except KeyboardInterrupt:
    print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
    _leave(130)
  except configs.ConfigError as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(2)
  except api.ERRORS as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(1)


def _leave(code: int) -> None:
  """Ends with `code` even where JAX's preemption service would wait for the other processes."""
  import jax

  logging.flush()
  sys.stdout.flush()
  sys.stderr.flush()
  if jax.process_count() > 1 and jax.process_index() == 0:
    time.sleep(2)  # process 0 coordinates: without it the others abort before they can leave
  os._exit(code)


if __name__ == "__main__":
  app.run(main, flags_parser=parse)
