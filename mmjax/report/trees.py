"""Predicted trees beside those of the references, as a page.

  python -m mmjax.report.trees W/evaluate/test_2014/predictions.jsonl

writes `trees.html` beside the file: the wrong predictions first. Both trees are those that the
formulas have (`mmjax.text.san_labels`), so that any model's predictions will do.
"""

import argparse
import difflib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmjax.text.san_labels import END, OPEN, RIGHT, InexpressibleError, Row, rows_of

_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; }
section { border-top: 1px solid #ccc; padding: .5rem 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
pre { margin: 0; overflow-x: auto; } mark { background: #ffd9d2; }
h2 { font-size: 1rem; margin: 0; } h3 { font-size: .85rem; margin: 0; color: #555; }"""


def tree_lines(rows: Sequence[Row]) -> list[str]:
  r"""A line for each chain: its symbols, indented below the symbol and relation that open it.

  `x _ { 1 } + y` has the lines `x + y` and `  x sub: 1`.
  """
  follows: dict[tuple[int, str], int] = {}
  for number, row in enumerate(rows, 1):
    opened = row.parent and rows[row.parent - 1].word == OPEN
    follows[row.parent, row.parent_word if opened else ""] = number
  lines = []
  todo = [(follows[0, ""], 0, "")]
  while todo:
    number, depth, label = todo.pop()
    symbols, inner = [], []
    while number and rows[number - 1].word != END:
      symbols.append(rows[number - 1].word)
      number = follows.get((number, ""), 0)
      if number and rows[number - 1].word == OPEN:
        relations = [r for r in rows[number - 1].relations if r != RIGHT]
        inner += [(follows[number, r], depth + 1, f"{symbols[-1]} {r}: ") for r in relations]
        number = follows.get((number, RIGHT), 0)
    lines.append("  " * depth + label + " ".join(symbols))
    todo += reversed(inner)
  return lines


def _lines(text: str | None) -> list[str]:
  if text is None:
    return ["(no answer)"]
  try:
    return tree_lines(rows_of(text.split()))
  except InexpressibleError as e:
    return [f"(no tree: {e})", text]


def _marked(lines: list[str], others: list[str]) -> str:
  """Lines, those that the other tree lacks marked."""
  same: set[int] = set()
  for block in difflib.SequenceMatcher(None, lines, others, autojunk=False).get_matching_blocks():
    same |= set(range(block.a, block.a + block.size))
  shown = (escape(line) or " " for line in lines)
  return "\n".join(x if i in same else f"<mark>{x}</mark>" for i, x in enumerate(shown))


def write_trees(predictions: Path, most: int = 200) -> Path:
  """Writes `trees.html` beside a `predictions.jsonl`; its path.

  Args:
    most: samples to show, those with most errors left out first.
  """
  samples = [json.loads(line) for line in predictions.read_text().splitlines()]
  samples.sort(key=lambda s: (s["distance"] == 0, s["distance"]))
  sections = []
  for s in samples[:most]:
    theirs, ours = _lines(s["reference"]), _lines(s["hypothesis"])
    sections.append(
        f'<section><h2>{escape(s["id"])}: {s["distance"]} errors in tokens</h2><div class="pair">'
        f"<div><h3>Reference</h3><pre>{_marked(theirs, ours)}</pre></div>"
        f"<div><h3>Prediction</h3><pre>{_marked(ours, theirs)}</pre></div></div></section>"
    )
  path = predictions.with_name("trees.html")
  path.write_text(
      '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Trees</title>'
      f"<style>{_STYLE}</style></head><body><h1>{len(sections)} of {len(samples)} trees</h1>\n"
      + "\n".join(sections)
      + "\n</body></html>\n",
      encoding="utf-8",
  )
  return path


def main() -> None:
  parser = argparse.ArgumentParser(description="Predicted trees beside those of the references.")
  parser.add_argument("predictions", type=Path, help="predictions.jsonl of an evaluation")
  print(write_trees(parser.parse_args().predictions))


if __name__ == "__main__":
  main()
