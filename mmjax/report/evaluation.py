"""The report of an evaluated split: which samples it shows, with their attention maps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmjax.report import captions_page, page
from mmjax.report.attention import Seen, attention_maps
from mmjax.report.curves import Curve, read_curves
from mmjax.report.word_errors import word_errors

_CURVES = ("train/loss", "validation/loss", "validation/exprate", "validation/ser")
_CAPTION_CURVES = (
  "train/loss", "validation/loss", "validation/cider", "validation/bleu_4", "validation/meteor",
  "validation/rouge_l")
_CAPTION_SCORES = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l")
# The same number as `cider` under its other name, and one that nobody prints.
_SAME = ("cider_d", "cider_plain")
_UNITS = {"en": "the words of the Penn Treebank's tokenizer", "zh": "the words that jieba cuts"}

T = TypeVar("T")


def chosen_samples(distances: Sequence[int], count: int) -> list[int]:
  """Up to `count` samples: half of them wrong, evenly over the number of errors, half right."""
  order = np.argsort(distances, kind="stable")
  right = [int(i) for i in order if distances[i] == 0]
  wrong = [int(i) for i in order if distances[i] > 0]
  half = max(count // 2, count - len(right))
  picked = _spread(wrong, half)
  return picked + _spread(right, count - len(picked))


def chosen_captions(values: Sequence[float], count: int) -> dict[int, str]:
  """Up to `count` samples with their group: two fifths the worst, a fifth between, the rest best.

  The worst come first, the worst of all at the start; the best of all comes first among the best.
  """
  order = [int(i) for i in np.argsort(values, kind="stable")]
  count = min(count, len(order))
  between = count // 5
  worst = (count - between + 1) // 2
  best = count - between - worst
  middle = order[worst : len(order) - best]
  inside = [middle[(2 * k + 1) * len(middle) // (2 * between)] for k in range(between)]
  return (
    dict.fromkeys(order[:worst], "worst")
    | dict.fromkeys(inside, "between")
    | dict.fromkeys(order[: len(order) - best - 1 : -1] if best else [], "best"))


def _spread(pool: Sequence[T], count: int) -> list[T]:
  """`count` of `pool`, evenly; all of a smaller one."""
  return [pool[int(k)] for k in np.linspace(0, len(pool) - 1, min(count, len(pool)))]


def write_evaluation(
    folder: Path, workdir: Path, evaluator: Any, variables: Any, predictions: Sequence[Any],
    scores: Mapping[str, float], details: Sequence[Mapping[str, Any]], *, title: str,
    subtitle: str, count: int, notes: dict[str, str],
) -> Path:  # fmt: skip
  """Writes `report.html` into `folder`; its path.

  Args:
    workdir: has the `metrics.jsonl` of the curves.
    evaluator: split, plan, task and mesh of the evaluation.
    predictions: of each record, in record order; None where it was dropped.
    details: what the file of predictions says of each record.
    count: most samples to show.
  """
  curves = read_curves(workdir / "metrics.jsonl")
  shown = {k: v for k, v in scores.items() if isinstance(v, float)}
  if hasattr(evaluator.task, "language"):
    first = {k: shown[k] for k in _CAPTION_SCORES if k in shown}
    rest = {k: v for k, v in shown.items() if k not in first and k not in _SAME}
    language = evaluator.task.language
    unit = f"CIDEr, BLEU, METEOR and ROUGE-L are times 100, of {_UNITS[language]}."
    references = evaluator.split.references
    words = [p.words if p else None for p in predictions]
    errors = word_errors(evaluator.split.index.ids, words, references, language)
    captions = _captions(evaluator, variables, predictions, details, count)
    return captions_page.write_report(folder, captions_page.Report(
      title, subtitle, first | rest, unit, _named(curves, _CAPTION_CURVES), captions, errors,
      language, notes))
  samples = _formulas(evaluator, variables, predictions, details, count)
  return page.write_report(
    folder, page.Report(title, subtitle, shown, samples, _named(curves, _CURVES), notes))


def _named(curves: Mapping[str, list[tuple[int, float]]], names: Sequence[str]) -> tuple:
  return tuple(
    Curve(name, [s for s, _ in curves[name]], [v for _, v in curves[name]])
    for name in names if name in curves)


def _seen(evaluator, variables, predictions, picked) -> dict[int, Seen]:
  written = {i: predictions[i].words for i in picked if predictions[i]}
  return attention_maps(
    evaluator.task, variables, evaluator.mesh, evaluator.plan, evaluator.split.records, written)


def _formulas(evaluator, variables, predictions, details, count) -> tuple[page.Sample, ...]:
  distances = [row["distance"] for row in details]
  picked = chosen_samples(distances, count)
  seen = _seen(evaluator, variables, predictions, picked)
  samples = []
  for i in picked:
    p = predictions[i]
    picture, maps = seen.get(i, (evaluator.split.records.picture(i), None))
    samples.append(page.Sample(
      id=evaluator.split.index.ids[i],
      picture=picture,
      reference=" ".join(evaluator.references[i]),
      hypothesis=" ".join(p.words) if p else None,
      score=p.score if p else -math.inf,
      distance=distances[i],
      attention=maps,
      tokens=tuple(evaluator.task.step_names(p.words)) if maps is not None else (),
    ))
  return tuple(samples)


def _captions(
    evaluator, variables, predictions, details, count
) -> tuple[captions_page.Sample, ...]:
  rows = [{k: v for k, v in row.items() if isinstance(v, float)} for row in details]
  scores = [{k: row[k] for k in ("cider", *row) if k in row and k not in _SAME} for row in rows]
  values = [next(iter(s.values()), 0.0) for s in scores]
  picked = chosen_captions(values, count)
  seen = _seen(evaluator, variables, predictions, picked)
  samples = []
  for i, group in picked.items():
    p = predictions[i]
    picture, maps = seen.get(i, (evaluator.split.records.picture(i), None))
    samples.append(captions_page.Sample(
      id=evaluator.split.index.ids[i],
      picture=picture,
      references=tuple(evaluator.split.references[i]),
      hypothesis=evaluator.task.text(p.words) if p else None,
      words=tuple(p.words) if p else (),
      score=p.score if p else -math.inf,
      scores=scores[i],
      others=tuple((evaluator.task.text(w), s) for w, s in p.others) if p else (),
      group=group,
      attention=maps,
    ))
  return tuple(samples)
