"""CLIP's tokenizer: byte-pair encoding of lower-case text.

The merges are a file that comes with CLIP's weights: OpenAI's `bpe_simple_vocab_16e6.txt.gz`, or
`merges.txt` as the transformers package has it. OpenAI's own code also mends text whose encoding
was confused (by the package ftfy); ours leaves that to the user.

Reference: Sennrich et al., 2016; Radford et al., 2021.
"""

import functools
import gzip
import html
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

END = "</w>"  # marks the end of a word
MERGES = 48_894  # that CLIP uses; the file has more
_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")


def _byte_letters() -> dict[int, str]:
  """A printable letter for every byte: itself where that can be seen, else one after 255."""
  seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1),
          *range(ord("®"), ord("ÿ") + 1)]  # fmt: skip
  hidden = [b for b in range(256) if b not in seen]
  return {b: chr(b) for b in seen} | {b: chr(256 + i) for i, b in enumerate(hidden)}


class Tokenizer:
  """Text -> rows of numbers for the text tower.

  Raises:
    ValueError: the file of merges is missing or no such file.
  """

  def __init__(self, path: Path):
    try:
      data = path.read_bytes()
      data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
      lines = data.decode().split("\n")[1 : MERGES + 1]  # the first line is a header
    except (OSError, EOFError, UnicodeDecodeError) as e:
      raise ValueError(f"{path}: merges of CLIP's tokenizer cannot be read ({e})") from e
    merges = [tuple(line.split()) for line in lines if line]
    if not merges or any(len(pair) != 2 for pair in merges):
      raise ValueError(f"{path}: not merges of CLIP's tokenizer: two pieces a line below a header")
    self._letters = _byte_letters()
    self._ranks = {pair: i for i, pair in enumerate(merges)}
    letters = list(self._letters.values())
    words = [*letters, *(x + END for x in letters), *("".join(pair) for pair in merges)]
    self._numbers = {word: i for i, word in enumerate(words)}
    self.start, self.end = len(words), len(words) + 1
    self._pieces = functools.cache(self._merged)

  def encode(self, text: str) -> list[int]:
    """Numbers of a text, without start and end."""
    text = html.unescape(html.unescape(text)).lower()
    words = [part for word in _WORD.findall(text) for part in _parts(word)]
    return [self._numbers[piece] for word in words for piece in self._pieces(word)]

  def rows(self, texts: Sequence[str], length: int) -> Int[np.ndarray, "B T"]:
    """Start, text, end in rows of `length`, with 0 behind; what is too long is cut."""
    out = np.zeros((len(texts), length), np.int32)
    for row, text in zip(out, texts):
      numbers = [self.start, *self.encode(text)[: length - 2], self.end]
      row[: len(numbers)] = numbers
    return out

  def _merged(self, word: str) -> tuple[str, ...]:
    """Pieces of a word: neighbours are joined, those of the first rule first."""
    letters = [self._letters[byte] for byte in word.encode()]
    pieces = (*letters[:-1], letters[-1] + END)
    while len(pieces) > 1:
      pair = min(itertools.pairwise(pieces), key=lambda p: self._ranks.get(p, len(self._ranks)))
      if pair not in self._ranks:
        break
      joined: list[str] = []
      for piece in pieces:
        # `pair` never overlaps itself: what was joined before is not its first half.
        if joined and (joined[-1], piece) == pair:
          joined[-1] += piece
        else:
          joined.append(piece)
      pieces = tuple(joined)
    return pieces


def _parts(word: str) -> list[str]:
  """The word, but numerals that are no digits (½, ²) are words of their own, as digits are."""
  if not word[0].isalnum():
    return [word]
  out = []
  for letters, run in itertools.groupby(word, str.isalpha):
    together = "".join(run)
    out += [together] if letters else list(together)
  return out
