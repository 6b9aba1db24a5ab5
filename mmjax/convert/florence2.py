"""Florence-2 of the hub -> `mmjax.models.florence2`."""

from collections.abc import Mapping
from typing import Any

from mmjax.convert import hub_decoders, hub_encoders, rules
from mmjax.models.florence2 import Florence2
from mmjax.modules.text_encoder import TextEncoder

Config = Mapping[str, Any]

CAPTION = "What does the image describe?"  # what the library's processor makes of <CAPTION>
IGNORED = (r".*\.visual_temporal_embed\.pos_idx_to_embed",)  # computed
_BODY = "model.language_model"
_READER = {"encoder_layers": 12, "encoder_ffn_dim": 4096, "encoder_attention_heads": 16}


def build(config: Config, image: Mapping[str, Any]) -> Florence2:
  """The model of a configuration, for small pictures and without a prompt: see `fit`.

  Args:
    config: of the model; `vision_config` and `text_config` are its parts'.
    image: fields of the model that tell how pixels become numbers.

  Raises:
    ValueError: a configuration of the first release's own code, or of parts that do not fit.
  """
  if "dim_embed" in config.get("vision_config", {}):
    raise ValueError(
        "config.json is of the code that first came with Florence-2, whose weights have other"
        " names; take the folder that transformers itself reads, as florence-community/"
        "Florence-2-base"
    )
  vision, text = _parts(config)
  kind = text["model_type"]
  if kind != "bart":
    raise ValueError(f"florence2 with a text part {kind!r} is not known; known: 'bart'")
  told = hub_encoders.FAMILIES["florence_vision"].defaults | dict(vision)
  decoder = hub_decoders.build(text)
  if told["projection_dim"] != decoder.width:
    raise ValueError(
        f"florence2 with projection_dim={told['projection_dim']} and d_model={decoder.width} is not"
        " known; known: both the same"
    )
  return Florence2(
      hub_encoders.build(vision),
      decoder,
      reader=_reader(text),
      places=told["max_position_embeddings"],
      **image,
  )


def fit(model: Florence2, size: tuple[int, int], prompt: tuple[int, ...]) -> Florence2:
  """The model for pictures of `size`, height and width, that answers `prompt`.

  Raises:
    ValueError: it has too few places for the picture's cells.
  """
  encoder = model.encoder.clone(image_size=size)
  rows, columns = encoder.grid
  if max(rows, columns) > model.places:
    raise ValueError(
        f"pictures of {size[0]} x {size[1]} pixels are {rows} x {columns} cells, and the model"
        f" (max_position_embeddings of vision_config) has places for {model.places}: set a smaller"
        " size in preprocessor_config.json"
    )
  return model.clone(encoder=encoder, prompt=prompt)


def names(config: Config) -> rules.Table:
  """Names of its weights."""
  vision, text = _parts(config)
  projector = "model.multi_modal_projector"
  decoder = hub_decoders.names(text, "language_model", "decoder")
  found = [
      *hub_encoders.names(vision, "model.vision_tower", "encoder"),
      *rules.linear(f"{projector}.image_projection", "project", bias=False),
      *rules.layer_norm(f"{projector}.image_proj_norm", "project_norm"),
      *rules.embedding(f"{projector}.image_position_embed.row_embeddings", "row_embed"),
      *rules.embedding(f"{projector}.image_position_embed.column_embeddings", "column_embed"),
      *_reader_names(_reader(text)),
      *(rule._replace(name=_theirs(rule.name)) for rule in decoder.rules),
  ]
  copies = {_theirs(copy): _theirs(name) for copy, name in decoder.copies.items()}
  for part in ("encoder", "decoder"):
    copies[f"{_BODY}.{part}.embed_tokens.weight"] = f"{_BODY}.shared.weight"
  return rules.Table(found, copies, IGNORED)


def _theirs(name: str) -> str:
  """The name here of a weight of BART on its own."""
  name = name.replace("language_model.model.decoder.embed_tokens", f"{_BODY}.shared")
  name = name.replace("language_model.model.", f"{_BODY}.")
  return name.replace("language_model.lm_head", "lm_head")


def _parts(config: Config) -> tuple[Config, Config]:
  vision = {**config.get("vision_config", {}), "model_type": "florence_vision"}
  text = {"model_type": "bart", **config.get("text_config", {})}
  return vision, text | {"tie_word_embeddings": config.get("tie_word_embeddings", True)}


def _reader(text: Config) -> TextEncoder:
  c = hub_decoders.FAMILIES["bart"].defaults | _READER | dict(text)
  return TextEncoder(
      width=c["d_model"],
      layers=c["encoder_layers"],
      heads=c["encoder_attention_heads"],
      hidden=c["encoder_ffn_dim"],
      places=c["max_position_embeddings"],
      activation=c["activation_function"],
      dropout=c["dropout"],
      attention_dropout=c["attention_dropout"],
      hidden_dropout=c["activation_dropout"],
  )


def _reader_names(reader: TextEncoder) -> list[rules.Rule]:
  name = f"{_BODY}.encoder"
  found = rules.embedding(f"{name}.embed_positions", "reader/position_embed")
  found += rules.layer_norm(f"{name}.layernorm_embedding", "reader/norm_before")
  for i in range(reader.layers):
    old, new = f"{name}.layers.{i}", f"reader/blocks_{i}"
    q, k, v, out = (f"{old}.self_attn.{part}_proj" for part in ("q", "k", "v", "out"))
    found += rules.attention((q, k, v, out), f"{new}/self_attention", reader.heads)
    found += rules.layer_norm(f"{old}.self_attn_layer_norm", f"{new}/norm1")
    found += rules.layer_norm(f"{old}.final_layer_norm", f"{new}/norm3")
    found += rules.linear(f"{old}.fc1", f"{new}/linear1")
    found += rules.linear(f"{old}.fc2", f"{new}/linear2")
  return found
