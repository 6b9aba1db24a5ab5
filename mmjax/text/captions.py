"""The words of captions in each language, and captions from words."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmjax.text import chinese, english


class Language(NamedTuple):
  """How a language is cut into words, and written."""

  words: Callable[[str], list[str]]
  join: Callable[[Sequence[str]], str]


LANGUAGES = {"en": Language(english.words, " ".join), "zh": Language(chinese.words, "".join)}


def language(name: str) -> Language:
  """The rules of a language.

  Raises:
    ValueError: an unknown one.
  """
  if name not in LANGUAGES:
    raise ValueError(f"no language {name!r}; there are: {', '.join(LANGUAGES)}")
  return LANGUAGES[name]
