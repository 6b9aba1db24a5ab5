"""The numbers of a run over its steps: read from `metrics.jsonl`, drawn as SVG."""

import dataclasses
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from mmjax.report.wording import format_tick, format_value, label

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 30, 54, 40  # margins of the plot inside the drawing
_ROW = 18  # of the legend
_COLOURS = ("#1f5fa8", "#b8501b", "#2b7a4b", "#7a3d8f", "#5c5c5c")
_DASHES = ("none", "7 4", "2 3", "9 3 2 3", "4 4")
_MOST_POINTS = 400


@dataclasses.dataclass(frozen=True)
class Curve:
  """One number of a run: `values[i]` at `steps[i]`, steps rising.

  Curves whose names end alike (`train/loss`, `validation/loss`) are drawn together.
  """

  name: str
  steps: Sequence[int]
  values: Sequence[float]


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
  """(step, value) pairs of each number in a `metrics.jsonl`, steps rising; none without the file.

  A line holds {"step": 100, "train/loss": 1.2, ...}. A run that was killed leaves a torn line, to
  which the resumed run appends its first one; what is whole of it is read. Where a step occurs
  more than once, its last value counts.
  """
  points: dict[str, dict[int, float]] = {}
  text = path.read_text(errors="replace") if path.exists() else ""
  for line in text.splitlines():
    record = _parse(line) or _parse(line[max(0, line.rfind('{"step"')):]) or {}
    for name, value in record.items():
      if name != "step" and isinstance(value, int | float):
        points.setdefault(name, {})[record["step"]] = float(value)
  return {name: sorted(of_step.items()) for name, of_step in points.items()}


def _parse(line: str) -> dict | None:
  """The record of a line, None where it is not a whole one."""
  try:
    record = json.loads(line)
  except ValueError:
    return None
  return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def draw_curves(curves: Sequence[Curve]) -> str:
  """One inline `<svg>` for each group of curves whose names end alike; "" where none has points."""
  groups: dict[str, list[Curve]] = {}
  for curve in curves:
    kept = [(s, v) for s, v in zip(curve.steps, curve.values) if math.isfinite(v)]
    if kept:
      steps, values = zip(*kept)
      group = groups.setdefault(curve.name.rsplit("/", 1)[-1], [])
      group.append(Curve(curve.name, steps, values))
  return "\n".join(_panel(name, group) for name, group in groups.items())


def _panel(name: str, curves: list[Curve]) -> str:
  """The drawing of one group; the legend takes as many rows as it needs."""
  texts = [f"{c.name.rsplit('/', 1)[0]} {format_value(name, c.values[-1])}" for c in curves]
  places, rows = _legend(texts)
  top, height = _TOP + _ROW * (rows - 1), _HEIGHT + _ROW * (rows - 1)
  x_ticks = _ticks([s for c in curves for s in c.steps], 5, whole=True)
  y_ticks = _ticks([v for c in curves for v in c.values], 4)
  x_span, y_span = x_ticks[-1] - x_ticks[0], y_ticks[-1] - y_ticks[0]
  right, bottom = _WIDTH - _RIGHT, height - _BOTTOM
  x_of = lambda step: _LEFT + (step - x_ticks[0]) / x_span * (right - _LEFT)
  y_of = lambda value: bottom - (value - y_ticks[0]) / y_span * (bottom - top)

  last = "; ".join(f"{c.name} ends at {format_value(name, c.values[-1])}" for c in curves)
  title = label(name)
  out = [
    f'<svg class="curve" viewBox="0 0 {_WIDTH} {height}" font-size="12" fill="#59626c" '
    f'role="img" aria-label="{escape(f"Curve of {title}: {last}")}">',
    f'<text x="{_LEFT}" y="18" font-size="14" font-weight="600" fill="#1c2126">'
    f'{escape(title)}</text>',
  ]
  for tick in y_ticks:
    y, text = y_of(tick), format_tick(name, tick)
    out.append(f'<path stroke="#e8ebee" d="M{_LEFT} {y:.1f}H{right}"/>')
    out.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
  for tick in x_ticks:
    x = f"{x_of(tick):.1f}"
    out.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{tick:,.0f}</text>')
  out.append(f'<text x="{right}" y="{bottom + 35}" text-anchor="end">step</text>')

  for i, (curve, text, (legend_x, legend_y)) in enumerate(zip(curves, texts, places)):
    colour, dash = _COLOURS[i % 5], _DASHES[i % 5]
    pen = f'fill="none" stroke-width="2" stroke="{colour}" stroke-dasharray="{dash}"'
    points = _thin(list(zip(curve.steps, curve.values)))
    path = " ".join(f"{x_of(s):.1f},{y_of(v):.1f}" for s, v in points)
    out.append(f'<polyline {pen} points="{path}"/>')
    x, y = x_of(points[-1][0]), y_of(points[-1][1])
    out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    out.append(f'<path {pen} d="M{legend_x} {legend_y}h20"/>')
    out.append(f'<text x="{legend_x + 26}" y="{legend_y + 4}">{escape(text)}</text>')
  return "\n".join([*out, "</svg>"])


def _legend(texts: Sequence[str]) -> tuple[list[tuple[int, int]], int]:
  """Where the line of each text begins, and the number of rows."""
  places, x, row = [], _LEFT, 0
  for text in texts:
    width = 44 + 7 * len(text)
    if x > _LEFT and x + width > _WIDTH:
      x, row = _LEFT, row + 1
    places.append((x, 35 + _ROW * row))
    x += width
  return places, row + 1


def _ticks(values: Sequence[float | int], count: int, *, whole: bool = False) -> list[float]:
  """Round numbers, at least two, from at or below the least value to at or above the greatest."""
  low, high = min(values), max(values)
  margin = 0.0 if low < high else abs(low) / 10 or 1.0
  locator = MaxNLocator(count, integer=whole, min_n_ticks=2)
  return [float(t) for t in locator.tick_values(low - margin, high + margin)]


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
  """At most about `_MOST_POINTS` of the points; the last one is among them."""
  stride = math.ceil(len(points) / _MOST_POINTS)
  return points[::-1][::stride][::-1]
