"""BLIP's captioners of the hub -> `mmjax.models.blip`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mmjax.convert import hub_checks, hub_decoders, hub_encoders, rules
from mmjax.convert.parity import Check, compare
from mmjax.models.blip import BLIP

Config = Mapping[str, Any]


def build(config: Config, image: Mapping[str, Any]) -> BLIP:
  """The model of a configuration.

  Args:
    config: of the model; `vision_config` and `text_config` are its parts'.
    image: fields of the model that tell how pixels become numbers.
  """
  vision, text = _parts(config)
  return BLIP(hub_encoders.build(vision), hub_decoders.build(text), **image)


def names(config: Config) -> rules.Table:
  """Names of its weights."""
  vision, text = _parts(config)
  found, copies = hub_decoders.names(text, "text_decoder", "decoder")
  found = hub_encoders.names(vision, "vision_model", "encoder") + found
  return rules.Table(found, copies, hub_decoders.IGNORED)


def _parts(config: Config) -> tuple[Config, Config]:
  vision = {**config.get("vision_config", {}), "model_type": "blip_vision_model"}
  return vision, {**config.get("text_config", {}), "model_type": "blip_text_model"}


def convert(arrays: dict[str, np.ndarray], *, config: Config) -> dict:
  """Variables from a folder's weights.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  return rules.read(names(config), arrays)


def checks(sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
           ) -> Iterator[Check]:  # fmt: skip
  """Recorded outputs against ours: logits and the search.

  Args:
    sizes: the recorded configuration and the settings of the search.
    state: the weights.
    arrays: `in/...` and `out/...` as recorded: standardised pictures [B, 3, H, W], tokens [B, T].
  """
  config = sizes["config"]
  text = config["text_config"]
  model, variables = build(config, {}), convert(state, config=config)
  memory = hub_checks.encoded(model, variables, arrays)
  logits = hub_checks.logits(model, variables, memory, arrays["in/input_ids"])
  yield compare("logits", logits, arrays["out/logits"])
  # Captions begin with `bos` and end with `sep`, whatever `eos` says.
  settings = hub_checks.settings_of(sizes, text["bos_token_id"], text["sep_token_id"])
  yield from hub_checks.searches(model, variables, memory, arrays, settings, text["pad_token_id"])
