"""Pen strokes of the formulas of `made_crohme`, so that symbols of them can be composed."""

import json
import lzma
import pathlib

# Polylines in a box of 1 x 1, y downwards.
SHAPES = {
    "x": [[0, 0.4, 0.6, 1], [0.6, 0.4, 0, 1]],
    "+": [[0, 0.5, 0.6, 0.5], [0.3, 0.2, 0.3, 0.8]],
    "1": [[0, 0.2, 0.2, 0, 0.2, 1]],
    "2": [[0, 0.2, 0.3, 0, 0.6, 0.2, 0, 1, 0.6, 1]],
}


def record(name: str, caption: str, number: int) -> dict:
  """The symbols of a caption of one row side by side, in another order than that of the caption."""
  strokes, symbols = [], []
  for place, token in enumerate(caption.split()):
    own = []
    for shape in SHAPES[token]:
      own.append(len(strokes))
      points = [100 * (v + (place if i % 2 == 0 else 0)) for i, v in enumerate(shape)]
      strokes.append([round(p + number % 3) for p in points])
    symbols.append([token, own])
  return {
      "id": name, "source": "made", "writer": f"writer {number % 4}", "truth": caption,
      "strokes": strokes, "symbols": symbols[::-1],
  }


def write_strokes(directory: pathlib.Path, captions: dict[str, str]) -> pathlib.Path:
  """`strokes/train.jsonl.xz` with a line for each caption."""
  path = directory / "strokes" / "train.jsonl.xz"
  path.parent.mkdir()
  with lzma.open(path, "wt", encoding="utf-8") as lines:
    for number, (name, caption) in enumerate(captions.items()):
      lines.write(json.dumps(record(name, caption, number)) + "\n")
  return path
