"""`generation_config.json`, or what an older `config.json` says of it -> settings of a search."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mmjax.convert.hub.folder import HubError, text_part

_DEFAULTS: dict[str, Any] = dict(
    num_beams=1, max_length=20, max_new_tokens=None, min_length=0, length_penalty=1.0,
    early_stopping=False, no_repeat_ngram_size=0, repetition_penalty=1.0, forced_bos_token_id=None,
    forced_eos_token_id=None, decoder_start_token_id=None, bos_token_id=None, eos_token_id=None,
    pad_token_id=None, suppress_tokens=None, begin_suppress_tokens=None, bad_words_ids=None,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Generation:
  """How texts are searched for. (The library's `GenerationConfig`.)

  Attributes:
    start: the token that a text begins with, and `stops`, those that end it.
    pad: fills up behind the end.
    beams: hypotheses; 1 is greedy.
    max_length: most tokens, the end included, the start not.
    min_length: fewest tokens before the end.
    length_penalty: exponent of the length in a hypothesis's score.
    early_stopping: whether a search ends with the `beams`-th hypothesis; None: "never" before none
      can be better.
    no_repeat: n-grams of this many tokens do not come twice; 0: they may.
    forced_first, forced_last: tokens that stand behind the start, and at `max_length`.
    banned: tokens that never come.
  """

  start: int
  stops: tuple[int, ...]
  pad: int
  beams: int = 1
  max_length: int = 19
  min_length: int = 0
  length_penalty: float = 1.0
  early_stopping: bool | None = False
  no_repeat: int = 0
  forced_first: int | None = None
  forced_last: int | None = None
  banned: tuple[int, ...] = ()


def from_dicts(config: Mapping[str, Any], given: Mapping[str, Any] | None) -> Generation:
  """The settings of a folder.

  Args:
    config: `config.json`.
    given: `generation_config.json`, None where there is none.

  Raises:
    HubError: no token is said to begin or to end a text, or a rule that is not known here.
  """
  g = _DEFAULTS | _collected(config, given)
  words = [tuple(w) for w in g["bad_words_ids"] or ()]
  unknown = {
      "repetition_penalty": g["repetition_penalty"] != 1,
      "begin_suppress_tokens": bool(g["begin_suppress_tokens"]),
      "bad_words_ids (of several tokens)": any(len(w) != 1 for w in words),
  }
  if any(unknown.values()):
    rules = ", ".join(name for name, there in unknown.items() if there)
    raise HubError(f"generation_config.json sets {rules}, which is not known here; take it out")
  start = g["decoder_start_token_id"]
  start = g["bos_token_id"] if start is None else start
  stops = g["eos_token_id"]
  stops = stops if isinstance(stops, list | tuple) else [stops]
  if start is None or None in stops or not stops:
    raise HubError(
        "generation_config.json has no decoder_start_token_id (or bos_token_id) or no eos_token_id:"
        " it does not say how a text begins and ends"
    )
  most = g["max_length"] - 1 if g["max_new_tokens"] is None else g["max_new_tokens"]
  return Generation(
      start=int(start),
      stops=tuple(map(int, stops)),
      pad=int(stops[0] if g["pad_token_id"] is None else g["pad_token_id"]),
      beams=int(g["num_beams"]),
      max_length=int(most),
      min_length=max(int(g["min_length"]) - 1, 0),
      length_penalty=float(g["length_penalty"]),
      early_stopping=None if g["early_stopping"] == "never" else bool(g["early_stopping"]),
      no_repeat=int(g["no_repeat_ngram_size"]),
      forced_first=g["forced_bos_token_id"],
      forced_last=g["forced_eos_token_id"],
      banned=tuple(sorted({w[0] for w in words} | set(g["suppress_tokens"] or ()))),
  )


def _collected(
    config: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, Any]:
  """The keys that are set: of `given`, else of the config, else of its text part."""
  part = text_part(config)
  if config.get("model_type") == "blip":  # it hands its text part's own tokens to the search
    tokens = dict(bos_token_id=part.get("bos_token_id", 30522), pad_token_id=part.get("pad_token_id", 0),
                  eos_token_id=part.get("sep_token_id", 102))  # fmt: skip
    return {**_known(given or part), **tokens}
  if given is not None:
    return _known(given)
  own, inner = _known(config), _known(part)
  return inner | {k: v for k, v in own.items() if v != _DEFAULTS[k]}


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
  return {k: settings[k] for k in _DEFAULTS if settings.get(k) is not None}
