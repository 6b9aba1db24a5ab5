"""How varied captions are: within a picture, over the corpus, and against the training captions.

None of it asks whether the captions are right.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics.measured import Measured, Scores

Sets = Sequence[Sequence[str]]  # the captions of each picture
ORDERS = (1, 2, 3, 4)


def measure(
    references: Sets,
    hypotheses: Sequence[str],
    *,
    sets: Sets | None = None,
    train_captions: Collection[str] | None = None,
) -> Measured:
  """Scores that add up over pictures.

  Args:
    references: captions of each picture, as words joined by blanks; they say how common words are.
    hypotheses: one caption of each picture.
    sets: all captions that were written for each picture; None: `hypotheses` alone.
    train_captions: what the system was trained on, prepared likewise.

  Returns:
    `self_cider`, the mean diversity of a picture's captions (see `self_cider`), where each picture
    has two or more; `novelty`, the share of captions that are not among `train_captions`, where
    those are given; `length_mean` and `length_sd`, of the captions in words; `repetition`, the
    share of pairs of neighbouring words that stood in the same caption before.
  """
  sets = [[caption] for caption in hypotheses] if sets is None else sets
  several = all(len(captions) > 1 for captions in sets)
  diversity = self_cider(references, sets) if several else np.zeros(len(sets))
  known = train_captions or ()
  rows = []
  for captions in sets:
    lengths = np.array([len(caption.split()) for caption in captions], float)
    pairs = [_ngrams(caption.split(), 2) for caption in captions]
    again = sum(count - 1 for found in pairs for count in found.values())
    rows.append((
        1, len(captions), lengths.sum(), (lengths**2).sum(),
        sum(found.total() for found in pairs), again,
        sum(caption not in known for caption in captions),
    ))  # fmt: skip
  statistics = np.column_stack([np.array(rows, float), diversity])

  def summarise(s: Float[np.ndarray, "*R S"]) -> Scores:
    pictures, captions, words, squares, pairs, again, novel, diverse = np.moveaxis(s, -1, 0)
    mean = words / captions
    out = {
        "length_mean": mean,
        "length_sd": np.sqrt(np.maximum(squares / captions - mean**2, 0)),
        "repetition": again / np.maximum(pairs, 1),
    }
    if several:
      out = {"self_cider": diverse / pictures} | out
    if train_captions is not None:
      out["novelty"] = novel / captions
    return out

  return Measured(statistics, summarise)


def corpus(sets: Sets) -> dict[str, float]:
  """Scores of all captions together, which grow or fall with the number of captions.

  Returns:
    `vocabulary`, the number of different words; `distinct_1` and `distinct_2`, different words and
    pairs of neighbouring words as a share of all (Li et al., 2016).
  """
  words: Counter[tuple[str, ...]] = Counter()
  pairs: Counter[tuple[str, ...]] = Counter()
  for captions in sets:
    for caption in captions:
      cut = caption.split()
      words.update(_ngrams(cut, 1))
      pairs.update(_ngrams(cut, 2))
  share = lambda found: len(found) / max(found.total(), 1)
  return {
      "vocabulary": float(len(words)), "distinct_1": share(words), "distinct_2": share(pairs)}


def self_cider(references: Sets, sets: Sets) -> Float[np.ndarray, "N"]:
  """Diversity of the m captions of each picture, 0 (all the same) to 1 (nothing in common).

  With K the CIDEr of every two of them (cosines of tf-idf n-grams, mean over n = 1..4) and its
  eigenvalues e, it is -log_m(max sqrt(e) / sum sqrt(e)). How many pictures have an n-gram is
  counted in the references. One picture alone has no such weights, and 0.

  Reference: Wang and Chan, 2019, Describing like humans: on diversity in image captioning.
  """
  weights = [_inverse_frequencies(references, n) for n in ORDERS]
  default = np.log(len(references)) if references else 0.0
  out = []
  for captions in sets:
    cut = [caption.split() for caption in captions]
    kernel = np.zeros((len(cut), len(cut)))
    for n, weight in zip(ORDERS, weights):
      kernel += _cosines([_ngrams(words, n) for words in cut], weight, default) / len(ORDERS)
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(kernel), 0, None))
    total = roots.sum()
    out.append(-np.log(roots.max() / total) / np.log(len(cut)) if total and len(cut) > 1 else 0.0)
  return np.array(out)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
  return Counter(zip(*(words[i:] for i in range(n))))


def _inverse_frequencies(references: Sets, n: int) -> dict[tuple[str, ...], float]:
  """ln(pictures / pictures whose references have the n-gram)."""
  counts: Counter[tuple[str, ...]] = Counter()
  for captions in references:
    counts.update({gram for caption in captions for gram in _ngrams(caption.split(), n)})
  return {gram: np.log(len(references) / count) for gram, count in counts.items()}


def _cosines(
    grams: Iterable[Counter[tuple[str, ...]]], weight: dict[tuple[str, ...], float], default: float
) -> Float[np.ndarray, "M M"]:
  """Cosines of tf-idf vectors; 0 with one that is empty. An n-gram of no reference has df 1."""
  grams = list(grams)
  columns = {gram: i for i, gram in enumerate({g for found in grams for g in found})}
  vectors = np.zeros((len(grams), len(columns)))
  for row, found in zip(vectors, grams):
    for gram, count in found.items():
      row[columns[gram]] = count * weight.get(gram, default)
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
  return unit @ unit.T
