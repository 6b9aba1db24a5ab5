"""Sentences that belong to no picture, as words.

Files: text, one sentence a line, of which what stands before a tab is left out; COCO's captions
(`.json`); either may be gzipped (`.gz`). A folder is taken as what the crawler of Feng et al.,
2019, leaves: `.json` files {page: [{"description": text}, ...]}.
"""

import gzip
import json
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmjax.text import captions
from mmjax.text.plurals import plural
from mmjax.text.vocabulary import SPECIALS, UNKNOWN, Vocabulary


class CorpusError(ValueError):
  """A corpus that cannot be used; says where and why."""


def read(
    path: str | Path,
    language: str,
    *,
    min_words: int = 8,
    concepts: Collection[str] = (),
    vocabulary: Vocabulary | None = None,
    max_unknown: float = 0.15,
) -> list[list[str]]:
  """The words of each sentence of a corpus, in the order of the corpus, no text twice.

  English is folded to ASCII and plurals of `concepts` become singulars, so that a sentence names a
  concept by one word.

  Reference: Feng et al., 2019, Unsupervised Image Captioning, section 4.1. They count punctuation
  among the words of a sentence; here it is none of them, as in all captions.

  Args:
    path: a file or a folder, see above.
    language: "en" or "zh".
    min_words: sentences of fewer words are left out.
    concepts: words of what detectors see.
    vocabulary: where given, see `known`.
    max_unknown: share of a sentence's words that `vocabulary` may lack.

  Raises:
    CorpusError: no such file, a damaged one, or no sentence is left of it.
    ValueError: an unknown language.
  """
  words = captions.language(language).words
  fold = _ascii if language == "en" else str
  one = {plural(c): c for c in concepts} if language == "en" else {}
  one = {many: c for many, c in one.items() if many not in concepts}
  sentences = []
  for text in dict.fromkeys(map(fold, _texts(Path(path)))):
    sentence = [one.get(w, w) for w in words(text)]
    if len(sentence) >= min_words:
      sentences.append(sentence)
  if not sentences:
    raise CorpusError(f"{path}: no sentence of {min_words} words or more; lower min_words")
  if vocabulary is None:
    return sentences
  kept = known(sentences, vocabulary, max_unknown)
  if not kept:
    raise CorpusError(
        f"{path}: of all {len(sentences):,} sentences more than {max_unknown:.0%} of the words are"
        " unknown; is the vocabulary of this language and corpus?"
    )
  return kept


def known(
    sentences: Sequence[list[str]], vocabulary: Vocabulary, max_unknown: float = 0.15
) -> list[list[str]]:
  """The sentences of whose words at most the share `max_unknown` is not in the vocabulary."""
  words = frozenset(vocabulary.words) - {UNKNOWN}
  return [s for s in sentences if sum(w not in words for w in s) <= max_unknown * len(s)]


def vocabulary_of(
    sentences: Sequence[Sequence[str]], concepts: Collection[str], min_count: int
) -> Vocabulary:
  """`<unk>`, then frequent words and all concepts, even those that never occur; by their counts.

  Reference: Feng et al., 2019, whose words must be GloVe's, too.

  Args:
    sentences: of `read`.
    concepts: words of what detectors see.
    min_count: fewest times that a word stands in the sentences if it is no concept.

  Raises:
    CorpusError: no word is left.
  """
  counts = Counter(w for s in sentences for w in s)
  kept = {w for w, count in counts.items() if count >= min_count} | set(concepts)
  kept -= {*SPECIALS, UNKNOWN}
  if not kept:
    raise CorpusError(f"no word stands {min_count} times in the corpus; lower min_count")
  return Vocabulary((UNKNOWN, *sorted(kept, key=lambda w: (-counts[w], w))))


def _ascii(text: str) -> str:
  return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _texts(path: Path) -> Iterator[str]:
  if path.is_dir():
    files = sorted(path.glob("*.json"))
    if not files:
      raise CorpusError(f"{path}: a folder without .json files of descriptions; give a file")
    for file in files:
      yield from _descriptions(file)
  elif path.name.removesuffix(".gz").endswith(".json"):
    yield from _captions(path)
  else:
    for line in _content(path).splitlines():
      yield line.rpartition("\t")[2]


def _captions(path: Path) -> Iterator[str]:
  rows = _json(path)
  rows = rows.get("annotations") if isinstance(rows, dict) else None
  if not isinstance(rows, list):
    raise CorpusError(f'{path}: no captions of COCO, {{"annotations": [{{"caption": text}}, ...]}}')
  for i, row in enumerate(rows, 1):
    if not isinstance(row, dict) or not isinstance(row.get("caption"), str):
      raise CorpusError(f'{path}, annotation {i}: has no text under "caption"')
    yield from row["caption"].splitlines()


def _descriptions(path: Path) -> Iterator[str]:
  pages = _json(path)
  if not isinstance(pages, dict) or not all(isinstance(p, list) for p in pages.values()):
    raise CorpusError(f'{path}: no crawled descriptions, {{page: [{{"description": text}}, ...]}}')
  for page, rows in pages.items():
    for row in rows:
      text = row.get("description", "") if isinstance(row, dict) else None
      if not isinstance(text, str):
        raise CorpusError(f"{path}, page {page}: a description that is no text")
      yield from text.splitlines()


def _json(path: Path) -> Any:
  content = _content(path)
  try:
    return json.loads(content)
  except (ValueError, RecursionError) as e:
    raise CorpusError(f"{path}: not JSON ({e}); copy it again") from e


def _content(path: Path) -> str:
  try:
    data = path.read_bytes()
    if path.suffix == ".gz":
      data = gzip.decompress(data)
    return data.decode("utf-8-sig")
  except FileNotFoundError as e:
    raise CorpusError(f"{path}: no such file") from e
  except (OSError, EOFError, zlib.error) as e:
    raise CorpusError(f"{path}: cannot be read ({e}); copy it again") from e
  except UnicodeDecodeError as e:
    raise CorpusError(f"{path}: not UTF-8 (byte {e.start}); convert it, e.g. iconv -t UTF-8") from e
