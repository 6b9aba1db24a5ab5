"""Words and their numbers."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, SOS, EOS = 0, 1, 2
SPECIALS = ("<pad>", "<sos>", "<eos>")
UNKNOWN = "<unk>"


class UnknownWordError(ValueError):
  """A text has a word that the vocabulary lacks."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The words a model writes; 0 `<pad>`, 1 `<sos>`, 2 `<eos>`, then `words` in their order.

  Where `<unk>` is one of `words`, it stands for every word that is not.
  """

  words: tuple[str, ...]
  _numbers: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False, hash=False)

  def __post_init__(self):
    repeated = [w for w, count in Counter(self.words).items() if count > 1]
    if repeated or set(self.words) & set(SPECIALS):
      raise ValueError(f"a vocabulary has each word once and no special: {sorted(repeated)}")
    numbers = {w: i for i, w in enumerate(SPECIALS + self.words)}
    object.__setattr__(self, "_numbers", numbers)

  @classmethod
  def from_words(cls, words: Iterable[str]) -> "Vocabulary":
    return cls(tuple(words))

  @classmethod
  def from_captions(cls, captions: Iterable[Sequence[str]], minimum: int) -> "Vocabulary":
    """`<unk>`, then the words that captions have at least `minimum` times, frequent ones first.

    Args:
      captions: words of each caption, of the training split alone: those of others would tell the
        model what it will be asked.
      minimum: fewest times of a word.

    Raises:
      ValueError: no word is left.
    """
    counts = Counter(word for caption in captions for word in caption)
    for special in (*SPECIALS, UNKNOWN):
      counts.pop(special, None)
    kept = [word for word, count in counts.items() if count >= minimum]
    if not kept:
      raise ValueError(f"no word stands {minimum} times in the captions; lower the minimum count")
    return cls((UNKNOWN, *sorted(kept, key=lambda word: (-counts[word], word))))

  def __len__(self) -> int:
    return len(SPECIALS) + len(self.words)

  @property
  def fingerprint(self) -> str:
    """Twelve hex digits that change with any word or the order."""
    return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]

  def encode(self, words: Sequence[str]) -> list[int]:
    """Numbers of `words`, without specials.

    Raises:
      UnknownWordError: a word is not in the vocabulary, and `<unk>` is not either.
    """
    other = self._numbers.get(UNKNOWN, PAD)
    numbers = [self._numbers.get(w, other) for w in words]
    if min(numbers, default=EOS + 1) <= EOS:
      unknown = [w for w, n in zip(words, numbers) if n <= EOS]
      raise UnknownWordError(f"not in the vocabulary of {len(self)} words: {unknown[:5]}")
    return numbers

  def decode(self, numbers: Iterable[int]) -> list[str]:
    """Words up to the first `<eos>`; specials are left out."""
    out = []
    for n in numbers:
      if n == EOS:
        break
      if n >= len(SPECIALS):
        out.append(self.words[int(n) - len(SPECIALS)])
    return out
