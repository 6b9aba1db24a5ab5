"""Texts as metrics want them: words joined by single blanks."""

import importlib
from collections.abc import Callable
from typing import Literal

from mmjax.metrics.registry import NotAvailableError, Preparation
from mmjax.text import chinese, latex

Language = Literal["en", "zh"]
Unit = Literal["word", "char"]
Prepare = Callable[[str], str]


def preparations(kind: Preparation, language: Language, unit: Unit) -> tuple[Prepare, Prepare]:
  """How references and how hypotheses become tokens joined by blanks; Chinese alone has two ways.

  `formula`: split at blanks; a formula without any is cut into LaTeX tokens. `caption`: the PTB
  tokens of coco-caption, in Chinese of words (`unit="word"`) or characters, by the protocol of AI
  Challenger: references that hold blanks between characters are words already.

  Raises:
    NotAvailableError: a tokenizer is missing.
  """
  if kind == "raw":
    return str.strip, str.strip
  if kind == "formula":
    return _formula, _formula
  try:
    ptb = importlib.import_module("mmjax.metrics.ptb")
  except ImportError as e:
    raise NotAvailableError(f"the tokenizer of captions is missing ({e})") from e
  tokens = lambda text: " ".join(ptb.tokenize(text))
  if language == "en":
    return tokens, tokens
  cut = chinese.characters if unit == "char" else chinese.words
  try:
    cut("")
  except ImportError as e:
    raise NotAvailableError(str(e)) from e
  written = lambda text: tokens(" ".join(cut(text)))
  segmented = lambda text: tokens(chinese.without_stops(text))
  given = lambda text: segmented(text) if chinese.is_segmented(text) else written(text)
  return (given if unit == "word" else written), written


def _formula(text: str) -> str:
  tokens = text.split()
  return " ".join(latex.tokenize(text) if len(tokens) == 1 else tokens)
