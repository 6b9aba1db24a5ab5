"""METEOR's word lists and paraphrase table, from the installed package pycocoevalcap."""

import functools
import gzip
import hashlib
import importlib.util
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Int32, UInt64

INSTALL = "`pip install mmjax[metrics]` brings pycocoevalcap"
# No phrase of the table has more words.
LONGEST_PHRASE = 7

# WordNet's rules of inflexion; of those that fit a word, the first whose base form is known counts.
_INFLEXIONS = (
  ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
  ("men", "man"), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
  ("ing", ""), ("er", ""), ("est", ""), ("er", "e"), ("est", "e"))


class Synonyms(NamedTuple):
  """WordNet: the meanings (numbers of synsets) of words, and base forms of irregular ones."""

  meanings: dict[str, frozenset[int]]
  irregular: dict[str, list[str]]

  def of(self, word: str) -> frozenset[int]:
    """Meanings of a word and of its base form."""
    none: frozenset[int] = frozenset()
    own = self.meanings.get(word, none)
    if word in self.irregular:
      return own.union(*(self.meanings.get(base, none) for base in self.irregular[word]))
    if len(word) < 3 or word.endswith("ss"):
      return own
    bases = (word.removesuffix(a) + b for a, b in _INFLEXIONS if word.endswith(a))
    return own | next((self.meanings[b] for b in bases if b in self.meanings), none)


class Paraphrases(NamedTuple):
  """Pairs of phrases that mean the same, as three arrays in files that are read where needed.

  Attributes:
    phrases: [F] hashes of all phrases, ascending; a phrase's number is its place here.
    starts: [F + 1] where each phrase's paraphrases begin in `targets`.
    targets: [G] numbers of paraphrases, in the order of the table.
  """

  phrases: UInt64[np.ndarray, "F"]
  starts: Int32[np.ndarray, "F1"]
  targets: Int32[np.ndarray, "G"]

  def numbers(self, phrases: Iterable[str]) -> dict[str, int]:
    """Numbers of those phrases that the table holds."""
    texts = list(phrases)
    wanted = np.array([_hash(text.encode()) for text in texts], np.uint64)
    at = np.searchsorted(self.phrases, wanted)
    known = self.phrases[np.minimum(at, len(self.phrases) - 1)] == wanted
    return {texts[i]: int(at[i]) for i in np.flatnonzero(known)}

  def of(self, number: int) -> list[int]:
    """Numbers of a phrase's paraphrases."""
    return self.targets[self.starts[number] : self.starts[number + 1]].tolist()


class Data(NamedTuple):
  """What METEOR knows of English.

  Attributes:
    function_words: words that count `1 - delta`.
    prefixes: words that keep their full stop; True where only before a digit.
    synonyms, paraphrases: None where the package is missing.
  """

  function_words: frozenset[str] = frozenset()
  prefixes: dict[str, bool] = {}
  synonyms: Synonyms | None = None
  paraphrases: Paraphrases | None = None


def package() -> pathlib.Path | None:
  """The folder of METEOR inside pycocoevalcap, or None where that is not installed."""
  found = importlib.util.find_spec("pycocoevalcap")  # not imported: that would need pycocotools
  for folder in (found and found.submodule_search_locations) or ():
    if (pathlib.Path(folder) / "meteor" / "meteor-1.5.jar").is_file():
      return pathlib.Path(folder) / "meteor"
  return None


@functools.cache
def load(folder: pathlib.Path) -> Data:
  """Reads everything; the first call on a machine packs the paraphrase table, half a minute.

  Args:
    folder: what `package` returns.

  Raises:
    ValueError: a file is missing or is not what it should be.
  """
  try:
    with zipfile.ZipFile(folder / "meteor-1.5.jar") as jar:
      function, prefixes, exceptions, synsets = (
        jar.read(name).decode().splitlines() for name in (
          "function/english.words", "nonbreaking/english.prefixes", "synonym/english.exceptions",
          "synonym/english.synsets"))
  except (OSError, KeyError, zipfile.BadZipFile) as error:
    raise ValueError(f"{folder / 'meteor-1.5.jar'} cannot be read ({error}); install "
                     "pycocoevalcap again") from error
  irregular: dict[str, list[str]] = {}
  for base, forms in zip(exceptions[::2], exceptions[1::2]):
    for form in forms.split():
      irregular.setdefault(form, []).append(base)
  rows = [line.split() for line in prefixes if line.strip() and not line.startswith("#")]
  return Data(
    function_words=frozenset(word.strip() for word in function),
    prefixes={row[0]: "#NUMERIC_ONLY#" in row for row in rows},
    synonyms=Synonyms({word: frozenset(map(int, numbers.split()))
                       for word, numbers in zip(synsets[::2], synsets[1::2])}, irregular),
    paraphrases=_paraphrases(folder / "data" / "paraphrase-en.gz"))


def _hash(phrase: bytes) -> int:
  return int.from_bytes(hashlib.blake2b(phrase, digest_size=8).digest(), "little")


def _paraphrases(table: pathlib.Path) -> Paraphrases:
  """The table from this user's cache; packs it first where it is not there."""
  try:
    with table.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise ValueError(f"{table} cannot be read ({error}); install pycocoevalcap again") from error
  cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
  folder = cache / "mmjax" / f"paraphrases-{digest[:16]}"
  if not folder.is_dir():
    _pack(table, folder)
  return Paraphrases(*(np.load(folder / f"{name}.npy", mmap_mode="r")
                       for name in Paraphrases._fields))


def _pack(table: pathlib.Path, folder: pathlib.Path) -> None:
  """Writes the table's three arrays to a folder, whole or not at all."""
  logging.info("packing %s into %s: once, about half a minute", table, folder)
  numbers: dict[bytes, int] = {}
  pairs = array("i")
  try:
    with gzip.open(table, "rb") as lines:
      for _, source, target in zip(lines, lines, lines):  # a probability comes first
        pairs.append(numbers.setdefault(source, len(numbers)))
        pairs.append(numbers.setdefault(target, len(numbers)))
  except (OSError, EOFError, zlib.error) as error:
    raise ValueError(f"{table} cannot be read ({error}); install pycocoevalcap again") from error
  hashes = np.array([_hash(phrase.rstrip(b"\n")) for phrase in numbers], np.uint64)
  order = np.argsort(hashes)
  place = np.empty(len(order), np.int32)
  place[order] = np.arange(len(order), dtype=np.int32)
  sources, targets = place[np.frombuffer(pairs, np.int32).reshape(-1, 2).T]
  starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=len(order)))])
  arrays = Paraphrases(hashes[order], starts.astype(np.int32),
                       targets[np.argsort(sources, kind="stable")])
  folder.parent.mkdir(parents=True, exist_ok=True)
  unfinished = pathlib.Path(tempfile.mkdtemp(dir=folder.parent))
  try:
    for name, values in arrays._asdict().items():
      np.save(unfinished / f"{name}.npy", values)
    try:
      unfinished.rename(folder)
    except OSError:
      if not folder.is_dir():  # else another process was first
        raise
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
