"""GIT of the hub -> `mmjax.models.git`."""

from collections.abc import Mapping
from typing import Any

from mmjax.convert import hub_decoders, hub_encoders, rules
from mmjax.models.git import GIT

Config = Mapping[str, Any]


def build(config: Config, image: Mapping[str, Any]) -> GIT:
  """The model of a configuration.

  Args:
    config: of the model; `vision_config` is its encoder's.
    image: fields of the model that tell how pixels become numbers.

  Raises:
    ValueError: a model of videos.
  """
  if config.get("num_image_with_embedding"):
    raise ValueError(
        f"git with num_image_with_embedding={config['num_image_with_embedding']} is a model of"
        " videos; known are those of pictures"
    )
  encoder, decoder = hub_encoders.build(_vision(config)), hub_decoders.build(config)
  return GIT(encoder, decoder, decoder.width, projection_epsilon=encoder.epsilon, **image)


def names(config: Config) -> rules.Table:
  """Names of its weights."""
  projection = "git.visual_projection.visual_projection"
  found, copies = hub_decoders.names(config, "git", "decoder")
  encoder = hub_encoders.names(_vision(config), "git.image_encoder.vision_model", "encoder")
  found = [
      *encoder,
      *found,
      *rules.linear(f"{projection}.0", "project"),
      *rules.layer_norm(f"{projection}.1", "project_norm"),
  ]
  return rules.Table(found, copies, hub_decoders.IGNORED)


def _vision(config: Config) -> Config:
  return {**config.get("vision_config", {}), "model_type": "git_vision_model"}
