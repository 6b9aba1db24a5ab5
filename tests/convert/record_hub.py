"""Writes down what the transformers package computes, so that the tests need neither it nor torch.

  pip install transformers torch
  python -m tests.convert.record_hub
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.convert import hub_cases as cases


def main() -> None:
  try:
    transformers = importlib.import_module("transformers")
    torch = importlib.import_module("torch")
  except ImportError:
    sys.exit("transformers and torch are not installed; pip install transformers torch")
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  record = {
      "tool": f"transformers {transformers.__version__}",
      "defaults": defaults(transformers),
      "cases": {n: run(transformers, torch, n, c) for n, c in cases.CASES.items()},
  }
  cases.RECORDED.write_text(json.dumps(record) + "\n")


def defaults(transformers) -> dict[str, dict]:
  """What the package takes where a configuration says nothing."""
  from mmjax.convert import hub_decoders, hub_encoders

  found = {}
  for kind, family in {**hub_encoders.FAMILIES, **hub_decoders.FAMILIES}.items():
    config = transformers.CONFIG_MAPPING[kind]().to_dict()
    found[kind] = {key: config[key] for key in family.defaults if key in config}
  return found


def config_of(transformers, config: dict):
  """The package's configuration, made from what ours is made from."""
  kinds = transformers.CONFIG_MAPPING
  if config["model_type"] == "vision-encoder-decoder":
    parts = (kinds[c["model_type"]](**c) for c in (config["encoder"], config["decoder"]))
    made = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    made.tie_word_embeddings = config["decoder"].get("tie_word_embeddings", True)
    return made
  return kinds[config["model_type"]](**config)


def model_of(transformers, config: dict):
  """The package's model, without weights of its own."""
  made = config_of(transformers, config)
  names = {"vision-encoder-decoder": "VisionEncoderDecoderModel",
           "blip": "BlipForConditionalGeneration", "git": "GitForCausalLM",
           "pix2struct": "Pix2StructForConditionalGeneration",
           "florence2": "Florence2ForConditionalGeneration"}  # fmt: skip
  made._attn_implementation = "eager"
  return getattr(transformers, names[config["model_type"]])(config=made).eval()


def filled(model):
  """The model with weights drawn by the names that its folder has, and those weights."""
  from safetensors.numpy import load_file, save_file

  with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    file = Path(folder) / "model.safetensors"
    drawn = {
        k: cases.weight(k, v.shape) if v.dtype.kind == "f" and "pos_idx" not in k else v
        for k, v in load_file(file).items()
    }
    save_file(drawn, file, {"format": "pt"})
    again, report = type(model).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager")  # fmt: skip
    assert not report["missing_keys"] and not report["unexpected_keys"], report
  for part in again.modules():
    if hasattr(part, "get_embedding"):  # sinusoids, which the package leaves empty on loading
      part.weights = part.get_embedding(64, part.embedding_dim, part.padding_idx)
  return again.eval(), drawn


def run(transformers, torch, name: str, config: dict) -> dict:
  """Logits of the last places, and what each search finds."""
  model, drawn = filled(model_of(transformers, config))
  pixels, tokens = cases.inputs(name, config)
  kind = config["model_type"]
  if kind == "pix2struct":
    there = torch.from_numpy((pixels[..., 0] > 0).astype(np.float32))
    given = {"flattened_patches": torch.from_numpy(pixels), "attention_mask": there}
  else:
    given = {"pixel_values": torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())}
  if kind == "florence2":
    cells = model.get_image_features(given["pixel_values"]).pooler_output.shape[1]
    read = [*[cases.FLORENCE_IMAGE] * cells, *cases.PROMPT]
    given["input_ids"] = torch.tensor([read] * len(pixels))
  ids = torch.from_numpy(tokens)
  text = cases.decoder_config(config)
  limits = dict(do_sample=False, return_dict_in_generate=True, output_scores=True)
  ends = dict(eos_token_id=cases.EOS, pad_token_id=text["pad_token_id"])
  with torch.no_grad():
    if kind in ("vision-encoder-decoder", "pix2struct", "florence2"):
      logits = model(**given, decoder_input_ids=ids).logits
      limits |= {**ends, "decoder_start_token_id": text["bos_token_id"]}
    elif kind == "blip":
      features = model.vision_model(**given).last_hidden_state
      logits = model.text_decoder(ids, encoder_hidden_states=features, is_decoder=True).logits
    else:
      logits = model(**given, input_ids=ids).logits[:, -ids.shape[1] :]
      limits |= {**ends, "input_ids": ids[:, :1]}
    searches = {}
    for search, options in cases.SEARCHES.items():
      asked = {k: v for k, v in options.items() if k not in ("beam", "max_length")}
      found = model.generate(
          **given,
          num_beams=options.get("beam", 1),
          max_new_tokens=options["max_length"] - 1,
          **limits,
          **asked,
      )
      searches[search] = {"sequences": found.sequences.tolist()}
      if "beam" in options:
        searches[search]["scores"] = [round(float(s), 6) for s in found.sequences_scores]
  return {
      "names": sorted(drawn),
      "newer_names": [n for n in model.state_dict() if n.startswith("encoder.")],
      "logits": np.round(logits.numpy()[:, 1::4].astype(float), 5).tolist(),
      "searches": searches,
  }


if __name__ == "__main__":
  main()
