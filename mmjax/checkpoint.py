"""Checkpoints of a run: the newest few to resume from, and the best by validation."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

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
        "free some space and run the same command again; it resumes at the newest whole checkpoint"
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
      raise CheckpointError(f"checkpoint {step} could not be written to {folder}: {e}; {remedy}") from e

  def restore(self, target: Any) -> tuple[Any, int] | None:
    """The newest state that reads back whole, and its step; None if there is none at all.

    A broken newer one is moved to `<workdir>/broken`, and a warning names it.

    Args:
      target: state of shapes with shardings, or of arrays, that tells where each leaf goes.

    Raises:
      CheckpointError: there are checkpoints, but none can be read.
    """
    steps = sorted(self._recent.all_steps(), reverse=True)
    for step in steps:
      try:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        return self._recent.restore(step, args=args)[STATE], step
      except Exception as e:  # whatever a damaged file makes the storage layers raise
        logging.warning("checkpoint %d is damaged (%s): moved to %s", step, _first_line(e), "broken/")
        if jax.process_index() == 0:
          broken = self._workdir / "broken"
          broken.mkdir(exist_ok=True)
          shutil.move(Path(self._recent.directory) / str(step), broken / str(step))
        self._recent.reload()
    if steps:
      raise CheckpointError(
          f"none of the checkpoints {steps} in {self._workdir} can be read; they were moved to"
          " broken/; use an empty --workdir to start again"
      )
    return None

  def restore_variables(self, target_state: Any, step: int | None = None) -> tuple[Any, int]:
    """Variables to evaluate: of `step`, else the best by validation, else the newest.

    Raises:
      CheckpointError: there is none, or not that one.
    """
    best = self._best.best_step() if step is None else step
    if best in self._best.all_steps():
      args = ocp.args.Composite(variables=ocp.args.StandardRestore(target_state.variables))
      try:
        return self._best.restore(best, args=args)[VARIABLES], best
      except Exception as e:
        if step is not None:
          raise CheckpointError(f"checkpoint {step} cannot be read: {_first_line(e)}") from e
        logging.warning("best checkpoint %d is damaged (%s): taking the newest", best, _first_line(e))
    if step is not None and step not in self._recent.all_steps():
      there = sorted({*self._recent.all_steps(), *self._best.all_steps()})
      raise CheckpointError(f"no checkpoint of step {step} in {self._workdir}; there are {there}")
    if step is not None:
      args = ocp.args.Composite(state=ocp.args.StandardRestore(target_state))
      return self._recent.restore(step, args=args)[STATE].variables, step
    found = self.restore(target_state)
    if found is None:
      raise CheckpointError(
          f"no checkpoint in {self._workdir}: train first (--mode=train) or check --workdir"
      )
    return found[0].variables, found[1]

  def latest_step(self) -> int | None:
    return self._recent.latest_step()

  def close(self) -> None:
    self._recent.close()
    self._best.close()


def _first_line(e: Exception) -> str:
  return (str(e).strip().splitlines() or [type(e).__name__])[0][:200]


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
