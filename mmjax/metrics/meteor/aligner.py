"""Which words of a hypothesis go with which of a reference: METEOR's beam search.

Source: M. Denkowski and A. Lavie, "Meteor Universal" (WMT 2014) and "Meteor 1.3" (WMT 2011). Where
the papers leave a choice open, this does what the official program, version 1.5, was seen to do.
"""

import functools
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from mmjax.metrics.meteor.data import LONGEST_PHRASE, Data
from mmjax.metrics.meteor.stemmer import stem

EXACT, STEM, SYNONYM, PARAPHRASE = range(4)
WEIGHTS = (1.0, 0.6, 0.8, 0.6)
BEAM = 40

# One number orders partial alignments: value, then chunks, then distance.
_CHUNK = 1 << 32
_WORTH = 1 << 48


class Match(NamedTuple):
  """Words `start` to `start + length` of the reference go with those of the hypothesis."""

  start: int
  length: int
  other_start: int
  other_length: int
  module: int


class Sentence(NamedTuple):
  """Words, and for every start the phrases of the paraphrase table: (length, number)."""

  words: tuple[str, ...]
  phrases: tuple[tuple[tuple[int, int], ...], ...]
  places: dict[int, list[tuple[int, int]]]


class Aligner:
  """Aligns sentences, and remembers what it looked up."""

  def __init__(self, data: Data):
    self._paraphrases = data.paraphrases
    self._targets = functools.cache(data.paraphrases.of) if data.paraphrases else None
    synonyms = functools.cache(data.synonyms.of) if data.synonyms else None

    @functools.cache
    def modules(a: str, b: str) -> tuple[int, ...]:
      """Modules that match two words."""
      if a == b:
        return (EXACT,)
      out = (STEM,) if stem(a) == stem(b) else ()
      return (*out, SYNONYM) if synonyms and not synonyms(a).isdisjoint(synonyms(b)) else out

    self._modules = modules

  def sentences(self, captions: Iterable[Sequence[str]]) -> list[Sentence]:
    """Looks up the phrases of many captions at once."""
    texts = [tuple(words) for words in captions]
    if self._paraphrases is None:
      return [Sentence(words, ((),) * len(words), {}) for words in texts]
    cut = [[[" ".join(words[i:j]) for j in range(i + 1, min(len(words), i + LONGEST_PHRASE) + 1)]
            for i in range(len(words))] for words in texts]
    numbers = self._paraphrases.numbers({p for rows in cut for row in rows for p in row})
    out = []
    for words, rows in zip(texts, cut):
      phrases = tuple(tuple((length, numbers[p]) for length, p in enumerate(row, 1) if p in numbers)
                      for row in rows)
      places: dict[int, list[tuple[int, int]]] = {}
      for start, found in enumerate(phrases):
        for length, number in found:
          places.setdefault(number, []).append((start, length))
      out.append(Sentence(words, phrases, places))
    return out

  def align(self, hypothesis: Sentence, reference: Sentence) -> tuple[list[Match], int]:
    """The best alignment found, in the reference's order, and its number of chunks."""
    if hypothesis.words == reference.words:  # whatever else could match
      return [Match(i, 1, i, 1, EXACT) for i in range(len(reference.words))], 1
    return _search(self._candidates(hypothesis, reference), len(hypothesis.words))

  def _candidates(self, hypothesis: Sentence, reference: Sentence) -> list[list[Match]]:
    """All matches by their start in the reference; their order decides between equals."""
    out: list[list[Match]] = []
    for j, b in enumerate(reference.words):
      found = [(module, i) for i, a in enumerate(hypothesis.words)
               for module in self._modules(a, b)]
      out.append([Match(j, 1, i, 1, module) for module, i in sorted(found)])
    if self._targets is not None:
      # Pairs that the table has both ways count as two matches.
      for j, phrases in enumerate(reference.phrases):
        for length, number in phrases:
          for target in self._targets(number):
            for i, other in hypothesis.places.get(target, ()):
              out[j].append(Match(j, length, i, other, PARAPHRASE))
      for i, phrases in enumerate(hypothesis.phrases):
        for other, number in phrases:
          for target in self._targets(number):
            for j, length in reference.places.get(target, ()):
              out[j].append(Match(j, length, i, other, PARAPHRASE))
    return out


def _mask(start: int, length: int) -> int:
  return ((1 << length) - 1) << start


def _fixed(candidates: list[list[Match]], hypothesis_length: int) -> dict[int, Match]:
  """Matches of words that nothing else matches: every alignment has them."""
  covered = [0] * len(candidates)
  other_covered = [0] * hypothesis_length
  for matches in candidates:
    for match in matches:
      for at in range(match.start, match.start + match.length):
        covered[at] += 1
      for at in range(match.other_start, match.other_start + match.other_length):
        other_covered[at] += 1
  out = {}
  for j, matches in enumerate(candidates):
    if len(matches) == 1:
      start, length, other, other_length, _ = matches[0]
      if (max(covered[start : start + length]) == 1
          and max(other_covered[other : other + other_length]) == 1):
        out[j] = matches[0]
  return out


def _search(candidates: list[list[Match]], hypothesis_length: int) -> tuple[list[Match], int]:
  """Goes through the reference word by word with the `BEAM` best partial alignments."""
  fixed = _fixed(candidates, hypothesis_length)
  used = sum(_mask(m.start, m.length) for m in fixed.values())
  other_used = sum(_mask(m.other_start, m.other_length) for m in fixed.values())
  # (cost, next word, end of the open chunk or -1, used words of both sides, matches as a chain)
  paths: list[tuple] = [(0, 0, -1, used, other_used, None)]
  for at, matches in enumerate(candidates):
    paths.sort(key=itemgetter(0))
    longer: list[tuple] = []
    for path in paths[:BEAM]:
      cost, following, end, used, other_used, chain = path
      if following > at:  # inside a phrase
        longer.append(path)
        continue
      if at in fixed:
        m = fixed[at]
        longer.append((_cost(cost, m, end), at + m.length, m.other_start + m.other_length,
                       used, other_used, (m, chain)))
        continue
      for m in matches:
        start, length, other, other_length, _ = m
        mask = _mask(start, length)
        other_mask = _mask(other, other_length)
        if used & mask or other_used & other_mask:
          continue
        longer.append((_cost(cost, m, end), at + length, other + other_length, used | mask,
                       other_used | other_mask, (m, chain)))
        # The official program charges a match's distance not to its own path but to those that
        # are made after it from the same one: later matches, and leaving the word out.
        cost += abs(start - other)
      longer.append((cost + _CHUNK * (end >= 0), at + 1, -1, used, other_used, chain))
    paths = longer
  # The last chunk closes; the order of before decides between equals.
  paths.sort(key=itemgetter(0))
  best = min(paths[:BEAM], key=lambda path: path[0] + _CHUNK * (path[2] >= 0))
  chunks = ((best[0] + _CHUNK * (best[2] >= 0)) % _WORTH) // _CHUNK
  chain, out = best[5], []
  while chain:
    match, chain = chain
    out.append(match)
  return out[::-1], chunks


def _cost(cost: int, match: Match, end: int) -> int:
  # While it searches, the program has other weights than in the score, and no fractions: a word in
  # an inexact match is worth a half, cut down to whole numbers on either side.
  worth = 2 if match.module == EXACT else match.length // 2 + match.other_length // 2
  return cost - worth * _WORTH + _CHUNK * (end >= 0 and match.other_start != end)
