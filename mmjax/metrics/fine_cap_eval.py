"""FineCapEval's words: how many of what annotators saw in the background, as objects and as
relations a caption names.

Reference: Cho et al., 2022, Fine-grained image captioning with CLIP reward. The published scorer
looks for the stem of each word anywhere in the caption as it is written, so that `cat` is found in
`education` and a capital letter hides a word; `..._tokens` compare the stems of whole words.
"""

import functools
import re
from collections.abc import Container, Sequence

import numpy as np
from jaxtyping import Float
from nltk.stem.porter import PorterStemmer
from nltk.tokenize import NLTKWordTokenizer

from mmjax.metrics.measured import Measured, Scores
from mmjax.metrics.phrases import CATEGORIES, Phrases

_SENTENCE = re.compile(r"(?<=[.?!])\s+")


def measure(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
    *,
    ids: Sequence[str],
    phrases: Phrases,
) -> Measured:
  """Shares of words found, in percent; means over pictures.

  Of a phrase it is the share of its words, of a picture the mean over all its phrases, 0 without
  any. Pictures all of whose rows were skipped count nowhere.

  Args:
    references: texts of each picture; not looked at.
    hypotheses: a caption of each picture, as it is written.
    ids: of the pictures.
    phrases: of all of them.

  Returns:
    `fine_background`, `fine_object`, `fine_relation`, by the published rule; `fine_mean`, ours, of
    the three; and the same with `_tokens` behind, by stems of whole words.

  Raises:
    ValueError: a picture has no phrases.
  """
  del references
  missing = [name for name in ids if name not in phrases]
  if missing:
    raise ValueError(f"{len(missing)} pictures have no phrases, the first: {missing[0]!r}")
  rows = []
  for name, caption in zip(ids, hypotheses):
    written: tuple[Container[str], ...] = caption, set(stems(caption.lower()))
    row = [_mean_share(found, where) for where in written for found in phrases[name]]
    rows.append([float(any(phrases[name])), *row])

  def summarise(s: Float[np.ndarray, "*R S"]) -> Scores:
    shares = 100 * s[..., 1:] / np.maximum(s[..., :1], 1)
    out: Scores = {}
    for i, behind in enumerate(("", "_tokens")):
      mine = shares[..., i * len(CATEGORIES) : (i + 1) * len(CATEGORIES)]
      out |= {f"fine_{c}{behind}": mine[..., j] for j, c in enumerate(CATEGORIES)}
      out[f"fine_mean{behind}"] = mine.mean(-1)
    return out

  return Measured(np.array(rows), summarise)


def stems(text: str) -> list[str]:
  """Porter stems of the words of a text in small letters, without all but letters and digits.

  Words are those of NLTK's `word_tokenize`, save that it finds ends of sentences by a trained
  model: here a sentence ends at `.`, `?` or `!` before a blank, also behind an abbreviation.
  """
  tokens = [t for part in _SENTENCE.split(text) for t in _TOKENIZER.tokenize(part)]
  found = (re.sub("[^a-zA-Z0-9]", "", _stem(token)) for token in tokens)
  return [stem for stem in found if stem]


_TOKENIZER = NLTKWordTokenizer()
_stem = functools.lru_cache(maxsize=100_000)(PorterStemmer().stem)


def _mean_share(phrases: Sequence[str], written: Container[str]) -> float:
  total = 0.0
  for phrase in phrases:
    wanted = stems(phrase)
    if wanted:  # a phrase of punctuation alone counts as missed
      total += sum(stem in written for stem in wanted) / len(wanted)
  return total / len(phrases) if phrases else 0.0
