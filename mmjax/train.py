"""The training loop: stages in order; it knows tasks and steps, never models."""

import json
import signal
import threading
import time
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from data_pipelines import pipeline
from data_pipelines.batching import Plan
from mmjax import config as configs
from mmjax import (
  experiment,
  features,
  optim,
  pretrained,
  rewarding,
  sharding,
  splits,
  train_state,
  unpaired,
)
from mmjax.checkpoint import CheckpointError, Checkpoints, only_trainer, read_run, write_run
from mmjax.evaluate import Evaluator
from mmjax.progress import Progress
from mmjax.writers import Writer

PREEMPTED = 75  # exit code of a run that was told to stop, saved, and wants to be started again


class Diverged(RuntimeError):
  """The loss or a gradient is not finite."""


class Preempted(RuntimeError):
  """The process was asked to end; the state is saved."""


def train(config: ConfigDict, workdir: Path) -> dict[str, float]:
  """Trains, or goes on with, the run in `workdir`.

  Returns:
    The last validation scores.

  Raises:
    ConfigError, CheckpointError, NotPreparedError, WeightsError: what is wrong and the remedy.
    Diverged: a step was not finite; names it and its records.
    Preempted: SIGTERM came; the state is saved.
  """
  with only_trainer(workdir):
    return _train(config, workdir)


def _train(config: ConfigDict, workdir: Path) -> dict[str, float]:
  # Mesh.
  mesh = experiment.make_mesh(config)
  main_process = jax.process_index() == 0

  # Data.
  stored = read_run(workdir)
  if stored:
    configs.check_same_run(stored["config"], config, workdir)
  builder = splits.open_dataset(config)
  vocabulary = splits.words_of(config, builder, workdir)
  if stored and tuple(stored["vocabulary"]) != vocabulary.words:
    theirs, ours = set(stored["vocabulary"]), set(vocabulary.words)
    raise CheckpointError(
        f"the run in {workdir} was made with another vocabulary ({len(theirs)} words, now"
        f" {len(ours)}; only there: {sorted(theirs - ours)[:5]}, only now:"
        f" {sorted(ours - theirs)[:5]}); use that data set or another --workdir"
    )
  task = experiment.make_task(config, vocabulary)
  split = splits.load_training_split(config, builder, task)
  task = rewarding.attach(config, task, split, mesh)
  task = unpaired.attach(config, task)
  plan = split.plan(
      experiment.data_options(config, mesh, train=True),
      train=True,
      seed=config.seed,
      epochs=config.train.epochs,
  )
  unscaled = split.plan(experiment.data_options(config, mesh, train=False), train=False)

  # Model.
  rates = experiment.make_rates(config, len(plan))

  # State.
  state, shardings = train_state.create(task, rates, mesh, config.seed)

  # Restore.
  checkpoints = Checkpoints(
      workdir, keep=config.checkpoint.keep, keep_best=config.checkpoint.keep_best
  )
  found = checkpoints.restore(state)
  state, start = found if found else (state, 0)
  if not found:
    state = experiment.start_from(config, task, mesh, state, shardings)
  run = {
      "config": configs.to_dict(config),
      "vocabulary": list(vocabulary.words),
      "buckets": plan.buckets,
      "evaluation_buckets": unscaled.buckets,
      "versions": experiment.versions(),
  }

  # Step.
  where, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
  step_fn = jax.jit(
      train_state.make_update(task, rates),
      in_shardings=(shardings, where, everywhere),
      out_shardings=(shardings, everywhere),
      donate_argnums=0,
  )
  make_key = jax.jit(lambda: jax.random.key(config.seed + 1), out_shardings=everywhere)
  key = make_key()  # on all devices: nothing moves between them at a step

  # Evaluators.
  evaluator = Evaluator(
      config, builder, config.evaluate.split, task, mesh, unscaled.buckets
  )
  if config.data.cache_features:
    for each in (split, evaluator.split):
      features.attach(config, each, task, state.variables, evaluator.plan.options)
  if main_process:  # all of the config has proved usable
    write_run(workdir, run)
    if pretrained.chosen(config):
      pretrained.keep(vocabulary, workdir)

  # Loop.
  loop = _Loop(config, workdir, plan, checkpoints, main_process, run)
  loop.introduce(split, state, start)
  scores: dict[str, float] = {}
  with _StopSignal() as stop, loop.writer_open():
    batches = pipeline.batches(
        plan,
        split.records,
        split.tokens,
        start=start,
        threads=config.data.threads,
        prefetch=config.data.prefetch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    for step in range(start, len(plan)):
      before = time.perf_counter()
      batch = sharding.place_batch(next(batches), mesh)
      loop.progress.waited(time.perf_counter() - before)
      loop.profile(step - start)
      with jax.set_mesh(mesh), jax.transfer_guard("disallow"):
        state, metrics = step_fn(state, batch, key)
      loop.count(step, metrics)

      done = step + 1
      last = done == len(plan)
      epoch_ends = done == plan.starts[plan.epoch(step) + 1]
      every = config.evaluate.every_epochs
      evaluates = last or (epoch_ends and (plan.epoch(step) + 1) % every == 0)
      if done % config.log.every_steps == 0 or evaluates:
        loop.report(done, step_fn)
      if evaluates:
        scores, _ = evaluator.run(state.variables)
        state = _plateau(config, state, scores, mesh)
        loop.validated(done, scores)
        checkpoints.save_best(done, state.variables, run, scores[config.evaluate.metric])
      stopping = stop.agreed(done)
      if last or stopping or evaluates or done % config.checkpoint.every_steps == 0:
        loop.report(done, step_fn)  # a state that is not finite is never saved
        checkpoints.save(done, state, {"step": done})
        loop.progress.reset()
      if stopping and not last:
        checkpoints.close()
        raise Preempted(f"stopped at step {done}, saved; run the same command to go on")

  # Finish.
  checkpoints.close()
  if start >= len(plan):
    loop.progress.say(f"already trained to step {start}; nothing to do")
  return scores


def _plateau(config, state, scores, mesh):
  if not config.optim.plateau_factor:
    return state
  plateau = optim.update_plateau(
      state.plateau,
      scores[config.evaluate.metric],
      factor=config.optim.plateau_factor,
      patience=config.optim.plateau_patience,
  )
  return state.replace(plateau=jax.device_put(plateau, sharding.replicated(mesh)))


class _StopSignal:
  """Remembers SIGTERM; all processes agree on the step at which they stop."""

  def __enter__(self):
    self._asked = False
    # With several processes JAX's own preemption service listens for the signal.
    self._mine = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
    if self._mine:
      self._old = signal.signal(signal.SIGTERM, self._remember)
    return self

  def __exit__(self, *_):
    if self._mine:
      signal.signal(signal.SIGTERM, self._old)

  def _remember(self, *_):
    self._asked = True

  def agreed(self, step: int) -> bool:
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(step)
    return self._asked


class _Loop:
  """What the loop reports, and when it gives up."""

  def __init__(self, config, workdir: Path, plan: Plan, checkpoints, active: bool, run: dict):
    self._config, self._workdir, self._plan = config, workdir, plan
    self._checkpoints, self._active, self._run = checkpoints, active, run
    self._pending: list[tuple[int, dict]] = []
    self._tracing = False
    self.progress = Progress(len(plan), active=active)

  def writer_open(self):
    self._writer = Writer(self._workdir, active=self._active)
    self._writer.hparams(configs.flatten(self._config))
    return self._writer

  def introduce(self, split, state, start: int) -> None:
    self._ids = split.index.ids
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    shapes = ", ".join(f"{b.height}x{b.width}/{b.length}" for b in self._plan.buckets)
    blind = split.records.blind
    what = "sentences of the corpus" if blind else f"pictures of {self._config.data.name}"
    why = "without a concept" if blind else "that the model cannot write"
    self.progress.say(
        f"{self._config.model.name}: {parameters:,} parameters; {len(self._plan.records):,}"
        f" {what}/{split.name}"
        f" ({len(self._plan.dropped) - split.unwritable} over the size limits dropped"
        + (f", {split.unwritable} {why}" if split.unwritable else "")
        + ");"
        f" {self._config.train.epochs} epochs, {len(self._plan):,} steps\n"
        f"buckets (height x width / tokens; each compiles when it first comes): {shapes};"
        f" padding waste {self._plan.padding_waste():.1%}\n"
        f"{jax.device_count()} {jax.devices()[0].platform} device(s),"
        f" {jax.process_count()} process(es)"
        + (f"; going on from step {start:,}" if start else "")
    )

  def profile(self, steps_done: int) -> None:
    """Traces `config.profile` steps, after the first ones have compiled."""
    first = 5
    if self._config.profile and steps_done == first:
      jax.profiler.start_trace(str(self._workdir / "profile"))
      self._tracing = True
    if self._tracing and steps_done == first + self._config.profile:
      jax.profiler.stop_trace()
      self._tracing = False
      self.progress.say(f"trace in {self._workdir / 'profile'} (tensorboard --logdir)")

  def count(self, step: int, metrics: dict) -> None:
    batch = self._plan[step]
    real = batch.records >= 0
    canvas = batch.bucket.height * batch.bucket.width * len(real)
    self.progress.batch(int(real.sum()), int(batch.sizes[real].prod(-1).sum()), canvas)
    self._pending.append((step, metrics))

  def report(self, done: int, step_fn) -> None:
    """Fetches the metrics of the steps since the last report, checks them and writes them."""
    if not self._pending:
      return
    fetched = jax.device_get(self._pending)
    self._pending = []
    for step, metrics in fetched:
      if not metrics["finite"][0]:
        raise Diverged(self._diverged(step))
    means = {}
    for name in fetched[0][1]:
      total, weight = np.sum([m[name] for _, m in fetched], 0)
      means[name] = float(total / max(weight, 1e-9))
    del means["finite"]
    rates = self.progress.rates()
    epoch = self._plan.epoch(done - 1)
    starts = self._plan.starts
    part = epoch + (done - starts[epoch]) / (starts[epoch + 1] - starts[epoch])
    self.progress.show(done, part, means["loss"], rates)
    values = means | rates | {"epoch": part, "compiled_shapes": float(step_fn._cache_size())}
    self._writer.scalars(done, {f"train/{k}": v for k, v in values.items()})
    self.progress.reset()

  def validated(self, done: int, scores: dict[str, float]) -> None:
    self._writer.scalars(done, {f"validation/{k}": v for k, v in scores.items()})
    text = "  ".join(f"{k} {v:.4f}" for k, v in scores.items() if not k.startswith("normalised"))
    self.progress.say(f"validation at step {done}: {text}")
    self.progress.reset()

  def _diverged(self, step: int) -> str:
    ids = [self._ids[r] for r in self._plan[step].records if r >= 0]
    good = self._checkpoints.latest_step()
    told = self._workdir / "diverged.json"
    if self._active:
      told.write_text(json.dumps({"step": step + 1, "records": ids, "last_good": good}) + "\n")
    return (
        f"step {step + 1} gave a loss or gradient that is not finite; its records are"
        f" {', '.join(ids)} (also in {told}); the last good checkpoint is"
        f" {f'step {good}' if good is not None else 'none yet'};"
        " lower optim.lr and go on, or start anew with optim.clip"
    )
