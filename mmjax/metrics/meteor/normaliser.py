"""The words of a caption as METEOR 1.5 sees them (its option `-norm`)."""

import re
from collections.abc import Mapping

# Letters of the Latin (less ſ and later), Cyrillic and phonetic blocks; every other character,
# a Chinese one too, is a word of its own.
_LETTERS = "A-Za-zÀ-ÖØ-öø-žЀ-ԧᴀ-ᵿꙀ-ꙮ꙾-ꚗ"
_WIDE_BLANKS = "\u00a0\u2000-\u200a\u202f\u205f\u3000"

_QUOTES = {ord("“"): '"', ord("”"): '"', ord("‘"): "'", ord("’"): "'", ord("–"): " - "}
_RULES = tuple((re.compile(pattern, re.ASCII), replacement) for pattern, replacement in (
  (rf"([^0-9{_LETTERS}\s.'`,\-])", r" \1 "),
  (r"(\.\.+)", r" \1 "),
  # Each rule below reads from left to right and uses up what it matched: `a-b-c` gives `a b-c`.
  (r"([^0-9]),([^0-9])", r"\1 , \2"),
  (r"([0-9]),([^0-9])", r"\1 , \2"),
  (r"([^0-9]),([0-9])", r"\1 , \2"),
  ("--", "-"),
  (rf"([0-9{_LETTERS}.])-([0-9{_LETTERS}])", r"\1 \2"),
  ("`", "'"),
  ("''", ' " '),
  (rf"([^{_LETTERS}])'([^{_LETTERS}])", r"\1 ' \2"),
  (rf"([^0-9{_LETTERS}])'([{_LETTERS}])", r"\1 ' \2"),
  (rf"([{_LETTERS}])'([^{_LETTERS}])", r"\1 ' \2"),
  (rf"([{_LETTERS}])'([{_LETTERS}])", r"\1 '\2"),
  (r"([0-9])'(s)", r"\1 '\2"),
))
_WORD = re.compile(r"[^ \t\n\r\f]+")
_LETTER = re.compile(f"[{_LETTERS}]")
_BLANK = re.compile(f"[{_WIDE_BLANKS}]")


def normalise(caption: str, prefixes: Mapping[str, bool]) -> list[str]:
  """Splits a caption into lower-case words and punctuation marks.

  Args:
    caption: text; its blanks, tabs and line breaks are all the same.
    prefixes: words after which a full stop ends no sentence (`Mr`); True where that holds before a
      digit only (`No`).

  Returns:
    The words; none for a caption without a character.
  """
  text = f" {caption} ".translate(_QUOTES)
  for pattern, replacement in _RULES:
    text = pattern.sub(replacement, text)
  words = _WORD.findall(text)
  for i, (word, following) in enumerate(zip(words, [*words[1:], ""])):
    if word[-1] == "." and word.strip("."):
      words[i] = _full_stop(word[:-1], following, prefixes)
  return _WORD.findall(_BLANK.sub(" ", " ".join(words)).lower())


def _full_stop(word: str, following: str, prefixes: Mapping[str, bool]) -> str:
  """A word that a full stop follows, with the stop left out, kept or set apart."""
  if "." in word and _LETTER.search(word):
    return word.replace(".", "")
  before_digit = prefixes.get(word)
  kept = "a" <= following[:1] <= "z" or before_digit is False or (
    before_digit and "0" <= following[:1] <= "9")
  return word + ("." if kept else " .")
