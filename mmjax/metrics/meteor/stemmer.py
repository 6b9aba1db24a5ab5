"""Stems of English words: Porter's second stemmer, as METEOR 1.5 has it.

Source: M. F. Porter, "The English (Porter2) stemming algorithm" (snowballstem.org). Later versions
of the published algorithm stem some words differently (`added`, `evening`, `university`, words in
`-logist`); METEOR keeps the rules of 2006, and so does this.
"""

import functools
import re

_VOWELS = "aeiouy"
# Consonants include Y, a y that stands for one.
_REGION = re.compile(f"[{_VOWELS}][^{_VOWELS}]")
_SHORT_SYLLABLE = re.compile(
  f"(?:[^{_VOWELS}][{_VOWELS}][^{_VOWELS}wxY]|^[{_VOWELS}][^{_VOWELS}])$")
_VOWEL = re.compile(f"[{_VOWELS}]")

_WHOLE = {
  "skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl",
  "gently": "gentl", "ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl",
} | {word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")}
_WHOLE_AFTER_PLURAL = {
  "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"}

_STEP_2 = {
  "tional": "tion", "enci": "ence", "anci": "ance", "abli": "able", "entli": "ent",
  "izer": "ize", "ization": "ize", "ational": "ate", "ation": "ate", "ator": "ate",
  "alism": "al", "aliti": "al", "alli": "al", "fulness": "ful", "ousli": "ous",
  "ousness": "ous", "iveness": "ive", "iviti": "ive", "biliti": "ble", "bli": "ble",
  "ogi": "og", "fulli": "ful", "lessli": "less", "li": ""}
_STEP_3 = {
  "tional": "tion", "ational": "ate", "alize": "al", "icate": "ic", "iciti": "ic", "ical": "ic",
  "ful": "", "ness": "", "ative": ""}
_STEP_4 = dict.fromkeys((
  "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate",
  "iti", "ous", "ive", "ize", "ion"), "")


@functools.lru_cache(maxsize=100_000)
def stem(word: str) -> str:
  """The stem of a lower-case word."""
  if word in _WHOLE:
    return _WHOLE[word]
  if len(word) < 3:
    return word
  word = word.removeprefix("'")
  word = re.sub(f"^y|(?<=[{_VOWELS}])y", "Y", word)
  # Regions count from the left, so that removing an ending leaves their starts where they are.
  special = re.match("gener|commun|arsen", word)
  r1 = special.end() if special else _after(word, 0)
  r2 = _after(word, r1)
  for ending in ("'s'", "'s", "'"):
    if word.endswith(ending):
      word = word.removesuffix(ending)
      break
  word = _plural(word)
  if word in _WHOLE_AFTER_PLURAL:
    return word
  word = _past(word, r1)
  if len(word) > 2 and word[-1] in "yY" and word[-2] not in _VOWELS:
    word = word[:-1] + "i"
  word = _derived(word, r1, r2)
  if word.endswith("e"):
    if len(word) > r2 or (len(word) > r1 and not _SHORT_SYLLABLE.search(word[:-1])):
      word = word[:-1]
  elif word.endswith("ll") and len(word) > r2:
    word = word[:-1]
  return word.replace("Y", "y")


def _after(word: str, start: int) -> int:
  """Where the region after the first consonant that follows a vowel begins."""
  found = _REGION.search(word, start)
  return found.end() if found else len(word)


def _longest(word: str, endings: dict[str, str]) -> str | None:
  return max((e for e in endings if word.endswith(e)), key=len, default=None)


def _plural(word: str) -> str:
  """Step 1a."""
  if word.endswith("sses"):
    return word[:-2]
  if word.endswith(("ied", "ies")):
    return word[:-2] if len(word) > 4 else word[:-1]
  if word.endswith("s") and not word.endswith(("us", "ss")) and _VOWEL.search(word[:-2]):
    return word[:-1]
  return word


def _past(word: str, r1: int) -> str:
  """Step 1b."""
  for ending in ("eedly", "eed"):
    if word.endswith(ending):
      return word.removesuffix(ending) + "ee" if len(word) - len(ending) >= r1 else word
  for ending in ("ingly", "edly", "ing", "ed"):
    if word.endswith(ending):
      base = word.removesuffix(ending)
      if not _VOWEL.search(base):
        return word
      if base.endswith(("at", "bl", "iz")):
        return base + "e"
      if base.endswith(("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")):
        return base[:-1]
      return base + "e" if len(base) <= r1 and _SHORT_SYLLABLE.search(base) else base
  return word


def _derived(word: str, r1: int, r2: int) -> str:
  """Steps 2 to 4: each replaces the longest of its endings, where its condition holds."""
  ending = _longest(word, _STEP_2)
  if ending and len(word) - len(ending) >= r1:
    base = word.removesuffix(ending)
    if ((ending != "li" or base.endswith(tuple("cdeghkmnrt")))
        and (ending != "ogi" or base.endswith("l"))):
      word = base + _STEP_2[ending]
  ending = _longest(word, _STEP_3)
  if ending and len(word) - len(ending) >= (r2 if ending == "ative" else r1):
    word = word.removesuffix(ending) + _STEP_3[ending]
  ending = _longest(word, _STEP_4)
  if ending and len(word) - len(ending) >= r2:
    base = word.removesuffix(ending)
    if ending != "ion" or base.endswith(("s", "t")):
      word = base
  return word
