r"""The sentence of a corpus that says most of what a detector saw: captions without any training.

  python -m mmjax.infer.nearest_sentence --data=flickr8k --split=test --concepts=concepts.jsonl \
      --corpus=captions_val2017.json.gz --output=nearest.jsonl

The output has a line of JSON for each picture: its id, its references and the sentence.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from data_pipelines import datasets
from data_pipelines.datasets import NotPreparedError, UnknownDatasetError
from data_pipelines.index import load_caption_index
from mmjax.text import captions, concept_words, concepts, corpus
from mmjax.text.concepts import Concept
from mmjax.text.plurals import plural

CHUNK = 256  # pictures that are compared with all sentences at once


class Weights(NamedTuple):
  """How sentences are compared.

  Attributes:
    unseen: what a concept that a sentence names but nobody saw costs.
    common: of how common the words of a sentence are, the mean of their log probabilities.
  """

  unseen: float
  common: float


class Corpus:
  """Sentences, and which concepts they name.

  Attributes:
    sentences: their words.
    named: [S, C] True where the sentence names the concept by one of its words.
    common: [S] mean log probability of the words of each.
  """

  def __init__(
      self, sentences: Sequence[Sequence[str]], words: Sequence[str], language: str
  ) -> None:
    """`words` are the English words of all concepts."""
    self.sentences = sentences
    self._columns = {word: i for i, word in enumerate(words)}
    said_by: dict[str, list[int]] = {}
    for i, word in enumerate(words):
      for said in concept_words.said_as(word, language):
        for form in {said, plural(said)} if language == "en" else {said}:
          said_by.setdefault(form, []).append(i)
    counts = Counter(w for s in sentences for w in s)
    log = {w: np.log(n / counts.total()) for w, n in counts.items()}
    self.named = np.zeros((len(sentences), len(words)), bool)
    self.common = np.zeros(len(sentences), np.float32)
    for row, sentence in enumerate(sentences):
      self.common[row] = np.mean([log[w] for w in sentence])
      for w in set(sentence) & said_by.keys():
        self.named[row, said_by[w]] = True

  def nearest(
      self, seen: Sequence[Sequence[Concept]], weights: Weights
  ) -> Iterator[tuple[int, float]]:
    """For each picture the best sentence's number and how much of what was seen it says.

    The best has the largest sum of the scores of the concepts that it names and somebody saw, less
    `weights.unseen` for each other one that it names, plus `weights.common` times `common`.
    """
    named = self.named.astype(np.float32)
    cost = weights.common * self.common - weights.unseen * named.sum(1)
    for start in range(0, len(seen), CHUNK):
      scores = np.zeros((len(self._columns), len(seen[start : start + CHUNK])), np.float32)
      for column, concepts_of_picture in enumerate(seen[start : start + CHUNK]):
        for c in concepts_of_picture:
          scores[self._columns[c.word], column] = c.score
      gain = named @ (scores + weights.unseen * (scores > 0)) + cost[:, None]  # [S, pictures]
      for column, best in enumerate(gain.argmax(0)):
        yield int(best), float(named[best] @ scores[:, column])


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code: 0 done, 1 could not be written, 2 bad input."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.infer.nearest_sentence", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      epilog="exit code: 0 done, 1 could not be written, 2 wrong usage or bad input",
  )  # fmt: skip
  add = parser.add_argument
  add("--data", required=True, metavar="NAME", help="a prepared data set")
  add("--data_dir", type=Path, metavar="DIR", help="where prepared data sets lie")
  add("--split", default="test", help="of the data set (%(default)s)")
  add("--concepts", type=Path, required=True, metavar="FILE",
      help="what was seen, of python -m mmjax.infer.detect")  # fmt: skip
  add("--corpus", type=Path, required=True, metavar="PATH", help="sentences, see mmjax.text.corpus")
  add("--language", choices=captions.LANGUAGES, default="en", help="of the corpus (%(default)s)")
  add("--min_words", type=int, default=8, metavar="N", help="of a sentence (%(default)s)")
  add("--max_words", type=int, default=12, metavar="N", help="of a sentence (%(default)s)")
  add("--unseen", type=float, default=0.03, metavar="W",
      help="cost of a concept that was not seen (%(default)s)")  # fmt: skip
  add("--common", type=float, default=0.3, metavar="W",
      help="weight of common words (%(default)s)")  # fmt: skip
  add("--output", type=Path, required=True, metavar="FILE", help="where to write (.jsonl)")
  o = parser.parse_args(arguments)
  try:
    builder = datasets.load(o.data, o.data_dir or datasets.default_data_dir())
    index = load_caption_index(builder, o.split)
    found = concepts.read(o.concepts)
    seen = concepts.of_pictures(found, index.ids, f"{o.data}/{o.split}")
    words = sorted({c.word for of_picture in found.values() for c in of_picture})
    sentences = corpus.read(o.corpus, o.language, min_words=o.min_words)
    sentences = [s for s in sentences if len(s) <= o.max_words]
    if not sentences:
      raise corpus.CorpusError(f"{o.corpus}: no sentence of {o.min_words} to {o.max_words} words")
    compared = Corpus(sentences, words, o.language)
  except (ValueError, NotPreparedError, UnknownDatasetError) as e:
    print(f"nearest_sentence: {e}", file=sys.stderr)
    return 2
  join = captions.language(o.language).join
  best = compared.nearest(seen, Weights(o.unseen, o.common))
  try:
    with o.output.open("w") as lines:
      progress = tqdm(best, total=len(seen), unit="picture", disable=None)
      for i, (number, score) in enumerate(progress):
        texts = [t for t, x in zip(index.texts[i], index.languages[i]) if x == o.language]
        row = {"id": index.ids[i], "references": texts, "hypothesis": join(sentences[number]),
               "score": round(score, 4)}  # fmt: skip
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
  except OSError as e:
    print(f"nearest_sentence: {e}", file=sys.stderr)
    return 1
  print(f"{len(seen):,} pictures, {len(sentences):,} sentences\nnext: python -m mmjax.metrics"
        f" --refs={o.output} --hyps={o.output} --language={o.language}")  # fmt: skip
  return 0


if __name__ == "__main__":
  sys.exit(main())
