"""Vision encoder-decoders of the hub -> `mmjax.models.vision_encoder_decoder`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mmjax.convert import hub_checks, hub_decoders, hub_encoders, rules
from mmjax.convert.parity import Check, compare
from mmjax.models.vision_encoder_decoder import VisionEncoderDecoder

Config = Mapping[str, Any]


def build(config: Config, image: Mapping[str, Any]) -> VisionEncoderDecoder:
  """The model of a configuration.

  Args:
    config: of the model; `encoder` and `decoder` are its parts'.
    image: fields of the model that tell how pixels become numbers.

  Raises:
    ValueError: a part is not known.
  """
  _check_parts(config)
  encoder, decoder = (
      hub_encoders.build(config["encoder"]), hub_decoders.build(config["decoder"])
  )  # fmt: skip
  # A decoder that says how wide its pictures are looks at them as they are.
  reads = config["decoder"].get("cross_attention_hidden_size")
  apart = reads is None and hub_encoders.width(encoder) != decoder.width
  return VisionEncoderDecoder(encoder, decoder, decoder.width if apart else 0, **image)


def names(config: Config) -> rules.Table:
  """Names of its weights."""
  _check_parts(config)
  found, copies = hub_decoders.names(config["decoder"], "decoder", "decoder")
  found = hub_encoders.names(config["encoder"], "encoder", "encoder") + found
  if build(config, {}).projection:
    found = found + rules.linear("enc_to_dec_proj", "project")
  ignored = (*hub_decoders.IGNORED, r"encoder\.pooler\..*", r"encoder\.embeddings\.mask_token")
  return rules.Table(found, copies, ignored, hub_encoders.RENAMED)


def _check_parts(config: Config) -> None:
  for part, known in (("encoder", hub_encoders.COMBINED), ("decoder", hub_decoders.COMBINED)):
    kind = config.get(part, {}).get("model_type")
    if kind not in known:
      raise ValueError(f"no {part} {kind!r}; there are: {', '.join(known)}")


def convert(arrays: dict[str, np.ndarray], *, config: Config) -> dict:
  """Variables from a folder's weights.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  return rules.read(names(config), arrays)


def checks(sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
           ) -> Iterator[Check]:  # fmt: skip
  """Recorded outputs against ours: encoder states, logits, searches.

  Args:
    sizes: the recorded configuration and the settings of the search.
    state: the weights.
    arrays: `in/...` and `out/...` as recorded: standardised pictures [B, 3, H, W], tokens [B, T].
  """
  config = {"encoder": sizes["encoder"], "decoder": sizes["decoder"]}
  model, variables = build(config, {}), convert(state, config=config)
  memory = hub_checks.encoded(model, variables, arrays)
  states = arrays["out/encoder_last_hidden_state"]
  yield compare("encoder_last_hidden_state", memory.features, states)
  logits = hub_checks.logits(model, variables, memory, arrays["in/decoder_input_ids"])
  yield compare("logits", logits, arrays["out/logits"])
  settings = hub_checks.settings_of(sizes, sizes["bos"], sizes["eos"])
  yield from hub_checks.searches(model, variables, memory, arrays, settings, sizes["pad"])
