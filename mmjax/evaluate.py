"""Decoding a split with a checkpoint, and scoring it."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipelines import pipeline
from data_pipelines.batching import Bucket
from mmjax import experiment, features, pretrained, sharding, splits, train_state
from mmjax.checkpoint import CheckpointError, read_run
from mmjax.config import ConfigError, check_same_run
from mmjax.metrics.registry import NotAvailableError
from mmjax.report.evaluation import write_evaluation
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Prediction:
  """A picture's best hypothesis, and the others with their scores; or what the task has instead."""

  words: Any
  score: float
  others: list[tuple[list[str], float]]


class Evaluator:
  """Runs a task over one split; built once, so that each shape compiles once.

  `buckets` are those of another split, so that all splits share the compiled shapes.
  """

  def __init__(
      self, config: ConfigDict, builder, split: str, task, mesh,
      buckets: Sequence[Bucket] | None = None,
  ):  # fmt: skip
    self.task, self.mesh = task, mesh
    self._config = config
    self.split = splits.load_split(config, builder, split, task)
    options = experiment.data_options(config, mesh, train=False)
    self.plan = self.split.plan(options, train=False, buckets=buckets)
    self.references: list[list[str]] = task.prepare(self.split.references)
    self._check_metric()

  def _check_metric(self) -> None:
    """Raises ConfigError unless `config.evaluate.metric` is a score that rises with quality.

    It is also one where one of `config.evaluate.metrics` cannot be computed here.
    """
    few = self.references[:8]  # CIDEr of one picture alone is 0
    perfect = self.task.perfect(few)
    try:
      worst, best = self.task.score([None] * len(few), few), self.task.score(perfect, few)
    except NotAvailableError as e:
      raise ConfigError(f"config.evaluate.metrics is {self.task.metrics}: {e}") from e
    rising = [name for name in best if best[name] > worst[name]]
    if self._config.evaluate.metric not in rising:
      raise ConfigError(
          f"config.evaluate.metric is {self._config.evaluate.metric!r}; use one of"
          f" {', '.join(rising)}"
      )

  def batches(self):
    """(step, batch on the mesh), each kept record once."""
    loaded = pipeline.batches(
        self.plan,
        self.split.records,
        self.split.tokens,
        threads=self._config.data.threads,
        prefetch=self._config.data.prefetch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    steps = tqdm(range(len(self.plan)), desc=self.split.name, unit="batch", leave=False,
                 disable=True if jax.process_index() else None)  # fmt: skip
    for step in steps:
      yield step, sharding.place_batch(next(loaded), self.mesh)

  def run(self, variables: Any) -> tuple[dict[str, float], list[Prediction | None]]:
    """Scores of decoding, loss and accuracy of teacher forcing; and the best hypotheses.

    The hypotheses are in record order, None where a record was dropped.
    """
    out: list[Prediction | None] = [None] * len(self.references)
    sums: dict[str, np.ndarray] = {}
    for step, batch in self.batches():
      metrics, decoded = self.task.evaluate(variables, batch)
      for name, pair in jax.device_get(metrics).items():
        sums[name] = sums.get(name, np.zeros(2)) + np.asarray(pair, np.float64)
      self._collect(step, _whole(decoded), out)
    words = [p.words if p else None for p in out]
    means = {k: float(total / max(weight, 1)) for k, (total, weight) in sums.items()}
    return self.task.score(words, self.references) | means, out

  def _collect(self, step: int, decoded, out: list) -> None:
    for row, record in enumerate(self.plan[step].records):
      if record >= 0:
        (words, score), *others = self.task.outputs(decoded, row)
        out[record] = Prediction(words, score, others)


def _whole(arrays):
  """Host arrays of all rows, on every process."""
  if jax.process_count() == 1:
    return jax.device_get(arrays)
  return multihost_utils.process_allgather(arrays, tiled=True)


def load_trained(config: ConfigDict, workdir: Path, step: int | None, mesh):
  """(task, variables, vocabulary, step) of a trained workdir, or of published weights.

  `config.init_from` alone, in a workdir without a run, evaluates published weights; their
  vocabulary is that of the data set.

  Raises:
    CheckpointError: there is nothing trained.
    ConfigError: the run has another model than `config`.
  """
  run = read_run(workdir)
  if run is None and not config.init_from:
    raise CheckpointError(f"{workdir} holds no run; train first (--mode=train) or check --workdir")
  if run is not None:
    check_same_run(run["config"], config, workdir, only=("model", "task"))
  if pretrained.chosen(config):
    words: Any = pretrained.vocabulary(config, workdir)
  elif run is None:
    words = splits.vocabulary_of(config, splits.open_dataset(config))
  else:
    words = Vocabulary.from_words(run["vocabulary"])
  task = experiment.make_task(config, words)
  if run is None:
    rates = experiment.make_rates(config, total_steps=2)
    state, shardings = train_state.create(task, rates, mesh, config.seed)
    state = experiment.start_from(config, task, mesh, state, shardings)
    return task, state.variables, words, 0
  variables, at = experiment.restore_trained(workdir, run, task, mesh, step)
  return task, variables, words, at


def evaluate(
    config: ConfigDict, workdir: Path, split: str = "", step: int | None = None
) -> dict[str, float]:
  """Decodes `split` and writes `<workdir>/evaluate/<split>/`: scores, predictions, report.

  Raises:
    CheckpointError: nothing trained, or made with another vocabulary than the data set.
    ConfigError: no such split, or another model than that of the run.
    NotPreparedError: the data set is not there.

  Returns:
    The scores; also `pictures` and `dropped` (over the size limits, counted as wrong), the numbers
    of pictures, and `step`, that of the checkpoint.
  """
  split = split or config.evaluate.split
  mesh = experiment.make_mesh(config)
  builder = splits.open_dataset(config)
  splits.require_split(builder, split)
  task, variables, vocabulary, at = load_trained(config, workdir, step, mesh)
  brought = splits.has_captions(config) or pretrained.chosen(config)  # by the run, to any data set
  data_words = vocabulary if brought else splits.vocabulary_of(config, builder)
  if data_words != vocabulary:
    raise CheckpointError(
        f"{workdir} was trained with {len(vocabulary.words)} words, {config.data.name} has"
        f" {len(data_words.words)}; not in both: "
        f"{sorted(set(vocabulary.words) ^ set(data_words.words))[:8] or 'none, the order differs'};"
        " evaluate on a data set with the vocabulary of the run, or train on this one"
    )
  buckets = [Bucket(*b) for b in (read_run(workdir) or {}).get("evaluation_buckets", [])]
  evaluator = Evaluator(config, builder, split, task, mesh, buckets or None)
  if config.data.cache_features:
    features.attach(config, evaluator.split, task, variables, evaluator.plan.options)
  scores, predictions = evaluator.run(variables)
  dropped = predictions.count(None)
  scores |= {"pictures": len(predictions), "dropped": dropped, "step": at}
  if jax.process_index() == 0:
    folder = workdir / "evaluate" / split
    folder.mkdir(parents=True, exist_ok=True)
    words = [p.words if p else None for p in predictions]
    details = evaluator.task.details(words, evaluator.references)
    _write(folder, evaluator, predictions, scores, details)
    # Others, as the contrastive one, write nothing to show, or have no picture to show it beside.
    if hasattr(evaluator.task, "text") and not evaluator.split.records.blind:
      about = f"checkpoint of step {at}; beam {config.decode.beam}; {len(predictions)} pictures"
      if dropped:
        about += f", {dropped} {_why_dropped(evaluator.split)} and counted as wrong"
      write_evaluation(
          folder,
          workdir,
          evaluator,
          variables,
          predictions,
          scores,
          details,
          title=f"{config.model.name} on {config.data.name}, {split}",
          subtitle=about,
          count=config.evaluate.report_samples,
          notes={"workdir": str(workdir), **experiment.versions()},
      )
  return scores


def _why_dropped(split: splits.Split) -> str:
  beyond = f" or beyond what the model can write ({split.unwritable})" if split.unwritable else ""
  return f"over the size limits{beyond}"


def _write(folder: Path, evaluator: Evaluator, predictions, scores, details) -> None:
  (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
  split = evaluator.split
  with open(folder / "predictions.jsonl", "w") as lines:
    for i, (p, texts) in enumerate(zip(predictions, split.references)):
      row = {
          "id": split.index.ids[i],
          **({"reference": texts[0]} if len(texts) == 1 else {"references": texts}),
          **details[i],
          "score": p.score if p else None,
      }
      lines.write(json.dumps(row, ensure_ascii=False) + "\n")
