"""How texts are decoded: `config.decode`."""

import dataclasses
from typing import Literal, get_args

Strategy = Literal["beam", "diverse", "sample"]
Normalise = Literal["sum", "each"]


@dataclasses.dataclass(frozen=True)
class DecodeOptions:
  """Settings of `mmjax.decode.search`, each described in configs/base.py.

  Raises:
    ValueError: a value is out of its range, or two do not go together; names the key.
  """

  strategy: Strategy = "beam"
  beam: int = 10
  max_length: int = 200
  length_penalty: float = 1.0
  normalise: Normalise = "sum"
  groups: int = 1
  diversity: float = 0.5
  samples: int = 5
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  min_length: int = 0
  no_repeat: int = 0
  no_double: bool = False
  ban_unknown: bool = True
  grammar: bool = False

  def __post_init__(self):
    for key, known in (("strategy", get_args(Strategy)), ("normalise", get_args(Normalise))):
      if getattr(self, key) not in known:
        raise self._wrong(key, f"there are: {', '.join(known)}")
    least = dict.fromkeys(("beam", "max_length", "groups", "samples"), 1)
    least |= dict.fromkeys(("diversity", "temperature", "top_k", "min_length", "no_repeat"), 0)
    for key, minimum in least.items():
      if getattr(self, key) < minimum:
        raise self._wrong(key, f"use {minimum} or more")
    if not 0 < self.top_p <= 1:
      raise self._wrong("top_p", "it is a share above 0; 1 draws from all words")
    if self.min_length > self.max_length:
      raise self._wrong("min_length", f"decode.max_length is {self.max_length}")
    if self.groups > 1 and self.strategy != "diverse":
      raise self._wrong("groups", 'only decode.strategy = "diverse" has several')
    if self.strategy == "diverse":
      if self.beam % self.groups:
        raise self._wrong("groups", f"decode.beam is {self.beam}, which it does not divide")
      if self.normalise != "sum":
        raise self._wrong("normalise", 'decode.strategy = "diverse" needs "sum"')

  def _wrong(self, key: str, why: str) -> ValueError:
    return ValueError(f"config.decode.{key} is {getattr(self, key)!r}; {why}")

  @property
  def rows(self) -> int:
    """Hypotheses that a search of one direction follows in each picture."""
    return self.samples if self.strategy == "sample" else self.beam
