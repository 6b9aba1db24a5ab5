"""What a run without pairs learns from: a corpus, concepts detected in pictures, made-up captions.

`config.data.corpus` names the sentences and `config.data.concepts` the detections; together they
say what the words are.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from mmjax.config import ConfigError
from mmjax.tasks.unsupervised import sentences_of
from mmjax.text import concepts, corpus
from mmjax.text.concepts import Concept, ConceptError
from mmjax.text.corpus import CorpusError
from mmjax.text.vocabulary import Vocabulary

HELD_OUT = 0.02  # the first share of a corpus, which validates the networks that begin with it


class Corpus(NamedTuple):
  """Sentences, and the words to learn."""

  sentences: list[list[str]]
  vocabulary: Vocabulary
  concepts: frozenset[str]


def chosen(config: ConfigDict) -> bool:
  """Whether a config learns from a corpus."""
  return "corpus" in config.data


def load(config: ConfigDict) -> Corpus:
  """The corpus of a config.

  Raises:
    ConfigError: a file is missing or damaged, or leaves nothing.
  """
  d = config.data
  for key, what in (("corpus", "sentences"), ("concepts", "detections")):
    if not d[key]:
      raise ConfigError(f"config.data.{key} is '': name the file of {what}")
  try:
    return _load(d.corpus, d.concepts, d.language, d.min_count, tuple(d.sentence_words))
  except (CorpusError, ConceptError) as e:
    raise ConfigError(f"config.data: {e}") from e


@functools.lru_cache(maxsize=2)
def _load(path, detections, language, min_count, sizes) -> Corpus:
  fewest, most = sizes
  words = frozenset(c.word for found in _detected(detections).values() for c in found)
  sentences = corpus.read(
      Path(path).expanduser(), language, min_words=fewest, concepts=sorted(words)
  )
  vocabulary = corpus.vocabulary_of(sentences, words, min_count)
  kept = [s for s in corpus.known(sentences, vocabulary) if len(s) <= most]
  if len(kept) < 2:
    raise CorpusError(f"{path}: {len(kept)} sentences of {fewest} to {most} words; change"
                      " config.data.sentence_words")  # fmt: skip
  return Corpus(kept, vocabulary, words)


@functools.lru_cache(maxsize=2)
def _detected(path: str) -> dict[str, list[Concept]]:
  return concepts.read(Path(path).expanduser())


def part(config: ConfigDict, split: str) -> list[list[str]]:
  """The sentences of "validation", the first of the corpus, or of "train", all others.

  Raises:
    ConfigError: another split, or as for `load`.
  """
  sentences = load(config).sentences
  held_out = max(round(HELD_OUT * len(sentences)), 1)
  parts = {"train": sentences[held_out:], "validation": sentences[:held_out]}
  if split not in parts:
    raise ConfigError(f"a corpus has no split {split!r}, only: {', '.join(parts)}")
  return parts[split]


def attach(config: ConfigDict, task: Any) -> Any:
  """`task` with the corpus, if its training draws from one.

  Raises:
    ConfigError: see `load`.
  """
  if "sentences" not in getattr(task, "learns_from", ()):
    return task
  numbers = [task.vocabulary.encode(words) for words in part(config, "train")]
  return dataclasses.replace(task, sentences=sentences_of(numbers))


def concept_arrays(
    config: ConfigDict, ids: Sequence[str], name: str, vocabulary: Vocabulary
) -> dict[str, np.ndarray]:
  """`concepts` int32 [N, C], numbers of words with PAD behind, and their `concept_scores`.

  Args:
    ids: of the pictures of the split `name`.

  Raises:
    ConfigError: a picture was not looked at.
  """
  try:
    found = concepts.of_pictures(_detected(config.data.concepts), ids, name)
  except ConceptError as e:
    raise ConfigError(f"config.data.concepts: {e}") from e
  numbers = _padded([vocabulary.encode([c.word for c in row]) for row in found])
  scores: Float[np.ndarray, "N C"] = np.zeros(numbers.shape, np.float32)
  for i, row in enumerate(found):
    scores[i, : len(row)] = [c.score for c in row]
  return {"concepts": numbers, "concept_scores": scores}


def concepts_of_sentences(
    config: ConfigDict, sentences: Sequence[Sequence[str]], vocabulary: Vocabulary
) -> Int[np.ndarray, "N C"]:
  """Numbers of the concepts that each sentence names, each once, PAD behind."""
  known = load(config).concepts
  named = ([w for w in dict.fromkeys(words) if w in known] for words in sentences)
  return _padded([vocabulary.encode(words) for words in named])


def read_captions(config: ConfigDict, ids: Sequence[str]) -> list[list[str]]:
  """The words of the made-up caption of each picture, none where it has none.

  `config.data.captions` has a line {"id": ..., "words": [...]} for each, as
  `mmjax.infer.pseudo_captions` writes it.

  Raises:
    ConfigError: there is no such file, it is damaged, or has none of the pictures.
  """
  path = config.data.captions
  if not path:
    raise ConfigError(
        "config.data.captions is '': make the file by python -m mmjax.infer.pseudo_captions"
    )
  try:
    lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    found = {row["id"]: row["words"] for row in map(json.loads, lines)}
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise ConfigError(
        f"config.data.captions: {path} is no file of made-up captions ({e}); make it by python -m"
        " mmjax.infer.pseudo_captions"
    ) from e
  if not any(found.get(name) for name in ids):
    raise ConfigError(f"config.data.captions: {path} has a caption of none of the pictures; the"
                      f" first of them is {ids[0]}")  # fmt: skip
  return [found.get(name, []) for name in ids]


def _padded(rows: Sequence[Sequence[int]]) -> Int[np.ndarray, "N L"]:
  out = np.zeros((len(rows), max(map(len, rows), default=0) or 1), np.int32)
  for i, row in enumerate(rows):
    out[i, : len(row)] = row
  return out
