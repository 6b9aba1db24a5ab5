"""English captions as words, for training; scorers have a tokenizer of their own."""

import string
import unicodedata


def words(text: str) -> list[str]:
  """Lower-case words between blanks, with the punctuation in and around them deleted.

  "A man's T-shirt." becomes a, mans, tshirt. The rule of Karpathy and Li, 2015, whose captions
  everybody trains on; punctuation beyond ASCII is deleted, too.
  """
  kept = [c for c in text.lower() if not _is_punctuation(c)]
  return "".join(kept).split()


def _is_punctuation(c: str) -> bool:
  return c in string.punctuation or unicodedata.category(c).startswith("P")
