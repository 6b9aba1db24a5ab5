"""Words and their numbers."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

PAD, SOS, EOS = 0, 1, 2
SPECIALS = ("<pad>", "<sos>", "<eos>")


class UnknownWordError(ValueError):
  """A text has a word that the vocabulary lacks."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The words a model writes; 0 `<pad>`, 1 `<sos>`, 2 `<eos>`, then `words` in their order."""

  words: tuple[str, ...]
  _numbers: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False, hash=False)

  def __post_init__(self):
    repeated = {w for w in self.words if self.words.count(w) > 1}
    if repeated or set(self.words) & set(SPECIALS):
      raise ValueError(f"a vocabulary has each word once and no special: {sorted(repeated)}")
    numbers = {w: i for i, w in enumerate(SPECIALS + self.words)}
    object.__setattr__(self, "_numbers", numbers)

  @classmethod
  def from_words(cls, words: Iterable[str]) -> "Vocabulary":
    return cls(tuple(words))

  def __len__(self) -> int:
    return len(SPECIALS) + len(self.words)

  @property
  def fingerprint(self) -> str:
    """Twelve hex digits that change with any word or the order."""
    return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]

  def encode(self, words: Sequence[str]) -> list[int]:
    """Numbers of `words`, without specials.

    Raises:
      UnknownWordError: a word is not in the vocabulary.
    """
    unknown = [w for w in words if self._numbers.get(w, PAD) < len(SPECIALS)]
    if unknown:
      raise UnknownWordError(f"not in the vocabulary of {len(self)} words: {unknown[:5]}")
    return [self._numbers[w] for w in words]

  def decode(self, numbers: Iterable[int]) -> list[str]:
    """Words up to the first `<eos>`; specials are left out."""
    out = []
    for n in numbers:
      if n == EOS:
        break
      if n >= len(SPECIALS):
        out.append(self.words[int(n) - len(SPECIALS)])
    return out
