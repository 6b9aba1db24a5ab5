"""Pix2Struct of the hub -> `mmjax.models.pix2struct`."""

from collections.abc import Mapping
from typing import Any

from mmjax.convert import hub_decoders, hub_encoders, rules
from mmjax.models.pix2struct import Pix2Struct

Config = Mapping[str, Any]


def build(config: Config, image: Mapping[str, Any]) -> Pix2Struct:
  """The model of a configuration.

  Args:
    config: of the model; `vision_config` and `text_config` are its parts'.
    image: `max_patches` of its pictures.

  Raises:
    ValueError: a model that reads questions off its pictures, or too many patches.
  """
  if config.get("is_vqa"):
    raise ValueError(
        "is_vqa=True is a model that wants a question drawn onto each picture, which is not done"
        " here"
    )
  vision, text = _parts(config)
  encoder = hub_encoders.build({**vision, **image})
  if image and encoder.patches >= encoder.places:
    raise ValueError(
        f"max_patches is {encoder.patches}, and the model (seq_len in config.json) has rows and"
        f" columns up to {encoder.places - 1}: set max_patches of preprocessor_config.json to that"
        " or less"
    )
  return Pix2Struct(encoder, hub_decoders.build(text))


def names(config: Config) -> rules.Table:
  """Names of its weights."""
  vision, text = _parts(config)
  found, copies = hub_decoders.names(text, "decoder", "decoder")
  return rules.Table(hub_encoders.names(vision, "encoder", "encoder") + found, copies)


def _parts(config: Config) -> tuple[Config, Config]:
  vision = {**config.get("vision_config", {}), "model_type": "pix2struct_vision_model"}
  text = {**config.get("text_config", {}), "model_type": "pix2struct_text_model"}
  return vision, text | {"tie_word_embeddings": config.get("tie_word_embeddings", False)}
