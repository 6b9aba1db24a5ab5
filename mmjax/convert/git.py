"""GIT of the hub -> `mmjax.models.git`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mmjax.convert import hub_checks, hub_decoders, hub_encoders, rules
from mmjax.convert.parity import Check, compare
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
  model, variables = build(config, {}), convert(state, config=config)
  memory = hub_checks.encoded(model, variables, arrays)
  words = hub_checks.logits(model, variables, memory, arrays["in/input_ids"])
  cells = model.apply(variables, memory, method="picture_logits")
  yield compare("logits", np.concatenate([cells, words], 1), arrays["out/logits"])
  settings = hub_checks.settings_of(sizes, config["bos_token_id"], config["eos_token_id"])
  yield from hub_checks.searches(model, variables, memory, arrays, settings, config["pad_token_id"])
