r"""METEOR 1.5 for English captions, the arithmetic of `-l en -norm` of the official program.

With content words weighing delta and function words 1 - delta, w the weight of a match's module:

  P = sum w matched words of the hypothesis / all its words,  R = the same of the reference
  F = P R / (alpha P + (1 - alpha) R)
  METEOR = F (1 - gamma (chunks / matched words)^beta)

Source: M. Denkowski and A. Lavie, "Meteor Universal: Language Specific Translation Evaluation for
Any Target Language", WMT 2014. Corpus scores are those of the summed statistics, not means.
"""

from collections.abc import Sequence

import numpy as np
from absl import logging
from jaxtyping import Float

from mmjax.metrics.measured import Measured, Scores
from mmjax.metrics.meteor import data
from mmjax.metrics.meteor.aligner import WEIGHTS, Aligner, Match
from mmjax.metrics.meteor.normaliser import normalise

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75

# The statistics, in the official program's order: lengths and function words of hypothesis and
# reference; for each module matched content words of both, then function words; chunks; words
# matched.
STATISTICS = 4 + 4 * len(WEIGHTS) + 3


def measure(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Measured:
  """METEOR of captions; each sample's is that of the reference that suits it best.

  Words are cut by METEOR's own rules, after which every Chinese character is a word. Needs the word
  lists and the paraphrase table of the package pycocoevalcap; without it the score is a different
  one, of exact and stem matches alone and all words weighing the same, and has a different name.

  Args:
    references: one or more captions of each of N pictures; one may be empty, but not all.
    hypotheses: one caption of each picture, may be empty (which scores 0).

  Returns:
    The score `meteor`, or `meteor_exact_stem` without the package, with [N, 23] statistics. Of
    references that score the same the first one's are taken, as the official program does; so
    their order may move the corpus score, never a sample's.

  Raises:
    ValueError: numbers of samples differ, or a sample has no reference with text.
  """
  if len(references) != len(hypotheses) or not hypotheses:
    raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} lists of references; "
                     "give one hypothesis for each list, and at least one")
  for i, (captions, text) in enumerate(zip(references, hypotheses)):
    if not isinstance(text, str):
      raise ValueError(f"hypotheses[{i}] is {text!r}; give a text, empty where there is none")
    if (isinstance(captions, str) or not all(isinstance(caption, str) for caption in captions)
        or not any(caption.strip() for caption in captions)):
      raise ValueError(f"references[{i}] is {captions!r}; give a list of captions with text")
  folder = data.package()
  if folder is None:
    logging.warning("METEOR counts exact and stem matches alone (score meteor_exact_stem): the "
                    "official one needs the package pycocoevalcap; %s", data.INSTALL)
  known = data.load(folder) if folder else data.Data()
  name = "meteor" if folder else "meteor_exact_stem"

  def summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
    return {name: score(sums)}

  aligner = Aligner(known)
  texts = [text for group, text in zip(references, hypotheses) for text in (*group, text)]
  sentences = iter(aligner.sentences(normalise(text, known.prefixes) for text in texts))
  rows = []
  for group in references:
    candidates = [next(sentences) for _ in group]
    hypothesis = next(sentences)
    options = np.array([
      _statistics(hypothesis.words, reference.words, *aligner.align(hypothesis, reference),
                  known.function_words) for reference in candidates])
    rows.append(options[np.argmax(score(options))])
  return Measured(np.array(rows), summarise)


def score(sums: Float[np.ndarray, "*R S"]) -> Float[np.ndarray, "*R"]:
  """METEOR of summed statistics."""
  lengths, functions = sums[..., 0:2], sums[..., 2:4]
  modules = sums[..., 4:-3].reshape(*sums.shape[:-1], len(WEIGHTS), 2, 2)
  content, function = np.moveaxis(np.einsum("...mkw,m->...kw", modules, np.array(WEIGHTS)), -2, 0)
  weights = DELTA * (lengths - functions) + (1 - DELTA) * functions
  matched = DELTA * content + (1 - DELTA) * function
  rates = np.divide(matched, weights, out=np.zeros_like(matched), where=weights > 0)
  precision, recall = rates[..., 0], rates[..., 1]
  both = precision * recall
  mean = np.divide(both, ALPHA * precision + (1 - ALPHA) * recall, out=np.zeros_like(both),
                   where=both > 0)
  words = sums[..., -2:].mean(-1)
  broken = np.divide(sums[..., -3], words, out=np.zeros_like(words), where=words > 0)
  return mean * (1 - GAMMA * broken**BETA)


def _statistics(hypothesis: Sequence[str], reference: Sequence[str], matches: list[Match],
                chunks: int, function_words: frozenset[str]) -> list[float]:
  out = [0.0] * STATISTICS
  sides = ([word in function_words for word in hypothesis],
           [word in function_words for word in reference])
  for side, functions in enumerate(sides):
    out[side] = len(functions)
    out[2 + side] = sum(functions)
  for m in matches:
    spans = ((m.other_start, m.other_length), (m.start, m.length))
    for side, (start, length) in enumerate(spans):
      function = sum(sides[side][start : start + length])
      out[4 + 4 * m.module + side] += length - function
      out[6 + 4 * m.module + side] += function
      out[-2 + side] += length
  whole = chunks == 1 and out[-2] == len(hypothesis) and out[-1] == len(reference)
  out[-3] = 0 if whole else chunks  # one chunk that is all there is breaks nothing
  return out
