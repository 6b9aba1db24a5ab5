"""A tiny folder of the hub: random weights, a small tokenizer, and the settings of both."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

# The words of formulas are kept apart, and each is a token.
TEXTS = [r"x ^ { 2 } + 1", r"\frac { a } { b } = c", "a man riding a wave", "two dogs play"]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
SIDE = 32
PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
GENERATION = {
    "decoder_start_token_id": 2,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "num_beams": 2,
    "max_length": 12,
}


def make_tokenizer():
  """Byte pairs, with `<s>` and `</s>` around a text."""
  tokenizers = pytest.importorskip("tokenizers", reason="pip install 'mmjax[hub]'")
  made = tokenizers.Tokenizer(tokenizers.models.BPE())
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
  trainer = tokenizers.trainers.BpeTrainer(
      vocab_size=290, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
  )
  made.train_from_iterator(TEXTS, trainer)
  made.post_processor = tokenizers.processors.TemplateProcessing(
      "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
  )
  return made


def config_for(vocabulary_size: int) -> dict:
  """ViT and GPT-2 of one layer each."""
  return {
      "model_type": "vision-encoder-decoder",
      "architectures": ["VisionEncoderDecoderModel"],
      "encoder": {
          "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "image_size": SIDE,
          "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 16,
      },
      "decoder": {
          "model_type": "gpt2", "vocab_size": vocabulary_size, "n_embd": 16, "n_layer": 1,
          "n_head": 2, "n_positions": 64, "add_cross_attention": True, "is_decoder": True,
      },
  }  # fmt: skip


def write_json(path: Path, content: dict) -> None:
  path.write_text(json.dumps(content))


def make_folder(folder: Path, config_for=config_for, preprocessor=PREPROCESSOR) -> Path:
  """Writes the folder; weights are float32."""
  pytest.importorskip("safetensors", reason="pip install 'mmjax[hub]'")
  from safetensors.numpy import save_file

  folder.mkdir(parents=True)
  tokenizer = make_tokenizer()
  tokenizer.save(str(folder / "tokenizer.json"))
  config = config_for(tokenizer.get_vocab_size())
  write_json(folder / "config.json", config)
  write_json(folder / "preprocessor_config.json", preprocessor)
  write_json(folder / "generation_config.json", GENERATION)
  state = random_state(config, preprocessor)
  save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
  return folder


def random_state(config: dict, preprocessor: dict = PREPROCESSOR) -> dict[str, np.ndarray]:
  """Weights under the names of the library, large enough that words differ."""
  from mmjax.convert import hub_models

  shapes = hub_models.shapes(hub_models.from_config(config, preprocessor))
  zeros = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
  draw = np.random.default_rng(0)
  named = sorted(hub_models.to_state(config, zeros).items())
  return {k: (0.3 * draw.standard_normal(v.shape)).astype(np.float32) for k, v in named}
