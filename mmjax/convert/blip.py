"""BLIP's captioners of the hub -> `mmjax.models.blip`."""

from collections.abc import Mapping
from typing import Any

from mmjax.convert import hub_decoders, hub_encoders, rules
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
