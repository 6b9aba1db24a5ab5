"""`generation_config.json`, or what an older `config.json` says of it -> settings of a search."""

from collections.abc import Mapping
from typing import Any

from mmjax.convert.hub.folder import HubError, text_part
from mmjax.decode.generation import Generation

_DEFAULTS: dict[str, Any] = dict(
    num_beams=1, max_length=20, max_new_tokens=None, min_length=0, length_penalty=1.0,
    early_stopping=False, no_repeat_ngram_size=0, repetition_penalty=1.0, do_sample=False,
    num_beam_groups=1, forced_bos_token_id=None, forced_eos_token_id=None,
    decoder_start_token_id=None, bos_token_id=None, eos_token_id=None, suppress_tokens=None,
    begin_suppress_tokens=None, bad_words_ids=None,
)  # fmt: skip
BLIP_PLACES = 512  # of its text part where the config does not say


def from_dicts(config: Mapping[str, Any], given: Mapping[str, Any] | None) -> Generation:
  """The settings of a folder. (The library's `GenerationConfig`.)

  Args:
    config: `config.json`.
    given: `generation_config.json`, None where there is none.

  Raises:
    HubError: no token is said to begin or to end a text, or a rule that is not known here.
  """
  g = _DEFAULTS | _collected(config, given)
  words = [tuple(w) for w in g["bad_words_ids"] or ()]
  several = any(len(w) != 1 for w in words)
  if several or g["begin_suppress_tokens"]:
    rule = "bad_words_ids of several tokens" if several else "begin_suppress_tokens"
    raise HubError(f"generation_config.json sets {rule}, which is not known here; take it out")
  g["suppress_tokens"] = sorted({w[0] for w in words} | set(g["suppress_tokens"] or ()))
  if g["max_length"] == _DEFAULTS["max_length"] and g["max_new_tokens"] is None:
    # The library counts its default behind the start.
    part = text_part(config) if config["model_type"] == "blip" else config
    places = int(part.get("max_position_embeddings") or BLIP_PLACES)
    g["max_new_tokens"] = min(int(g["max_length"]), places - 1)
  try:
    return Generation.from_config(g)
  except ValueError as e:
    raise HubError(f"generation_config.json: {e}") from e


def _collected(config: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
  """The keys that are set: of `given`, else of the config, else of its text part."""
  part = text_part(config)
  if config.get("model_type") == "blip":  # it hands its text part's own tokens to the search
    tokens = {"bos_token_id": part.get("bos_token_id", 30522),
              "eos_token_id": part.get("sep_token_id", 102)}  # fmt: skip
    return {**_known(given or part), **tokens}
  if given is not None:
    return _known(given)
  own = {k: v for k, v in _known(config).items() if v != _DEFAULTS[k]}
  return _known(part) | own


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
  return {k: settings[k] for k in _DEFAULTS if settings.get(k) is not None}
