"""Counts of the n-grams of many captions at once: numbers in arrays instead of tuples in dicts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

LONGEST = 4


class Counts(NamedTuple):
  """How often each n-gram of one length is in each caption; E pairs of the two in order.

  Attributes:
    caption: [E] number of the caption.
    gram: [E] number of the n-gram, the same in all captions.
    count: [E] how often it is there, at least once.
    first: [G] a place in `Words.numbers` where each n-gram begins.
  """

  caption: Int[np.ndarray, "E"]
  gram: Int[np.ndarray, "E"]
  count: Int[np.ndarray, "E"]
  first: Int[np.ndarray, "G"]


class Words(NamedTuple):
  """The words of captions, one after another.

  Attributes:
    names: the V different words.
    numbers: [L] of all words of all captions.
    lengths: [C] words of each caption.
  """

  names: list[str]
  numbers: Int[np.ndarray, "L"]
  lengths: Int[np.ndarray, "C"]

  def counts(self) -> list[Counts]:
    """Counts of n-grams of one, two, three and four words."""
    caption = np.repeat(np.arange(len(self.lengths)), self.lengths)
    left = np.repeat(np.cumsum(self.lengths), self.lengths) - np.arange(len(caption))
    gram, out = np.zeros(len(caption), np.int64), []
    for n in range(1, LONGEST + 1):
      starts = np.flatnonzero(left >= n)
      # An n-gram is the one that is a word shorter and one more word.
      longer = gram[starts] * len(self.names) + self.numbers[starts + n - 1]
      _, first, numbers = np.unique(longer, return_index=True, return_inverse=True)
      gram[starts] = numbers
      pairs, count = np.unique(caption[starts] * len(first) + numbers, return_counts=True)
      of, which = np.divmod(pairs, max(len(first), 1))
      out.append(Counts(of, which, count, starts[first]))
    return out

  def spell(self, n: int, first: Int[np.ndarray, "G"]) -> list[tuple[str, ...]]:
    """The words of the n-grams that begin at the places `first`."""
    columns = [[self.names[i] for i in self.numbers[first + k]] for k in range(n)]
    return list(zip(*columns))


def read(captions: Sequence[str]) -> Words:
  """The words of tokenised captions."""
  numbers: dict[str, int] = {}
  split = [caption.split() for caption in captions]
  flat = [numbers.setdefault(word, len(numbers)) for words in split for word in words]
  return Words(
    list(numbers), np.array(flat, dtype=np.int64), np.array([len(w) for w in split], np.int64))
