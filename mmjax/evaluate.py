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
from mmjax import experiment, pretrained, sharding, train_state
from mmjax.checkpoint import CheckpointError, Checkpoints, read_run
from mmjax.config import ConfigError, check_same_run, from_dict
from mmjax.metrics.exprate import per_sample
from mmjax.metrics.registry import NotAvailableError
from mmjax.report.evaluation import write_evaluation
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Prediction:
  """A picture's best hypothesis."""

  words: list[str]
  score: float


class Evaluator:
  """Runs a task over one split; built once, so that each shape compiles once.

  `buckets` are those of another split, so that all splits share the compiled shapes.
  """

  def __init__(
      self, config: ConfigDict, builder, split: str, vocabulary: Any, task, mesh,
      buckets: Sequence[Bucket] | None = None,
  ):  # fmt: skip
    self.task, self.mesh = task, mesh
    self._vocabulary, self._config = vocabulary, config
    self.split = experiment.load_split(config, builder, split, vocabulary)
    options = experiment.data_options(config, mesh, train=False)
    self.plan = self.split.plan(options, train=False, buckets=buckets)
    self._check_metric()

  def _check_metric(self) -> None:
    """Raises ConfigError unless `config.evaluate.metric` is a score that rises with quality.

    It is also one where one of `config.evaluate.metrics` cannot be computed here.
    """
    reference = self.references[:1]
    try:
      worst, best = self.task.score([None], reference), self.task.score(reference, reference)
    except NotAvailableError as e:
      raise ConfigError(f"config.evaluate.metrics is {self.task.metrics}: {e}") from e
    rising = [name for name in best if best[name] > worst[name]]
    if self._config.evaluate.metric not in rising:
      raise ConfigError(
          f"config.evaluate.metric is {self._config.evaluate.metric!r}; use one of"
          f" {', '.join(rising)}"
      )

  @property
  def references(self) -> list[list[str]]:
    return [text.split() for text in self.split.index.texts]

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
    out: list[Prediction | None] = [None] * len(self.split.index.texts)
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
        words = self._vocabulary.decode(decoded.tokens[row, 0, : decoded.lengths[row, 0]])
        out[record] = Prediction(words, float(decoded.scores[row, 0]))


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
    words = experiment.vocabulary_of(experiment.open_dataset(config))
  else:
    words = Vocabulary.from_words(run["vocabulary"])
  task = experiment.make_task(config, words)
  rates = experiment.make_rates(from_dict(run["config"]) if run else config, total_steps=2)
  if run is None:
    state, shardings = train_state.create(task, rates, mesh, config.seed)
    return task, experiment.start_from(config, state, shardings).variables, words, 0
  state, _ = train_state.create(task, rates, mesh, config.seed)
  checkpoints = Checkpoints(workdir)
  try:
    variables, at = checkpoints.restore_variables(state, step)
  finally:
    checkpoints.close()
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
  builder = experiment.open_dataset(config)
  experiment.require_split(builder, split)
  task, variables, vocabulary, at = load_trained(config, workdir, step, mesh)
  data_words = experiment.words_of(config, builder, workdir)
  if data_words != vocabulary:
    raise CheckpointError(
        f"{workdir} was trained with {len(vocabulary.words)} words, {config.data.name} has"
        f" {len(data_words.words)}; not in both: "
        f"{sorted(set(vocabulary.words) ^ set(data_words.words))[:8] or 'none, the order differs'};"
        " evaluate on a data set with the vocabulary of the run, or train on this one"
    )
  buckets = [Bucket(*b) for b in (read_run(workdir) or {}).get("evaluation_buckets", [])]
  evaluator = Evaluator(config, builder, split, vocabulary, task, mesh, buckets or None)
  scores, predictions = evaluator.run(variables)
  dropped = predictions.count(None)
  scores |= {"pictures": len(predictions), "dropped": dropped, "step": at}
  if jax.process_index() == 0:
    folder = workdir / "evaluate" / split
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, evaluator, predictions, scores)
    write_evaluation(
        folder,
        workdir,
        evaluator,
        variables,
        predictions,
        scores,
        title=f"{config.model.name} on {config.data.name}, {split}",
        subtitle=f"checkpoint of step {at}; beam {config.decode.beam or 'of the model'};"
        f" {len(predictions)} pictures"
        + (f", {dropped} over the size limits and counted as wrong" if dropped else ""),
        count=config.evaluate.report_samples,
        notes={"workdir": str(workdir), **experiment.versions()},
    )
  return scores


def _write(folder: Path, evaluator: Evaluator, predictions, scores: dict[str, float]) -> None:
  (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
  index = evaluator.split.index
  with open(folder / "predictions.jsonl", "w") as lines:
    for i, reference in enumerate(evaluator.references):
      p = predictions[i]
      words = p.words if p else None
      row = {
          "id": index.ids[i],
          "reference": index.texts[i],
          "hypothesis": " ".join(p.words) if p else None,
          "score": p.score if p else None,
          **per_sample(words, reference),
      }
      lines.write(json.dumps(row, ensure_ascii=False) + "\n")
