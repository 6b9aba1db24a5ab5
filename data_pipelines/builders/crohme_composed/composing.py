"""Which pictures are composed, and each of them."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.builders import supplied
from data_pipelines.builders.crohme import source, strokes
from data_pipelines.builders.crohme_composed import grammar, handwriting, layout, library, rows
from data_pipelines.builders.crohme_composed.library import Library
from data_pipelines.builders.parts import ItemError
from data_pipelines.datasets import SourceError
from mmjax.text import latex

# Of the pictures: new formulas, formulas with other symbols, and formulas as they were.
NEW, CHANGED = 0.4, 0.3
TRIES = 50  # for a formula with other symbols that is nobody's


class Item(NamedTuple):
  """What a picture is composed from."""

  id: str
  text: str
  directory: str
  key: tuple[int, int]  # of the random numbers


def items(
    records: Mapping[str, Sequence[source.Record]], directory: str, count: int, seed: int
) -> list[Item]:
  """What `count` pictures are composed from, in an order that tells nothing.

  No formula is one of the validation split; of the test splits only those that train has, too.

  Args:
    records: of `train` and of the splits whose formulas are to be kept out.
    directory: the manual directory, which has the strokes.
    count: of pictures.
    seed: of all that is random.

  Raises:
    SourceError: too little can be drawn of the formulas of train.
  """
  rng = np.random.default_rng((seed, 0))
  of_others = {r.text for own in records.values() for r in own}
  texts = _drawable(records["train"], of(directory))
  if not texts:
    raise SourceError(f"no formula of train can be written with the symbols of {handwriting.FILE}")
  usable = lambda text: not supplied.is_validation(text)
  new = grammar.compose(texts, round(NEW * count), frozenset(of_others), rng)
  new = [t for t in new if usable(t) and layout.can_write(rows.read(t.split()), of(directory))]
  changed = min(round(CHANGED * count), count - len(new))
  kinds = rng.permutation(["new"] * len(new) + ["changed"] * changed
                          + ["same"] * (count - len(new) - changed))  # fmt: skip
  change = grammar.Substitution(texts)
  found = []
  for number, kind in enumerate(kinds):
    text = new.pop() if kind == "new" else texts[rng.integers(len(texts))]
    if kind == "changed":
      others = (change(text, rng) for _ in range(TRIES))
      text = next((t for t in others if t not in of_others and usable(t)), text)
    found.append(Item(f"composed-{number:06d}", text, directory, (seed, number)))
  return found


def _drawable(records: Sequence[source.Record], known: Library) -> list[str]:
  r"""The formulas of all records in one form (no `\limits`, subscripts first)."""
  found = []
  for record in records:
    text = " ".join(latex.normalise(record.words))
    try:
      drawable = layout.can_write(rows.read(text.split()), known)
    except rows.UndrawableError:
      continue
    if drawable and not supplied.is_validation(text):
      found.append(text)
  return found


def make(item: Item) -> dict:
  """The record of a composed picture.

  Raises:
    ItemError: it cannot be drawn.
  """
  rng = np.random.default_rng((1, *item.key))
  try:
    ink = layout.write(rows.read(item.text.split()), of(item.directory), rng)
  except rows.UndrawableError as error:
    raise ItemError(str(error)) from error
  return supplied.record(item.id, strokes.draw(tuple(ink)), item.text)


@functools.lru_cache(1)
def of(directory: str) -> Library:
  """The library of the training formulas of a directory without those held out for validation."""
  captions = source.read_captions(directory, "train")
  texts = {name: " ".join(words) for name, words in captions.items()}
  train = {name: text for name, text in texts.items() if not supplied.is_validation(text)}
  return library.build(list(handwriting.read(directory, train)))
