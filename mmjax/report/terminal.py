"""Samples of an evaluation as lines of a terminal."""

import json
from pathlib import Path


def samples(predictions: Path, count: int = 8) -> str:
  """Evenly spaced rows of a `predictions.jsonl`: what stands there, and what was read if wrong."""
  rows = [json.loads(line) for line in predictions.read_text().splitlines()]
  count = min(count, len(rows))
  lines = []
  for i in range(count):
    row = rows[(2 * i + 1) * len(rows) // (2 * count)]
    right = row["distance"] == 0
    lines.append(f"{'right' if right else 'WRONG'}  {row['reference']}")
    if not right:
      hypothesis = row["hypothesis"]
      lines.append(f"   read  {'(dropped)' if hypothesis is None else hypothesis}")
  return "\n".join(lines)
