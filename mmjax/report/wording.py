"""What numbers are called and how they are written for readers."""

import math

_LABELS = {
  "exprate": "ExpRate",
  "exprate_1": "ExpRate, at most 1 error",
  "exprate_2": "ExpRate, at most 2 errors",
  "ser": "Symbol error rate",
  "cider": "CIDEr",
  "bleu_1": "BLEU-1",
  "bleu_2": "BLEU-2",
  "bleu_3": "BLEU-3",
  "bleu_4": "BLEU-4",
  "meteor": "METEOR",
  "meteor_exact_stem": "METEOR of exact and stem matches",
  "rouge_l": "ROUGE-L",
}
_SHARES = ("exprate", "ser", "accuracy")  # shown in per cent
_HUNDREDFOLD = ("cider", "bleu", "meteor", "rouge")  # papers print them times 100


def label(name: str) -> str:
  """What readers call a number."""
  plain = name.removeprefix("normalised_")
  if plain != name:
    return f"{label(plain)}, normalised"
  return _LABELS.get(name, name.replace("_", " "))


def format_value(name: str, value: float) -> str:
  """A number for the reader: shares such as `exprate` in per cent, others in four digits.

  CIDEr, BLEU, METEOR and ROUGE-L are written times 100, as papers print them.
  """
  if not math.isfinite(value):
    return "–"
  if _has(name, _SHARES):
    return f"{100 * value:.2f} %"
  if is_hundredfold(name):
    return f"{100 * value:.1f}"
  return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_tick(name: str, value: float) -> str:
  """A round number beside an axis."""
  if _has(name, _SHARES):
    return f"{100 * value:.3g} %"
  return f"{100 * value:.4g}" if is_hundredfold(name) else f"{value:.4g}"


def is_hundredfold(name: str) -> bool:
  """Whether a number is written times 100."""
  return _has(name, _HUNDREDFOLD)


def _has(name: str, parts: tuple[str, ...]) -> bool:
  return any(part in parts for part in name.replace("/", "_").split("_"))
