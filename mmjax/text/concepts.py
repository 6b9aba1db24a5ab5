"""What a detector saw in each picture, as words.

A file of detections has a line of JSON for each picture:

  {"id": "1.jpg", "objects": [{"label": "tennis racket", "score": 0.9, "class": 38}, ...]}

where an object may also have its "box" [left, top, right, bottom] in pixels. The word of an object
is the last one of its label, in lower case and in the singular: racket.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmjax.text import captions
from mmjax.text.concept_words import chinese
from mmjax.text.plurals import singular


class ConceptError(ValueError):
  """A file of detections that cannot be used; says where and why."""


class Concept(NamedTuple):
  """A word for something in a picture, how sure the detector is, and its class number."""

  word: str
  score: float
  number: int


def read(path: str | Path, language: str = "en") -> dict[str, list[Concept]]:
  """The distinct concepts of each picture, by its id, in the order of class numbers.

  Of objects with the same word the one with the best score counts.

  Reference: Feng et al., 2019, Unsupervised Image Captioning, section 4.1.

  Args:
    path: of the detections.
    language: of the words: "en", as the detector has them, or "zh", see `concept_words`.

  Raises:
    ConceptError: no such file; a line of it is damaged; a picture stands twice.
    ConceptWordError: a word is not known in Chinese.
    ValueError: an unknown language.
  """
  captions.language(language)
  path = Path(path)
  found: dict[str, list[Concept]] = {}
  try:
    lines = path.read_text(encoding="utf-8").split("\n")
  except (OSError, UnicodeDecodeError) as e:
    raise ConceptError(f"{path}: cannot be read as detections ({e})") from e
  for number, line in enumerate(lines, 1):
    if line.strip():
      name, concepts = _picture(f"{path}, line {number}", line)
      if name in found:
        raise ConceptError(f"{path}, line {number}: picture {name} stands there twice; leave one")
      found[name] = distinct(map(_translated, concepts)) if language == "zh" else concepts
  if not found:
    raise ConceptError(f"{path}: no detections; make them by python -m mmjax.infer.detect")
  return found


def of_pictures(
    found: Mapping[str, list[Concept]], ids: Sequence[str], name: str
) -> list[list[Concept]]:
  """The concepts of the pictures `ids`.

  Args:
    found: of `read`.
    ids: of the pictures that need concepts.
    name: what messages call these pictures.

  Raises:
    ConceptError: some were not looked at; says how many, and which is the first.
  """
  missing = [i for i in ids if i not in found]
  if missing:
    raise ConceptError(
        f"no detections of {len(missing):,} of {len(ids):,} pictures of {name}, the first:"
        f" {missing[0]}; run python -m mmjax.infer.detect on all of them"
    )
  return [found[i] for i in ids]


def word_of(label: str) -> str:
  """The word of a class with this name."""
  return singular(label.lower().split()[-1])


def distinct(objects: Iterable[Concept]) -> list[Concept]:
  """The best of each word, in the order of class numbers."""
  best: dict[str, Concept] = {}
  for o in objects:
    if o.word not in best or o.score > best[o.word].score:
      best[o.word] = o
  return sorted(best.values(), key=lambda o: (o.number, o.word))


def _translated(concept: Concept) -> Concept:
  return concept._replace(word=chinese(concept.word))


def _picture(place: str, line: str) -> tuple[str, list[Concept]]:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError) as e:
    raise ConceptError(f"{place}: not JSON ({e}); was the file cut short?") from e
  try:
    name, objects = row["id"], row["objects"]
  except (TypeError, KeyError) as e:
    raise ConceptError(f'{place}: not {{"id": ..., "objects": [...]}}') from e
  if not isinstance(name, str) or not name or not isinstance(objects, list):
    raise ConceptError(f'{place}: "id" must be a text and "objects" a list')
  return name, distinct(_concept(f"{place}, object {i}", o) for i, o in enumerate(objects, 1))


def _concept(place: str, o: Any) -> Concept:
  o = o if isinstance(o, dict) else {}
  label, score, number = o.get("label"), o.get("score"), o.get("class")
  if not isinstance(label, str) or not label.strip():
    raise ConceptError(f'{place}: "label" must be the name of a class')
  if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
    raise ConceptError(f'{place} ({label}): "score" must be a number')
  if isinstance(number, bool) or not isinstance(number, int):
    raise ConceptError(f'{place} ({label}): "class" must be a whole number')
  return Concept(word_of(label), float(score), number)
