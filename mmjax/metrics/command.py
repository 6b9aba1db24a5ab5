"""Scores of files, as a table or as JSON."""

import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmjax.metrics import bootstrap, files, preparation, registry
from mmjax.metrics.measured import Measured
from mmjax.metrics.registry import Choice, NotAvailableError


class Options(NamedTuple):
  """How to score; see `python -m mmjax.metrics --help`."""

  language: preparation.Language
  unit: preparation.Unit
  intervals: bool
  samples: int
  seed: int


class Result(NamedTuple):
  """Everything that was found, ready to be printed.

  Attributes:
    scores: {name: value}; not a number where it has none.
    intervals: {name: (low, high)}, of those that have one.
    differences: of the second system, where there is one.
    per_sample: {name: value of each sample}.
    not_available: {metric: why}.
    ids: of the samples.
    notes: what a reader of the scores should know.
  """

  scores: dict[str, float]
  intervals: dict[str, bootstrap.Interval]
  differences: dict[str, bootstrap.Difference]
  per_sample: dict[str, np.ndarray]
  not_available: dict[str, str]
  ids: list[str]
  notes: list[str]


def score(
    choices: Sequence[Choice],
    references: files.Texts,
    systems: Sequence[files.Texts],
    options: Options,
    given: dict[str, Any],
) -> Result:
  """Scores one system, or two of them against each other.

  Raises:
    ValueError: the files are not about the same samples, or cannot be scored.
  """
  notes = [*references.notes]
  written, dropped = [], []
  for system in systems:
    ids, texts, sets = files.align(references.texts, system.texts)
    written.append(sets)
    dropped.append([name in system.dropped for name in ids])
    notes += system.notes
    most = max(map(len, sets))
    if most > 1:
      notes.append(f"up to {most} hypotheses a sample: the first is scored, diversity takes all")
  if len(ids) == 1 and any(choice.name == "cider" for choice in choices):
    notes.append("CIDEr of one picture alone is 0: it weighs words by the pictures they are in")

  @functools.cache  # several metrics want the same
  def prepared(kind: registry.Preparation) -> tuple[preparation.Sets, list[preparation.Sets]]:
    return preparation.prepare(kind, options.language, options.unit, texts, written)

  result = Result({}, {}, {}, {}, {}, ids, notes)
  for choice in choices:
    kind = choice.metric.preparation
    extra = given | {"ids": ids}
    try:
      if "train_captions" in choice.metric.optional and given["train_captions"]:
        training = [given["train_captions"]]
        (captions,), _ = preparation.prepare(kind, options.language, options.unit, training, [])
        extra["train_captions"] = set(captions)
      ready, hypotheses = prepared(kind)
      found = _measure(choice.metric, ready, hypotheses, dropped, extra)
    except NotAvailableError as e:
      result.not_available[choice.name] = str(e)
    except ValueError as e:
      raise ValueError(f"{choice.name}: {e}") from e
    else:
      _add(result, choice, found, options)
  return result


class _Found(NamedTuple):
  """What a metric says of one system."""

  measured: Measured
  corpus: dict[str, float]  # of what does not add up


def _measure(
    metric: registry.Metric, references: preparation.Sets, systems: list[preparation.Sets],
    dropped: list[list[bool]], given: dict[str, Any],
) -> list[_Found]:  # fmt: skip
  """What a metric says of each system."""
  out = []
  for sets, gone in zip(systems, dropped):
    first: list[str | None] = [texts[0] for texts in sets]
    if metric.preparation == "formula":  # wrong even where writing nothing would be near
      first = [None if skipped else text for skipped, text in zip(gone, first)]
    measured = registry.measure(metric, references, first, **given, sets=sets)
    out.append(_Found(measured, registry.corpus(metric, sets)))
  return out


def _add(result: Result, choice: Choice, found: Sequence[_Found], options: Options) -> None:
  measured, corpus = found[0]
  scores = measured.corpus() | corpus
  beside = choice.metric.beside
  wanted = [n for n in scores if n in (choice.scores or scores) or n.startswith(beside)]
  for name in choice.scores or choice.metric.scores:
    if name not in scores:
      result.not_available[name] = choice.metric.missing.get(
          name, f"{choice.metric.module} gives {', '.join(scores)} here")  # fmt: skip
  keep = lambda values: {name: values[name] for name in values if name in wanted}
  draws: dict[str, Any] = {"samples": options.samples, "seed": options.seed}
  result.scores.update(keep(scores))
  result.per_sample.update(keep(measured.samples()))
  if options.intervals:
    result.intervals.update(keep(bootstrap.intervals(measured, **draws)))
  if len(found) > 1:
    result.differences.update(keep(bootstrap.compare(measured, found[1].measured, **draws)))


def as_json(result: Result, options: Options) -> str:
  """One object: the scores by name, and beside them how they were made."""
  out: dict[str, Any] = {name: _finite(value) for name, value in result.scores.items()}
  if options.intervals:
    out["intervals"] = {k: [_finite(v) for v in pair] for k, pair in result.intervals.items()}
  if result.differences:
    out["compare"] = {
        name: {
            "difference": _finite(d.difference),
            "interval": [_finite(v) for v in d.interval],
            "p_value": d.p_value,
        }
        for name, d in result.differences.items()
    }
  out |= {
      "samples": len(result.ids),
      "language": options.language,
      "unit": options.unit,
      "resamples": options.samples,
      "seed": options.seed,
      "not_available": result.not_available,
      "notes": result.notes,
  }
  return json.dumps(out, ensure_ascii=False)


def as_table(result: Result, options: Options) -> str:
  """The scores as aligned lines, and what a reader should know."""
  head = ["metric", "score"]
  columns: list[Callable[[str], str]] = [str, lambda name: _number(result.scores[name])]
  if options.intervals:
    head.append("95 % interval")
    columns.append(lambda name: _interval(result.intervals.get(name)))
  of_difference = lambda show: (
      lambda name: show(result.differences[name]) if name in result.differences else "")
  if result.differences:
    head += ["difference", "95 % interval", "p"]
    columns += [
        of_difference(lambda d: f"{d.difference:+.4f}"),
        of_difference(lambda d: _interval(d.interval)),
        of_difference(lambda d: f"{d.p_value:.3f}"),
    ]
  rows = [head, *([column(name) for column in columns] for name in result.scores)]
  widths = [max(map(len, column)) for column in zip(*rows)]
  lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                     for i, (cell, w) in enumerate(zip(row, widths))) for row in rows]  # fmt: skip
  if not result.scores:
    lines = ["nothing could be scored"]
  count = len(result.ids)
  unit = "word" if options.unit == "word" else "character"
  lines += ["", f"{count} sample{'s' * (count != 1)}, language {options.language}, by {unit}"
            + (f", {options.samples} resamples" if options.intervals else "")]  # fmt: skip
  if result.differences:
    lines.append("difference: of --compare less --hyps; p: of a difference so large by chance")
  lines += [f"note: {note}" for note in result.notes]
  lines += [f"{name} not available: {why}" for name, why in result.not_available.items()]
  return "\n".join(lines)


def write_per_sample(path: Path, result: Result) -> None:
  """A JSON line for each sample: its id and its scores."""
  with path.open("w") as lines:
    for i, name in enumerate(result.ids):
      row = {"id": name} | {k: _finite(float(v[i])) for k, v in result.per_sample.items()}
      lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _finite(value: float) -> float | None:
  return float(value) if math.isfinite(value) else None


def _number(value: float) -> str:
  if not math.isfinite(value):
    return "none"
  return f"{value:.4f}" if abs(value) < 1000 else f"{value:.0f}"


def _interval(pair: bootstrap.Interval | None) -> str:
  return f"{_number(pair[0])} to {_number(pair[1])}" if pair else ""
