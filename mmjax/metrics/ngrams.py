"""Counts of the n-grams of many captions at once: numbers in arrays instead of tuples in dicts."""

import collections
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
    times: [E] how often it is there, at least once.
    prefix: [G] of each n-gram, by number, the number of what stands before its last word.
    last: [G] the number of its last word. N-grams are numbered by prefix, then by last word.
  """

  caption: Int[np.ndarray, "E"]
  gram: Int[np.ndarray, "E"]
  times: Int[np.ndarray, "E"]
  prefix: Int[np.ndarray, "G"]
  last: Int[np.ndarray, "G"]

  @property
  def grams(self) -> int:
    """How many different n-grams there are."""
    return len(self.last)


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


def count(numbers: Int[np.ndarray, "L"], lengths: Int[np.ndarray, "C"]) -> list[Counts]:
  """Counts of the n-grams of one, two, three and four words.

  Args:
    numbers: of all words of all captions, one caption after another, from 0.
    lengths: words of each caption.
  """
  caption = np.repeat(np.arange(len(lengths)), lengths)
  left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(caption))
  words = int(numbers.max(initial=0)) + 1
  gram, out = np.zeros(len(caption), np.int64), []
  for n in range(1, LONGEST + 1):
    starts = np.flatnonzero(left >= n)
    # An n-gram is the one that is a word shorter and one more word.
    longer = gram[starts] * words + numbers[starts + n - 1]
    different, gram[starts] = np.unique(longer, return_inverse=True)
    pairs, times = np.unique(
      caption[starts] * len(different) + gram[starts], return_counts=True)
    of, which = np.divmod(pairs, max(len(different), 1))
    out.append(Counts(of, which, times, *np.divmod(different, words)))
  return out


def spell(counts: Sequence[Counts], names: Sequence[str]) -> list[list[tuple[str, ...]]]:
  """The words of each n-gram, for each length."""
  out: list[list[tuple[str, ...]]] = [[()]]
  for level in counts:
    before = out[-1]
    out.append([
      (*before[p], names[w]) for p, w in zip(level.prefix.tolist(), level.last.tolist())])
  return out[1:]


def read(captions: Sequence[str]) -> Words:
  """The words of tokenised captions."""
  numbers: dict[str, int] = collections.defaultdict(lambda: len(numbers))
  flat: list[str] = []
  lengths = []
  for caption in captions:
    words = caption.split()
    lengths.append(len(words))
    flat += words
  coded = np.fromiter(map(numbers.__getitem__, flat), np.int64, len(flat))
  return Words(list(numbers), coded, np.array(lengths, np.int64))
