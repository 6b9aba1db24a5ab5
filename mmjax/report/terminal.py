"""The result of an evaluation as lines of a terminal."""

import json
from pathlib import Path

_NAMES = {
    "exprate": "ExpRate",
    "exprate_1": "at most 1 error",
    "exprate_2": "at most 2 errors",
    "ser": "symbol error rate",
}


def summary(scores: dict[str, float]) -> str:
  """A table of the scores, in per cent: exact tokens, and after normalisation."""
  lines = [f"{'':20s}{'exact':>10s}{'normalised':>12s}"]
  for key, name in _NAMES.items():
    lines.append(f"{name:20s}{scores[key]:10.2%}{scores['normalised_' + key]:12.2%}")
  return "\n".join(lines)


def samples(predictions: Path, count: int = 8) -> str:
  """Evenly spaced rows of a `predictions.jsonl`: what stands there and, where wrong, what was read."""
  rows = [json.loads(line) for line in predictions.read_text().splitlines()]
  lines = []
  for i in range(min(count, len(rows))):
    row = rows[(2 * i + 1) * len(rows) // (2 * min(count, len(rows)))]
    right = row["distance"] == 0
    lines.append(f"{'right' if right else 'WRONG'}  {row['reference']}")
    if not right:
      lines.append(f"   read  {row['hypothesis'] if row['hypothesis'] is not None else '(dropped)'}")
  return "\n".join(lines)
