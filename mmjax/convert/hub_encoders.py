"""Vision encoders of the hub: configurations -> modules, and the names of their weights.

Configurations leave out what has the default value, so that every family's defaults stand here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from mmjax.convert import rules
from mmjax.convert.rules import ROW, TABLE, Rule
from mmjax.modules.activation import activation
from mmjax.modules.davit import DaViT
from mmjax.modules.patch_encoder import PatchEncoder
from mmjax.modules.swin import Swin
from mmjax.modules.vit import ViT

Config = Mapping[str, Any]

_VIT = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "image_size": 224,
    "patch_size": 16,
    "qkv_bias": True,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_BEIT = _VIT | {
    "use_absolute_position_embeddings": False,
    "use_relative_position_bias": False,
    "use_shared_relative_position_bias": False,
    "layer_scale_init_value": 0.1,
    "use_mean_pooling": True,
}
_SWIN = {
    "image_size": 224,
    "patch_size": 4,
    "embed_dim": 96,
    "depths": (2, 2, 6, 2),
    "num_heads": (3, 6, 12, 24),
    "window_size": 7,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "use_absolute_embeddings": False,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_TOWER = {  # of BLIP and of GIT
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-5,
    "patch_size": 16,
    "attention_dropout": 0.0,
}
_BLIP = _TOWER | {"image_size": 384, "hidden_act": "gelu"}
_GIT = _TOWER | {"image_size": 224, "hidden_act": "quick_gelu"}

_PIX2STRUCT = {
    "hidden_size": 768,
    "patch_embed_hidden_size": 768,
    "d_ff": 2048,
    "d_kv": 64,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "dense_act_fn": "gelu_new",
    "layer_norm_eps": 1e-6,
    "dropout_rate": 0.0,
    "attention_dropout": 0.0,
    "seq_len": 4096,
    "max_patches": 2048,  # said by the preprocessor's configuration
}
_FLORENCE = {
    "in_channels": 3,
    "depths": (1, 1, 9, 1),
    "patch_size": (7, 3, 3, 3),
    "patch_stride": (4, 2, 2, 2),
    "patch_padding": (3, 1, 1, 1),
    "patch_prenorm": (False, True, True, True),
    "embed_dim": (128, 256, 512, 1024),
    "num_heads": (4, 8, 16, 32),
    "num_groups": (4, 8, 16, 32),
    "window_size": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "activation_function": "gelu",
    "projection_dim": 1024,
    "max_position_embeddings": 50,
}
_FLORENCE_SIDE = 32  # of pictures until theirs is known; no weight hangs on it


def _pair(side: int | tuple[int, int]) -> tuple[int, int]:
  height, width = (side, side) if isinstance(side, int) else side
  return height, width


def _sizes(c: Config) -> dict[str, Any]:
  """What all vision transformers' configurations say in the same words."""
  activation(c["hidden_act"])
  return dict(
      width=c["hidden_size"],
      layers=c["num_hidden_layers"],
      heads=c["num_attention_heads"],
      hidden=c["intermediate_size"],
      activation=c["hidden_act"],
      epsilon=c["layer_norm_eps"],
      image_size=_pair(c["image_size"]),
      patch=_pair(c["patch_size"]),
  )


def _vit(c: Config) -> ViT:
  return ViT(
      biased=("query", "key", "value") if c["qkv_bias"] else (),
      distilled=c["model_type"] == "deit",
      dropout=c["hidden_dropout_prob"],
      attention_dropout=c["attention_probs_dropout_prob"],
      **_sizes(c),
  )


def _beit(c: Config) -> ViT:
  height, width = _pair(c["image_size"])
  relative: Literal["none", "each", "shared"]
  relative = "each" if c["use_relative_position_bias"] else "none"
  if c["use_shared_relative_position_bias"]:
    relative = "shared"
  if relative != "none" and height != width:
    # The transformers package stretches the table of such a model, so that no weights fit ours.
    raise ValueError(
        f"encoder beit with relative positions has square pictures, not {height}x{width}"
    )
  return ViT(
      biased=("query", "value"),
      scaled=c["layer_scale_init_value"] > 0,
      positions=c["use_absolute_position_embeddings"],
      relative=relative,
      norm_out=not c["use_mean_pooling"],
      dropout=c["hidden_dropout_prob"],
      attention_dropout=c["attention_probs_dropout_prob"],
      **_sizes(c),
  )


def _swin(c: Config) -> Swin:
  activation(c["hidden_act"])
  patch = _pair(c["patch_size"])
  if patch[0] != patch[1]:
    raise ValueError(f"patch_size {c['patch_size']}: Swin's patches are square")
  return Swin(
      width=c["embed_dim"],
      depths=tuple(c["depths"]),
      heads=tuple(c["num_heads"]),
      image_size=_pair(c["image_size"]),
      patch=patch[0],
      window=c["window_size"],
      expansion=c["mlp_ratio"],
      activation=c["hidden_act"],
      epsilon=c["layer_norm_eps"],
      biased=("query", "key", "value") if c["qkv_bias"] else (),
      positions=c["use_absolute_embeddings"],
      norm_out=c["model_type"] == "swin",
      dropout=c["hidden_dropout_prob"],
      attention_dropout=c["attention_probs_dropout_prob"],
  )


def _tower(c: Config) -> ViT:
  clip = c["model_type"] == "git_vision_model"
  return ViT(
      attention_dropout=c["attention_dropout"], patch_bias=not clip, norm_in=clip, **_sizes(c)
  )


def _pix2struct(c: Config) -> PatchEncoder:
  activation(c["dense_act_fn"])
  if c["num_attention_heads"] * c["d_kv"] != c["hidden_size"]:
    raise ValueError(
        f"encoder pix2struct with {c['num_attention_heads']} heads of d_kv={c['d_kv']} channels is"
        f" not known; known: together hidden_size={c['hidden_size']}"
    )
  return PatchEncoder(
      width=c["hidden_size"],
      layers=c["num_hidden_layers"],
      heads=c["num_attention_heads"],
      hidden=c["d_ff"],
      patches=c["max_patches"],
      depth=c["patch_embed_hidden_size"],
      places=c["seq_len"],
      activation=c["dense_act_fn"],
      epsilon=c["layer_norm_eps"],
      dropout=c["dropout_rate"],
      attention_dropout=c["attention_dropout"],
  )


def _davit(c: Config) -> DaViT:
  activation(c["activation_function"])
  return DaViT(
      widths=tuple(c["embed_dim"]),
      depths=tuple(c["depths"]),
      heads=tuple(c["num_heads"]),
      groups=tuple(c["num_groups"]),
      kernels=tuple(c["patch_size"]),
      strides=tuple(c["patch_stride"]),
      paddings=tuple(c["patch_padding"]),
      norm_first=tuple(c["patch_prenorm"]),
      image_size=_pair(c.get("image_size", _FLORENCE_SIDE)),
      window=c["window_size"],
      expansion=c["mlp_ratio"],
      activation=c["activation_function"],
      biased=c["qkv_bias"],
  )


def _vit_rules(encoder: ViT, name: str, path: str) -> list[Rule]:
  embeddings = f"{name}.embeddings"
  found = [Rule(f"{embeddings}.cls_token", f"{path}/class_token", ROW)]
  if encoder.distilled:
    found += [Rule(f"{embeddings}.distillation_token", f"{path}/distillation_token", ROW)]
  if encoder.positions:
    found += [Rule(f"{embeddings}.position_embeddings", f"{path}/position_table", TABLE)]
  found += rules.convolution(f"{embeddings}.patch_embeddings.projection", f"{path}/patches")
  table = "relative_position_bias.relative_position_bias_table"
  if encoder.relative == "shared":
    found += [Rule(f"{name}.encoder.{table}", f"{path}/relative_table_0")]
  for i in range(encoder.layers):
    old, new = f"{name}.encoder.layer.{i}", f"{path}/blocks_{i}"
    found += _layer_rules(old, new, f"{old}.attention.attention", encoder.heads, encoder.biased)
    if encoder.relative == "each":
      found += [Rule(f"{old}.attention.attention.{table}", f"{path}/relative_table_{i}")]
    if encoder.scaled:
      found += [Rule(f"{old}.lambda_1", f"{new}/scale1"), Rule(f"{old}.lambda_2", f"{new}/scale3")]
  if encoder.norm_out:
    found += rules.layer_norm(f"{name}.layernorm", f"{path}/norm_after")
  return found


def _layer_rules(
    old: str, new: str, attention: str, heads: int, biased: tuple[str, ...]
) -> list[Rule]:
  q, k, v = (f"{attention}.{part}" for part in ("query", "key", "value"))
  out = f"{old}.attention.output.dense"
  return [
      *rules.attention((q, k, v, out), f"{new}/self_attention", heads, biased=biased),
      *rules.layer_norm(f"{old}.layernorm_before", f"{new}/norm1"),
      *rules.layer_norm(f"{old}.layernorm_after", f"{new}/norm3"),
      *rules.linear(f"{old}.intermediate.dense", f"{new}/linear1"),
      *rules.linear(f"{old}.output.dense", f"{new}/linear2"),
  ]


def _swin_rules(encoder: Swin, name: str, path: str) -> list[Rule]:
  embeddings = f"{name}.embeddings"
  found = rules.convolution(f"{embeddings}.patch_embeddings.projection", f"{path}/patches")
  found += rules.layer_norm(f"{embeddings}.norm", f"{path}/norm_before")
  if encoder.positions:
    found += [Rule(f"{embeddings}.position_embeddings", f"{path}/position_table", TABLE)]
  for stage, depth in enumerate(encoder.depths):
    for i in range(depth):
      old = f"{name}.encoder.layers.{stage}.blocks.{i}"
      new = f"{path}/blocks_{stage}_{i}"
      attention = f"{old}.attention.self"
      found += _layer_rules(old, f"{new}/layer", attention, encoder.heads[stage], encoder.biased)
      found += [Rule(f"{attention}.relative_position_bias_table", f"{new}/relative_table")]
    if stage + 1 < len(encoder.depths):
      old, new = f"{name}.encoder.layers.{stage}.downsample", f"{path}/merges_{stage}"
      found += rules.layer_norm(f"{old}.norm", f"{new}/norm")
      found += rules.linear(f"{old}.reduction", f"{new}/reduce", bias=False)
  if encoder.norm_out:
    found += rules.layer_norm(f"{name}.layernorm", f"{path}/norm_after")
  return found


def _blip_rules(encoder: ViT, name: str, path: str) -> list[Rule]:
  found = [
      Rule(f"{name}.embeddings.class_embedding", f"{path}/class_token", ROW),
      Rule(f"{name}.embeddings.position_embedding", f"{path}/position_table", TABLE),
      *rules.convolution(f"{name}.embeddings.patch_embedding", f"{path}/patches"),
      *rules.layer_norm(f"{name}.post_layernorm", f"{path}/norm_after"),
  ]
  for i in range(encoder.layers):
    old, new = f"{name}.encoder.layers.{i}", f"{path}/blocks_{i}"
    fused = [(part, f"{old}.self_attn.qkv", n, 3) for n, part in enumerate(encoder.biased)]
    found += rules.projections(fused, f"{new}/self_attention", encoder.heads)
    out = f"{old}.self_attn.projection"
    found += rules.attention_out(out, f"{new}/self_attention", encoder.heads)
    found += _tower_layer_rules(old, new)
  return found


def _git_rules(encoder: ViT, name: str, path: str) -> list[Rule]:
  found = [
      Rule(f"{name}.embeddings.class_embedding", f"{path}/class_token"),
      Rule(f"{name}.embeddings.position_embedding.weight", f"{path}/position_table"),
      *rules.convolution(f"{name}.embeddings.patch_embedding", f"{path}/patches", bias=False),
      *rules.layer_norm(f"{name}.pre_layrnorm", f"{path}/norm_before"),
      *rules.layer_norm(f"{name}.post_layernorm", f"{path}/norm_after"),
  ]
  for i in range(encoder.layers):
    old, new = f"{name}.encoder.layers.{i}", f"{path}/blocks_{i}"
    q, k, v, out = (f"{old}.self_attn.{part}_proj" for part in ("q", "k", "v", "out"))
    found += rules.attention((q, k, v, out), f"{new}/self_attention", encoder.heads)
    found += _tower_layer_rules(old, new)
  return found


def _tower_layer_rules(old: str, new: str) -> list[Rule]:
  return [
      *rules.layer_norm(f"{old}.layer_norm1", f"{new}/norm1"),
      *rules.layer_norm(f"{old}.layer_norm2", f"{new}/norm3"),
      *rules.linear(f"{old}.mlp.fc1", f"{new}/linear1"),
      *rules.linear(f"{old}.mlp.fc2", f"{new}/linear2"),
  ]


def _pix2struct_rules(encoder: PatchEncoder, name: str, path: str) -> list[Rule]:
  embeddings = f"{name}.embeddings"
  found = [
      *rules.linear(f"{embeddings}.patch_projection", f"{path}/patch_linear"),
      *rules.embedding(f"{embeddings}.row_embedder", f"{path}/row_embed"),
      *rules.embedding(f"{embeddings}.column_embedder", f"{path}/column_embed"),
      Rule(f"{name}.layernorm.weight", f"{path}/norm_after/scale"),
  ]
  for i in range(encoder.layers):
    old, new = f"{name}.encoder.layer.{i}", f"{path}/blocks_{i}"
    found += [
        *rules.t5_attention(f"{old}.attention", f"{new}/self_attention", encoder.heads),
        *rules.t5_feed_forward(f"{old}.mlp", new),
        Rule(f"{old}.pre_attention_layer_norm.weight", f"{new}/norm1/scale"),
        Rule(f"{old}.pre_mlp_layer_norm.weight", f"{new}/norm3/scale"),
    ]
  return found


def _davit_rules(encoder: DaViT, name: str, path: str) -> list[Rule]:
  found = []
  for stage, depth in enumerate(encoder.depths):
    found += rules.convolution(f"{name}.convs.{stage}.conv", f"{path}/convolutions_{stage}")
    found += rules.layer_norm(f"{name}.convs.{stage}.norm", f"{path}/norms_{stage}")
    for i in range(2 * depth):
      kind = ("spatial_block", "channel_block")[i % 2]
      old, new = f"{name}.blocks.{stage}.{i // 2}.{kind}", f"{path}/blocks_{stage}_{i}"
      for theirs, ours in (("conv1", "position1"), ("conv2", "position2")):
        found += rules.convolution(f"{old}.{theirs}", f"{new}/{ours}")
      for norm in ("norm1", "norm2"):
        found += rules.layer_norm(f"{old}.{norm}", f"{new}/{norm}")
      found += rules.linear(f"{old}.ffn.fc1", f"{new}/linear1")
      found += rules.linear(f"{old}.ffn.fc2", f"{new}/linear2")
      if i % 2:
        attention = f"{old}.channel_attn"
        found += rules.linear(f"{attention}.qkv", f"{new}/attention/three", bias=encoder.biased)
        found += rules.linear(f"{attention}.proj", f"{new}/attention/out")
        continue
      three = ("query", "key", "value")
      attention, inside = f"{old}.window_attn", f"{new}/attention/inside"
      fused = [(part, f"{attention}.qkv", n, 3) for n, part in enumerate(three)]
      biased = three if encoder.biased else ()
      found += rules.projections(fused, inside, encoder.heads[stage], biased=biased)
      found += rules.attention_out(f"{attention}.proj", inside, encoder.heads[stage])
  return found


class Family(NamedTuple):
  """Defaults of a configuration; the module it tells; names of the module's weights."""

  defaults: dict[str, Any]
  build: Callable[[Config], ViT | Swin | PatchEncoder | DaViT]
  rules: Callable[[Any, str, str], list[Rule]]


FAMILIES = {
    "vit": Family(_VIT, _vit, _vit_rules),
    "deit": Family(_VIT, _vit, _vit_rules),
    "beit": Family(_BEIT, _beit, _vit_rules),
    "swin": Family(_SWIN, _swin, _swin_rules),
    "donut-swin": Family(_SWIN, _swin, _swin_rules),
    "blip_vision_model": Family(_BLIP, _tower, _blip_rules),
    "git_vision_model": Family(_GIT, _tower, _git_rules),
    "pix2struct_vision_model": Family(_PIX2STRUCT, _pix2struct, _pix2struct_rules),
    "florence_vision": Family(_FLORENCE, _davit, _davit_rules),
}
COMBINED = ("vit", "deit", "beit", "swin", "donut-swin")  # in a VisionEncoderDecoder


def width(encoder: ViT | Swin | PatchEncoder | DaViT) -> int:
  """Channels of the encoder's features."""
  if isinstance(encoder, DaViT):
    return encoder.widths[-1]
  stages = len(encoder.depths) if isinstance(encoder, Swin) else 1
  return encoder.width * 2 ** (stages - 1)


def build(config: Config) -> ViT | Swin | PatchEncoder | DaViT:
  """The encoder that `config` tells; its model_type is one of `FAMILIES`."""
  family = FAMILIES[config["model_type"]]
  return family.build(family.defaults | dict(config))


def names(config: Config, name: str, path: str) -> list[Rule]:
  """Its weights below the folder's `name` and our `path`."""
  return FAMILIES[config["model_type"]].rules(build(config), name, path)


_LAYER = r"^(encoder\.encoder\.layer\.\d+)"
_BLOCK = r"^(encoder\.encoder\.layers\.\d+\.blocks\.\d+)"
_QUERY_KEY_VALUE = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
# Newer versions of the transformers package rename weights on loading; folders keep these names.
RENAMED = (
    (r"^encoder\.layers\.", "encoder.encoder.layer."),
    (r"^encoder\.shared_position_bias\.", "encoder.encoder.relative_position_bias."),
    (_LAYER + r"\.relative_position_bias\.", r"\1.attention.attention.relative_position_bias."),
    (_BLOCK + r"\.attention\.relative_position_bias\.", r"\1.attention.self."),
    *((rf"{_LAYER}\.attention\.{new}\.", rf"\1.attention.attention.{old}.")
      for new, old in _QUERY_KEY_VALUE.items()),
    *((rf"{_BLOCK}\.attention\.{new}\.", rf"\1.attention.self.{old}.")
      for new, old in _QUERY_KEY_VALUE.items()),
    (r"^(encoder\.encoder\..*)\.o_proj\.", r"\1.output.dense."),
    (r"^(encoder\.encoder\..*)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(encoder\.encoder\..*)\.mlp\.fc2\.", r"\1.output.dense."),
)  # fmt: skip
