"""Runs as a comparison wants them: what a workdir says of its model, its training, its scores."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmjax.report.curves import read_curves

Row = dict[str, Any]


class RunError(ValueError):
  """A run that cannot be compared; says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
  """A run and its evaluation.

  Attributes:
    name: that tells it from the others.
    model, data, language: as its config says; captions have a language, formulas "".
    curves: (step, value) pairs of each number of training.
    scores: of each split that was evaluated.
    rows: predictions of the split compared, by id.
  """

  name: str
  model: str
  data: str
  language: str
  curves: dict[str, list[tuple[int, float]]]
  scores: dict[str, dict[str, float]]
  rows: dict[str, Row]


def read_runs(workdirs: Sequence[Path], split: str = "") -> tuple[list[Run], str]:
  """The runs of workdirs, and the split that their predictions are of.

  Args:
    split: by default one that was evaluated in all of them, if possible `validation`.

  Raises:
    RunError: a workdir without a run or an evaluation, no common split, or captions and formulas
      together.
  """
  if len(workdirs) < 2 or len(set(workdirs)) < len(workdirs):
    raise RunError("give the workdirs of two or more runs, each once")
  scores = [_scores(workdir) for workdir in workdirs]
  split = _common(workdirs, scores, split)
  names = [w.name for w in workdirs]
  if len(set(names)) < len(names):
    names = [str(w) for w in workdirs]
  runs = []
  for workdir, name, of_split in zip(workdirs, names, scores):
    config = _json(workdir / "run.json", "train first (--mode=train) or check the path")["config"]
    data = config["data"]
    language = data.get("language", "") if data.get("texts") else ""
    lines = workdir / "evaluate" / split / "predictions.jsonl"
    runs.append(Run(
      name, config["model"]["name"], data["name"], language,
      read_curves(workdir / "metrics.jsonl"), of_split, read_rows(lines)))
  kinds = {run.name: bool(run.language) for run in runs}
  if len(set(kinds.values())) > 1:
    captions = [name for name, is_captions in kinds.items() if is_captions]
    raise RunError(f"{', '.join(captions)} write captions, the others formulas; compare like runs")
  return runs, split


def _scores(workdir: Path) -> dict[str, dict[str, float]]:
  files = sorted((workdir / "evaluate").glob("*/scores.json"))
  judged = lambda file: file.with_name("judged.json")  # by mmjax.infer.judge
  numbers = lambda found: {k: v for k, v in found.items() if not isinstance(v, str)}
  return {
    file.parent.name: _json(file, "")
    | (numbers(_json(judged(file), "")) if judged(file).exists() else {})
    for file in files
  }


def _common(workdirs: Sequence[Path], scores: Sequence[dict], split: str) -> str:
  remedy = "python -m mmjax.main --workdir={} --mode=evaluate" + (f" --split={split}" * bool(split))
  for workdir, found in zip(workdirs, scores):
    if not found or (split and split not in found):
      what = f" of {split!r}, only of {', '.join(found)}" if found else ""
      raise RunError(f"{workdir} holds no evaluation{what}; run {remedy.format(workdir)}")
  common = [s for s in scores[0] if all(s in found for found in scores)]
  if not common:
    each = "; ".join(f"{w}: {', '.join(f)}" for w, f in zip(workdirs, scores))
    raise RunError(f"no split was evaluated in all runs ({each}); evaluate one in all")
  return split or ("validation" if "validation" in common else common[0])


def _json(path: Path, remedy: str) -> dict:
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as e:
    raise RunError(f"{path} is missing; {remedy}") from e
  except ValueError as e:
    raise RunError(f"{path} is damaged ({e}); make it again") from e


def read_rows(path: Path) -> dict[str, Row]:
  """The rows of a `predictions.jsonl` by id.

  Raises:
    RunError: it is missing or damaged.
  """
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["id"]: row for row in rows}
  except FileNotFoundError as e:
    raise RunError(f"{path} is missing; evaluate again") from e
  except (ValueError, KeyError, TypeError) as e:
    raise RunError(f"{path} is damaged ({e}); evaluate again") from e
