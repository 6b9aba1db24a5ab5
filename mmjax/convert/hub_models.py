"""Folders of the Hugging Face hub -> models and variables, and back.

A folder's `config.json` names its architecture by `model_type`; `FAMILIES` are those known. Each
has a module with `build(config, image)` and `names(config)`.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta

from mmjax import convert
from mmjax.convert import blip, florence2, git, pix2struct, rules, vision_encoder_decoder
from mmjax.convert.hub_image import image_fields
from mmjax.models.vision_encoder_decoder import VisionEncoderDecoder

FAMILIES: dict[str, ModuleType] = {
    "vision-encoder-decoder": vision_encoder_decoder,
    "blip": blip,
    "git": git,
    "pix2struct": pix2struct,
    "florence2": florence2,
}


def from_config(config: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> VisionEncoderDecoder:
  """The model that a folder describes.

  Args:
    config: content of `config.json`.
    preprocessor: content of `preprocessor_config.json`: how pixels become numbers.

  Raises:
    ValueError: an architecture, or an option of it, that is not known; the message names the part
      and those that are. Or the preprocessor lacks the mean or the deviation of pixels, or is
    another model's.
  """
  family, fields = _family(config), image_fields(preprocessor)
  if ("max_patches" in fields) != (family is pix2struct):
    raise ValueError(
        f"preprocessor_config.json is not of this model, {config['model_type']}: Pix2Struct's"
        " processor, which no other has, says max_patches; download both again"
    )
  return family.build(config, fields)


def to_variables(config: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> dict:
  """Variables of the model of `from_config`, {"params": ...} of float32 arrays.

  Args:
    config: content of `config.json`.
    state: weights by their names in the folder's file.

  Raises:
    ValueError: an architecture that is not known.
    WeightsError: a weight is missing, left over, or of another shape than the configuration says.
  """
  variables = rules.read(_family(config).names(config), dict(state))
  convert.check_shapes(variables, shapes(_family(config).build(config, {})))
  return variables


def to_state(config: Mapping[str, Any], variables: dict) -> dict[str, np.ndarray]:
  """Weights by their names in a folder's file; `to_variables` undoes it.

  Arrays that the architecture uses twice appear once, and none that it never uses.

  Raises:
    ValueError: an architecture that is not known.
    WeightsError: variables of another model.
  """
  return rules.write(_family(config).names(config), variables)


def shapes(model: VisionEncoderDecoder) -> dict:
  """The model's variables as shapes and types, without computing any."""
  height, width = model.encoder.image_size
  inputs = jnp.zeros((1, height, width, 3)), jnp.ones((1, height, width), bool)
  tokens = jnp.zeros((1, 1, 1), jnp.int32)
  return meta.unbox(jax.eval_shape(model.init, jax.random.key(0), *inputs, tokens))


def _family(config: Mapping[str, Any]) -> ModuleType:
  kind = config.get("model_type")
  if kind not in FAMILIES:
    raise ValueError(f"no architecture {kind!r}; there are: {', '.join(FAMILIES)}")
  return FAMILIES[kind]
