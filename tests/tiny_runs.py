"""A tiny experiment, run in processes of its own; used by tests/resume and tests/multi_device."""

import contextlib
import functools
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = pathlib.Path(__file__).parent.parent
STEPS = 12  # 2 epochs of 6; checkpoints at 4, 6, 8 and 12, validation at 6 and 12
LONG = "--config.train.epochs=5"
LONG_STEPS = 30
CONFIG = """
from configs import tiny
from configs.crohme import bttr_small


def get_config():
  c = tiny.tiny(bttr_small.get_config())  # AdamW, dropout
  c.data.name = "synthetic"
  c.data.dir = {data_dir!r}
  c.data.scale_range = (0.9, 1.1)
  c.data.in_memory = False
  c.optim.schedule = "constant"
  c.optim.eps = 1e-4  # of parameters without a gradient (key biases) Adam would amplify the noise
  c.optim.ema = 0.9
  c.optim.plateau_factor = 0.5
  c.optim.plateau_patience = 0
  c.train.epochs = 2
  c.checkpoint.every_steps = 4
  c.checkpoint.keep = 20
  return c
"""


def config_file(data_dir: pathlib.Path) -> pathlib.Path:
  """The experiment as a file beside `data_dir`."""
  path = data_dir.parent / "tiny_run.py"
  path.write_text(CONFIG.format(data_dir=str(data_dir)))
  return path


def start(
    data_dir: pathlib.Path, workdir: pathlib.Path, *flags: str, name: str = "run"
) -> subprocess.Popen:
  """Starts training; its standard error goes to `<workdir>.<name>.log`."""
  command = [sys.executable, "-m", "mmjax.main", f"--config={config_file(data_dir)}"]
  with open(f"{workdir}.{name}.log", "w") as log:
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *flags],
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )


@contextlib.contextmanager
def all_ended(processes: Iterable[subprocess.Popen]) -> Iterator[None]:
  """Leaves no process behind, whatever fails inside."""
  try:
    yield
  finally:
    for process in processes:
      process.kill()
      process.wait()


def finish(process: subprocess.Popen, workdir: pathlib.Path, code: int, name: str = "run") -> str:
  """What a process that must end with `code` said."""
  with all_ended([process]):
    process.wait(timeout=300)
  said = pathlib.Path(f"{workdir}.{name}.log").read_text()
  assert process.returncode == code, said[-3000:]
  return said


def signal_at(step: int, runs: list[tuple[subprocess.Popen, pathlib.Path, int]]) -> None:
  """Sends each process its signal once it reports `step`; runs log every step."""
  while runs:
    for run in list(runs):
      process, workdir, number = run
      lines = workdir / "metrics.jsonl"
      if lines.exists() and f'"step": {step},' in lines.read_text():
        process.send_signal(number)
        runs.remove(run)
      assert process.poll() is None or run not in runs, f"{workdir} ended before step {step}"
    time.sleep(0.01)


@functools.cache
def whole_run(data_dir: pathlib.Path) -> pathlib.Path:
  """The workdir of a long run that one process with one device made without a break."""
  workdir = data_dir.parent / "whole"
  finish(start(data_dir, workdir, LONG), workdir, 0)
  return workdir


def saved(workdir: pathlib.Path, step: int) -> dict[str, np.ndarray]:
  """All arrays of the state at `step` by name, wherever they lived."""
  folder = workdir / "checkpoints" / str(step) / "state"
  reader = ocp.PyTreeCheckpointer()
  tree = reader.metadata(folder).item_metadata.tree
  as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
  state = reader.restore(folder, restore_args=as_numpy)
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves}


def assert_same_state(one: pathlib.Path, other: pathlib.Path, step: int, tolerance: float) -> None:
  """Compares parameters, averages, statistics, optimizer and plateau of two runs at `step`."""
  a, b = saved(one, step), saved(other, step)
  assert a.keys() == b.keys() and len(a) > 200
  for name in a:
    np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)


def free_port() -> int:
  with socket.socket() as s:
    s.bind(("localhost", 0))
    return s.getsockname()[1]
