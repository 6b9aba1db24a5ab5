"""Tiny models of every known architecture, with weights drawn by name: nothing need be stored."""

import pathlib
import zlib

import numpy as np

RECORDED = pathlib.Path(__file__).parent / "hub_recorded.json"
V, BOS, EOS = 24, 1, 2
TEXT = {"vocab_size": V, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": 0}

# Settings of `mmjax.decode.generation.Generation`.
SEARCHES = {
    "greedy": dict(max_length=9),
    "beams": dict(max_length=9, beam=3, early_stopping=False),
    "early": dict(max_length=9, beam=3, length_penalty=2.0, early_stopping=True),
    "never": dict(max_length=9, beam=3, length_penalty=-0.5, early_stopping="never"),
}

VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
           image_size=24, patch_size=8)  # fmt: skip
BEIT = VIT | {"model_type": "beit"}
SWIN = dict(model_type="swin", embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=3,
            image_size=[40, 28])  # fmt: skip
BERT = dict(TEXT, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20,
            max_position_embeddings=32)  # fmt: skip
BART = dict(TEXT, d_model=16, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=20,
            max_position_embeddings=32)  # fmt: skip
GPT2 = dict(TEXT, model_type="gpt2", n_embd=16, n_layer=2, n_head=4, n_positions=32)
BLIP_VISION = VIT | {"model_type": "blip_vision_model"}
GIT_VISION = VIT | {"model_type": "git_vision_model"}

_T5 = dict(hidden_size=16, d_kv=4, d_ff=20)
PATCHES = 7
PIX2STRUCT_VISION = _T5 | dict(num_hidden_layers=2, num_attention_heads=4, seq_len=9,
                               patch_embed_hidden_size=12)  # fmt: skip
PIX2STRUCT_TEXT = _T5 | TEXT | dict(
    num_layers=2, num_heads=4, relative_attention_num_buckets=6, relative_attention_max_distance=5,
    dense_act_fn="gelu",
)  # fmt: skip

FLORENCE_SIZE, PROMPT = (44, 60), (1, 7, 5, 2)  # in the second stage windows are not full
FLORENCE_IMAGE = V - 1  # the word that the library puts where a picture's cells go
FLORENCE_VISION = dict(depths=[1, 2], patch_size=[7, 3], patch_stride=[4, 2], patch_padding=[3, 1],
                       patch_prenorm=[False, True], embed_dim=[8, 12], num_heads=[2, 3],
                       num_groups=[2, 4], window_size=4, projection_dim=16,
                       max_position_embeddings=9)  # fmt: skip


def _pair(encoder: dict, decoder: dict) -> dict:
  return {"model_type": "vision-encoder-decoder", "encoder": encoder, "decoder": decoder}


_GPT2_WIDE = GPT2 | {"n_embd": 24, "n_inner": 20, "activation_function": "relu"}
_VIT = VIT | {"model_type": "vit"}
CASES = {
    "vit without biases, gpt2 of another width": _pair(_VIT | {"qkv_bias": False}, _GPT2_WIDE),
    "vit, gpt2 untied": _pair(_VIT, GPT2 | {"tie_word_embeddings": False}),
    "deit, trocr of another width": _pair(
        VIT | {"model_type": "deit", "hidden_act": "relu"},
        BART | {"model_type": "trocr", "d_model": 24, "cross_attention_hidden_size": 16},
    ),
    "vit, trocr with sinusoids": _pair(
        _VIT,
        BART | {"model_type": "trocr", "use_learned_position_embeddings": False,
                "scale_embedding": True, "layernorm_embedding": False,
                "activation_function": "relu"},
    ),
    "beit, bert": _pair(
        BEIT | {"use_relative_position_bias": True},
        BERT | {"model_type": "bert"},
    ),
    "beit with shared distances, bert": _pair(
        BEIT | {"use_shared_relative_position_bias": True, "use_absolute_position_embeddings": True,
                "use_mean_pooling": False},
        BERT | {"model_type": "bert", "hidden_act": "gelu_new", "tie_word_embeddings": False},
    ),
    "beit unscaled, roberta": _pair(
        BEIT | {"layer_scale_init_value": 0.0},
        BERT | {"model_type": "roberta", "pad_token_id": 1, "bos_token_id": 0},
    ),
    "swin, xlm-roberta of another width": _pair(
        SWIN,
        BERT | {"model_type": "xlm-roberta", "pad_token_id": 1, "bos_token_id": 0,
                "hidden_size": 24},
    ),
    "swin with positions, bart": _pair(
        SWIN | {"use_absolute_embeddings": True, "image_size": 28, "qkv_bias": False},
        BART | {"model_type": "bart"},
    ),
    "donut-swin, mbart": _pair(
        SWIN | {"model_type": "donut-swin", "image_size": [28, 52]},
        BART | {"model_type": "mbart", "scale_embedding": True},
    ),
    "blip": {
        "model_type": "blip",
        "vision_config": BLIP_VISION | {"hidden_size": 24},
        "text_config": BERT | {"model_type": "blip_text_model", "encoder_hidden_size": 24,
                               "is_decoder": True, "sep_token_id": EOS},
    },
    "pix2struct": {"model_type": "pix2struct", "vision_config": PIX2STRUCT_VISION,
                   "text_config": PIX2STRUCT_TEXT},
    "florence2": {
        "model_type": "florence2", "vision_config": FLORENCE_VISION,
        "text_config": BART | {"model_type": "bart", "encoder_layers": 2, "encoder_ffn_dim": 24,
                               "encoder_attention_heads": 2, "max_position_embeddings": 64,
                               "scale_embedding": True},
        "image_token_id": FLORENCE_IMAGE,
    },
    "git": {"model_type": "git", "vision_config": GIT_VISION | {"hidden_size": 24}, **BERT},
}  # fmt: skip


def preprocessor(config: dict) -> dict:
  """What says of pictures that they come standardised."""
  kind = config["model_type"]
  return {"max_patches": PATCHES} if kind == "pix2struct" else {"do_normalize": False}


def decoder_config(config: dict) -> dict:
  return config.get("decoder") or config.get("text_config") or config


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """A float32 array that hangs on the name alone; large enough that every part is felt."""
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  if len(shape) > 1 and min(shape) > 1:
    fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[-1]
    return rng.normal(0, 1.2 * fan_in**-0.5, shape).astype(np.float32)
  centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
  return (centre + rng.normal(0, 0.2, shape)).astype(np.float32)


def inputs(name: str, config: dict) -> tuple[np.ndarray, np.ndarray]:
  """Standardised pictures [2, H, W, 3] and tokens [2, 6]; the second text ends with padding.

  Of Pix2Struct they are patches [2, S, 2 + P], fewer of the second picture.
  """
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  vision = config.get("encoder") or config["vision_config"]
  if config["model_type"] == "pix2struct":
    pixels = rng.normal(0, 1, (2, PATCHES, 2 + vision["patch_embed_hidden_size"]))
    pixels[:, :, 0], pixels[:, :, 1] = np.divmod(np.arange(PATCHES), 3)
    pixels[:, :, :2] += 1
    pixels[1, 4:] = 0
  else:
    size = vision.get("image_size", FLORENCE_SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    pixels = rng.normal(0, 1, (2, height, width, 3))
  pixels = pixels.astype(np.float32)
  text = decoder_config(config)
  tokens = rng.integers(3, V, (2, 6))
  tokens[:, 0] = text["bos_token_id"]
  tokens[1, 4:] = text["pad_token_id"]
  return pixels, tokens
