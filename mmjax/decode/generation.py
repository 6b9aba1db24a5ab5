"""The search that Hugging Face's `generate` makes, from its settings (version 4.50 and later)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jaxtyping import Array, Bool

from mmjax.decode.beam_search import Cache, Ending, Step, normalised_beam_search
from mmjax.decode.bidirectional import Decoded
from mmjax.decode.constraints import Banned, Constraint, MinimumLength, NoRepeatedNgram, combine

_ENDINGS: dict[bool | str, Ending] = {True: "full", False: "running", "never": "longest"}


@dataclasses.dataclass(frozen=True)
class Generation:
  """Settings of `generate`, in its meaning: lengths include the start tokens.

  Attributes:
    start: token that texts begin with, or the tokens of a prompt.
    stop: tokens that end a text.
    beam: hypotheses; 1 is greedy.
    max_length: most tokens, of start, text and stop.
    min_length: fewest tokens before a stop, the start's among them.
    length_penalty: exponent of the length: tokens after the start, with the stop.
    early_stopping: a search ends with `beam` finished hypotheses (True), or when the best running
      one is no better than the worst of them at its present length (False), or at `max_length`
      ("never").
    no_repeat_ngram: no run of so many tokens twice; 0: any.
    forced_first: the token after a start of one; never part of the output.
    forced_last: the stop that a text of `max_length` is given.
    suppressed: tokens that never come.
  """

  start: tuple[int, ...]
  stop: tuple[int, ...]
  beam: int = 1
  max_length: int = 20
  min_length: int = 0
  length_penalty: float = 1.0
  early_stopping: bool | Literal["never"] = False
  no_repeat_ngram: int = 0
  forced_first: int | None = None
  forced_last: int | None = None
  suppressed: tuple[int, ...] = ()

  def __post_init__(self):
    if not self.start or not self.stop:
      raise ValueError("a search needs a start and a stop token; there is none")
    if self.early_stopping not in _ENDINGS:
      raise ValueError(f"early_stopping is {self.early_stopping!r}; use true, false or 'never'")
    if self.words < 1:
      raise ValueError(
          f"max_length is {self.max_length}, which start and forced tokens fill; raise it to"
          f" {self.max_length + 1 - self.words}"
      )

  @classmethod
  def from_config(cls, config: Mapping[str, Any], **changes: Any) -> "Generation":
    """The settings of a `generation_config.json`, some of them changed.

    Raises:
      ValueError: they ask for sampling, groups or penalties, which this search has not.
    """
    neutral = {"do_sample": False, "num_beam_groups": 1, "repetition_penalty": 1.0}
    for key, value in neutral.items():
      if config.get(key) not in (None, value):
        raise ValueError(f"generation setting {key} is {config[key]!r}; this search has {value!r}")
    listed = lambda x: () if x is None else (x,) if isinstance(x, int) else tuple(x)
    start = config.get("decoder_start_token_id")
    found: dict[str, Any] = {
        "start": listed(config.get("bos_token_id") if start is None else start),
        "stop": listed(config.get("eos_token_id")),
        "beam": config.get("num_beams"),
        "max_length": config.get("max_length"),
        "min_length": config.get("min_length"),
        "length_penalty": config.get("length_penalty"),
        "early_stopping": config.get("early_stopping"),
        "no_repeat_ngram": config.get("no_repeat_ngram_size"),
        "forced_first": config.get("forced_bos_token_id"),
        "forced_last": config.get("forced_eos_token_id"),
        "suppressed": listed(config.get("suppress_tokens")),
    }
    found = {key: value for key, value in found.items() if value is not None} | changes
    if config.get("max_new_tokens") is not None and "max_length" not in changes:
      found["max_length"] = len(found["start"]) + config["max_new_tokens"]
    return cls(**found)

  @property
  def prompt(self) -> tuple[int, ...]:
    """All tokens before the first that is searched for."""
    if self.forced_first is None or len(self.start) > 1:
      return self.start
    return (*self.start, self.forced_first)

  @property
  def words(self) -> int:
    """Most tokens that are searched for."""
    return self.max_length - len(self.prompt) - (self.forced_last is not None)

  def constraints(self, vocabulary: int) -> tuple[Constraint, ...]:
    """The rules of these settings over so many words."""
    rules: list[Constraint] = []
    if self.min_length > len(self.prompt):
      fewest = self.min_length - len(self.prompt)
      rules.append(MinimumLength(fewest, self.stop, vocabulary))
    if self.no_repeat_ngram:
      rules.append(NoRepeatedNgram(self.no_repeat_ngram, self.words, vocabulary, self.prompt))
    if self.suppressed:
      rules.append(Banned(self.suppressed, vocabulary))
    return combine(rules)


def generate(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    settings: Generation,
    vocabulary: int,
) -> Decoded:
  """Texts as `generate` finds them, `settings.beam` for each picture, best first.

  Args:
    step, cache_of, real: as for `beam_search`, with `settings.beam` rows.
    settings: of the search.
    vocabulary: number of words.

  Returns:
    Tokens without start, forced first token and stop; 0 behind the end, whatever 0 stands for.
  """
  found = normalised_beam_search(
      step,
      cache_of,
      real,
      starts=(settings.prompt,),
      stops=(settings.stop,),
      beam=settings.beam,
      max_length=settings.words,
      length_penalty=settings.length_penalty,
      ending="full" if settings.beam == 1 else _ENDINGS[settings.early_stopping],
      cut=settings.forced_last is None,
      counted=len(settings.prompt) - len(settings.start),
      constraints=settings.constraints(vocabulary),
  )
  return Decoded(found.tokens[:, 0], found.scores[:, 0], found.lengths[:, 0])
