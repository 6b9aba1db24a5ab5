"""The report of an evaluated split: which samples it shows, with their attention maps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.pipeline import LoadBatch
from mmjax import sharding
from mmjax.metrics.exprate import per_sample
from mmjax.report.curves import Curve, read_curves
from mmjax.report.page import Report, Sample, write_report

_CURVES = ("train/loss", "validation/loss", "validation/exprate", "validation/ser")


def chosen_samples(distances: Sequence[int], count: int) -> list[int]:
  """Up to `count` samples: half of them wrong, evenly over the number of errors, half right."""
  order = np.argsort(distances, kind="stable")
  right = [int(i) for i in order if distances[i] == 0]
  wrong = [int(i) for i in order if distances[i] > 0]
  half = max(count // 2, count - len(right))
  spread = lambda pool, n: [pool[int(k)] for k in np.linspace(0, len(pool) - 1, min(n, len(pool)))]
  picked = spread(wrong, half)
  return picked + spread(right, count - len(picked))


def write_evaluation(
    folder: Path, workdir: Path, evaluator: Any, variables: Any, predictions: Sequence[Any],
    scores: dict[str, float], *, title: str, subtitle: str, count: int, notes: dict[str, str],
) -> Path:  # fmt: skip
  """Writes `report.html` into `folder`; its path.

  Args:
    workdir: has the `metrics.jsonl` of the curves.
    evaluator: split, plan, task and mesh of the evaluation.
    predictions: of each record, in record order; None where it was dropped.
    count: most samples to show.
  """
  references, index = evaluator.references, evaluator.split.index
  words = [p.words if p else None for p in predictions]
  distances = [per_sample(w, r)["distance"] for w, r in zip(words, references)]
  picked = chosen_samples(distances, count)
  seen = attention_maps(evaluator, variables, {i: predictions[i] for i in picked if predictions[i]})
  samples = []
  for i in picked:
    p = predictions[i]
    picture, maps = seen.get(i, (evaluator.split.records.picture(i), None))
    samples.append(
        Sample(
            id=index.ids[i],
            picture=picture,
            reference=" ".join(references[i]),
            hypothesis=" ".join(p.words) if p else None,
            score=p.score if p else -math.inf,
            distance=distances[i],
            attention=maps,
            tokens=(*p.words, "end") if maps is not None else (),
        )
    )
  curves = tuple(
      Curve(name, [s for s, _ in points], [v for _, v in points])
      for name, points in read_curves(workdir / "metrics.jsonl").items()
      if name in _CURVES
  )
  shown = {k: v for k, v in scores.items() if isinstance(v, float)}
  return write_report(folder, Report(title, subtitle, shown, tuple(samples), curves, notes))


def attention_maps(
    evaluator, variables, predictions: dict[int, Any]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
  """Each picture as the model sees it, and the attention [tokens + 1, h, w] over its cells."""
  if evaluator.task.attention is None:
    return {}
  if jax.process_count() > 1:  # the other processes are not here to compute their part
    return {}
  vocabulary = evaluator.task.vocabulary
  records = evaluator.split.records
  load = LoadBatch(records, [[]] * len(records.ids), 0, 1)
  longest = max((len(p.words) for p in predictions.values()), default=0)
  seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
  for step in range(len(evaluator.plan)):
    planned = evaluator.plan[step]
    rows = [(row, int(r)) for row, r in enumerate(planned.records) if r in predictions]
    if not rows:
      continue
    tokens = np.zeros((len(planned.records), longest), np.int32)
    lengths = np.zeros(len(planned.records), np.int32)
    for row, record in rows:
      words = predictions[record].words
      tokens[row, : len(words)] = vocabulary.encode(words)
      lengths[row] = len(words)
    arrays = load.map(planned) | {"written": tokens, "written_length": lengths}
    batch = sharding.place_batch(arrays, evaluator.mesh)
    weights = jax.device_get(
        evaluator.task.attention(variables, batch, batch["written"], batch["written_length"])
    )
    stride = planned.bucket.height // weights.shape[2]
    for row, record in rows:
      height, width = map(int, planned.sizes[row])
      cells = weights[row, : lengths[row] + 1, : -(-height // stride), : -(-width // stride)]
      seen[record] = arrays["image"][row, :height, :width, 0], cells
  return seen
