"""Texts as metrics want them: words joined by single blanks."""

import importlib
from collections.abc import Callable, Sequence
from typing import Literal

from mmjax.metrics.registry import NotAvailableError, Preparation
from mmjax.text import chinese, latex

Language = Literal["en", "zh"]
Unit = Literal["word", "char"]
Sets = list[list[str]]  # the texts of each sample
Prepare = Callable[[Sequence[str]], list[str]]


def prepare(
    kind: Preparation, language: Language, unit: Unit, references: Sets, hypotheses: Sequence[Sets]
) -> tuple[Sets, list[Sets]]:
  """References and the hypotheses of each system as `kind` says.

  `formula`: split at blanks; a formula without any is cut into LaTeX tokens. `caption`: the PTB
  tokens of coco-caption, in Chinese of words (`unit="word"`) or characters, by the protocol of AI
  Challenger: references that hold blanks between characters are words already.

  Raises:
    NotAvailableError: a tokenizer is missing.
  """
  reference, hypothesis = _ways(kind, language, unit)
  return _each(reference, references), [_each(hypothesis, sets) for sets in hypotheses]


def _each(way: Prepare, sets: Sets) -> Sets:
  """All texts at once, since a tokenizer of captions may look at the next."""
  done = iter(way([text for texts in sets for text in texts]))
  return [[next(done) for _ in texts] for texts in sets]


def _ways(kind: Preparation, language: Language, unit: Unit) -> tuple[Prepare, Prepare]:
  """How references and how hypotheses are prepared; they differ in Chinese alone."""
  if kind == "raw":
    raw: Prepare = lambda texts: [text.strip() for text in texts]
    return raw, raw
  if kind == "formula":
    formula: Prepare = lambda texts: list(map(_formula, texts))
    return formula, formula
  try:
    ptb = importlib.import_module("mmjax.metrics.ptb")
    if language == "zh" and unit == "word":
      chinese.words("")
  except ImportError as e:
    raise NotAvailableError(f"a tokenizer of captions is missing: {e}") from e
  tokens: Prepare = lambda texts: [" ".join(words) for words in ptb.tokenize_all(texts)]
  if language == "en":
    return tokens, tokens
  cut = chinese.characters if unit == "char" else chinese.words
  written = lambda text: " ".join(cut(text))
  given = lambda text: chinese.without_stops(text) if chinese.is_segmented(text) else written(text)
  way: Callable[..., Prepare] = lambda one: lambda texts: tokens(list(map(one, texts)))
  return way(given if unit == "word" else written), way(written)


def _formula(text: str) -> str:
  tokens = text.split()
  return " ".join(latex.tokenize(text) if len(tokens) == 1 else tokens)
