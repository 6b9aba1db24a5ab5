"""Checkpoints of a run: the newest few to resume from, and the best by validation."""

import contextlib
import fcntl
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

STATE, META, VARIABLES = "state", "meta", "variables"


class CheckpointError(RuntimeError):
  """A checkpoint that cannot be written, read or used."""


class Checkpoints:
  """`<workdir>/checkpoints` (whole states) and `<workdir>/best` (variables, by a score)."""

  def __init__(self, workdir: Path, *, keep: int = 3, keep_best: int = 2):
    self._workdir = workdir.absolute()
    self._recent = self._manager("checkpoints", max_to_keep=keep)
    self._best = self._manager(
        "best", max_to_keep=keep_best, best_fn=lambda m: m["score"], best_mode="max"
    )

  def _manager(self, folder: str, **options) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        create=True, enable_async_checkpointing=False, **options
    )
    return ocp.CheckpointManager(self._workdir / folder, options=options)

  def save(self, step: int, state: Any, meta: dict) -> None:
    """Writes a whole state; does nothing if that step is there already.

    Raises:
      CheckpointError: the disk is full or not writable; older checkpoints are intact.
    """
    if step in self._recent.all_steps():
      return
    items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
    self._write(self._recent, step, items, state)

  def save_best(self, step: int, variables: Any, meta: dict, score: float) -> None:
    """Writes variables if `score` is among the best.

    Raises:
      CheckpointError: as for `save`.
    """
    if step in self._best.all_steps():
      return
    items = ocp.args.Composite(
        variables=ocp.args.StandardSave(variables), meta=ocp.args.JsonSave(meta)
    )
    self._write(self._best, step, items, variables, metrics={"score": float(score)})

  def _write(self, manager, step: int, items, tree, **kwargs) -> None:
    folder = Path(manager.directory)
    need = sum(x.nbytes for x in jax.tree.leaves(tree))
    free = shutil.disk_usage(folder).free
    remedy = (
        "see that there is room and leave to write, and run the same command again: it resumes at"
        " the newest whole checkpoint"
    )
    if free < need:
      raise CheckpointError(
          f"no room for a checkpoint in {folder}: it takes about {need >> 20} MiB,"
          f" {free >> 20} MiB are free; {remedy}"
      )
    try:
      manager.save(step, args=items, **kwargs)
      manager.wait_until_finished()
    except Exception as e:  # Orbax passes on what its storage layers raise
      raise CheckpointError(
          f"checkpoint {step} could not be written to {folder}: {_first_line(e)};"
          f" older ones are intact; {remedy}"
      ) from e

  def restore(self, target: Any) -> tuple[Any, int] | None:
    """The newest state that reads back whole, and its step; None if there is none at all.

    Broken newer ones are moved to `<workdir>/broken`, and a warning names them; where none is
    whole, all stay where they are.

    Args:
      target: state of shapes with shardings, or of arrays, that tells where each leaf goes.

    Raises:
      CheckpointError: there are checkpoints, but none can be read.
    """
    steps = sorted(self._recent.all_steps(), reverse=True)
    damaged: dict[int, str] = {}
    for step in steps:
      try:
        state = self._read(step, target)
      except Exception as e:  # whatever a damaged file makes the storage layers raise
        damaged[step] = _first_line(e)
        continue
      self._set_aside(damaged, step)
      return state, step
    if damaged:
      raise CheckpointError(
          f"none of the checkpoints {steps} in {self._workdir} can be read with these settings"
          f" ({damaged[steps[0]]}); use those of {self._workdir / 'run.json'}, or another --workdir"
      )
    return None

  def _read(self, step: int, target: Any) -> Any:
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return self._recent.restore(step, args=args)[STATE]

  def _read_variables(self, step: int, target: Any) -> Any:
    return self._read(step, target).variables

  def _set_aside(self, damaged: dict[int, str], whole: int) -> None:
    """Moves checkpoints out of the way of those that training will write anew."""
    for step, why in damaged.items():
      logging.warning(
          "checkpoint %d is damaged (%s): moved to %s; going on from checkpoint %d",
          step, why, self._workdir / "broken", whole,
      )  # fmt: skip
      if jax.process_index() == 0:
        (self._workdir / "broken").mkdir(exist_ok=True)
        place = self._workdir / "broken" / str(step)
        shutil.rmtree(place, ignore_errors=True)
        shutil.move(Path(self._recent.directory) / str(step), place)
    if damaged and jax.process_count() > 1:
      multihost_utils.sync_global_devices("damaged checkpoints moved")
    if damaged:
      self._recent.reload()

  def restore_variables(self, target_state: Any, step: int | None = None) -> tuple[Any, int]:
    """Variables to evaluate: of `step`, else the best by validation, else the newest.

    Raises:
      CheckpointError: there is none, or not that one, or it cannot be read.
    """
    tried = {}
    for at, read in self._candidates(target_state, step):
      try:
        return read(), at
      except Exception as e:
        tried[at] = _first_line(e)
        logging.warning("checkpoint %d cannot be read: %s", at, tried[at])
    if tried:
      raise CheckpointError(f"none of the checkpoints in {self._workdir} can be read: {tried}")
    there = sorted({*self._recent.all_steps(), *self._best.all_steps()})
    if step is not None and there:
      raise CheckpointError(f"no checkpoint of step {step} in {self._workdir}; there are {there}")
    raise CheckpointError(
        f"no checkpoint in {self._workdir}: train first (--mode=train) or check --workdir"
    )

  def _candidates(self, target: Any, step: int | None) -> Iterator[tuple[int, Callable[[], Any]]]:
    """(step, reader of its variables): the best first, then the newest; only `step` if given."""
    args = ocp.args.Composite(variables=ocp.args.StandardRestore(target.variables))
    best = self._best.best_step() if step is None else step
    if best in self._best.all_steps():
      yield best, lambda: self._best.restore(best, args=args)[VARIABLES]
    for newest in sorted(self._recent.all_steps(), reverse=True):
      if step in (None, newest):
        yield newest, functools.partial(self._read_variables, newest, target)

  def latest_step(self) -> int | None:
    return self._recent.latest_step()

  def close(self) -> None:
    self._recent.close()
    self._best.close()


def _first_line(e: Exception) -> str:
  return (str(e).strip().splitlines() or [type(e).__name__])[0][:200]


@contextlib.contextmanager
def only_trainer(workdir: Path) -> Iterator[None]:
  """Holds `workdir`, made if need be, until the end of the block or of the process.

  Raises:
    CheckpointError: another process trains there, or the folder cannot be made.
  """
  if jax.process_index():  # process 0 holds it for all
    yield
    return
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    folder = os.open(workdir, os.O_RDONLY)
  except OSError as e:
    raise CheckpointError(f"--workdir {workdir} cannot be written: {e}") from e
  try:
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as e:
    os.close(folder)
    raise CheckpointError(
        f"another process trains in {workdir}: wait for its end, stop it, or use another --workdir"
    ) from e
  try:
    yield
  finally:
    os.close(folder)
    with contextlib.suppress(OSError):  # nothing was written: leave no empty folder behind
      workdir.rmdir()


def write_run(workdir: Path, run: dict) -> None:
  """Stores what a workdir was made with as `<workdir>/run.json`.

  Raises:
    CheckpointError: the folder cannot be written.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    partial = workdir / "run.json.partial"
    partial.write_text(json.dumps(run, indent=1))
    partial.replace(workdir / "run.json")
  except OSError as e:
    raise CheckpointError(f"--workdir {workdir} cannot be written: {e}") from e


def read_run(workdir: Path) -> dict | None:
  """What a workdir was made with; None for a new one.

  Raises:
    CheckpointError: `run.json` is damaged.
  """
  path = workdir / "run.json"
  if not path.exists():
    return None
  try:
    return json.loads(path.read_text())
  except ValueError as e:
    raise CheckpointError(f"{path} is damaged ({e}); restore it or use another --workdir") from e
