"""Samples of an evaluation as lines of a terminal."""

import json
from pathlib import Path
from typing import Any

from mmjax.report.wording import format_value


def samples(predictions: Path, count: int = 8) -> str:
  """Evenly spaced rows of a `predictions.jsonl`.

  Of a formula, what stands there, and what was read if wrong; of a photograph, its CIDEr, the
  caption, and the first one by people; nothing where the task writes no texts.
  """
  rows = [json.loads(line) for line in predictions.read_text(encoding="utf-8").splitlines()]
  rows = [row for row in rows if "hypothesis" in row]
  count = min(count, len(rows))
  lines = []
  for i in range(count):
    row = rows[(2 * i + 1) * len(rows) // (2 * count)]
    lines += _formula(row) if "distance" in row else _caption(row)
  return "\n".join(lines)


def _formula(row: dict[str, Any]) -> list[str]:
  right = row["distance"] == 0
  lines = [f"{'right' if right else 'WRONG'}  {row['reference']}"]
  return lines if right else [*lines, f"   read  {_written(row)}"]


def _caption(row: dict[str, Any]) -> list[str]:
  score = f"CIDEr {format_value('cider', row['cider'])}" if "cider" in row else ""
  reference = row["reference"] if "reference" in row else row["references"][0]
  return [f"{score:12s} {_written(row)}", f"{'by people':>12s} {reference}"]


def _written(row: dict[str, Any]) -> str:
  return "(dropped)" if row["hypothesis"] is None else row["hypothesis"]
