"""Published CLIP weights -> variables of `mmjax.modules.clip`.

OpenAI's names, and those of the transformers package for the vision transformers.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import state_dict as sd
from mmjax.convert.parity import Check, compare
from mmjax.modules.clip import CLIP, HEAD


def convert(arrays: dict[str, np.ndarray]) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before OpenAI's is removed.

  Returns:
    {"params": ...} of float32 arrays, and "batch_stats" for the residual network.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  arrays = openai_names(arrays)
  w = sd.Weights(arrays, "token_embedding.weight")
  w.ignore(r".*\.num_batches_tracked|input_resolution|context_length|vocab_size")
  w.put("params/logit_scale", w.take("logit_scale"))
  w.put("params/textual/words/embedding", w.take("token_embedding.weight", None, None))
  w.put("params/textual/positions", w.take("positional_embedding", None, None))
  _blocks(w, "transformer", "textual")
  sd.layer_norm(w, "ln_final", "textual/norm_out")
  w.put("params/textual/project/kernel", w.take("text_projection", None, None))
  if w.matches(r"visual\.(class_embedding)"):
    vision_transformer(w)
    w.put("params/visual/project/kernel", w.take("visual.proj", None, None))
  else:
    residual_network(w)
    positions = w.take("visual.attnpool.positional_embedding", None, None)
    w.put("params/visual/pool/positions", positions)
    for old, new in (("q", "query"), ("k", "key"), ("v", "value"), ("c", "out")):
      sd.linear(w, f"visual.attnpool.{old}_proj", f"visual/pool/{new}")
  return w.finish()


# What stands at the start of a name in the transformers package -> at OpenAI.
_RENAMED = {
    r"text_model\.embeddings\.token_embedding": "token_embedding",
    r"text_model\.embeddings\.position_embedding\.weight": "positional_embedding",
    r"text_model\.encoder\.layers\.": "transformer.resblocks.",
    r"text_model\.final_layer_norm": "ln_final",
    r"text_projection\.weight": "text_projection",
    r"vision_model\.embeddings\.class_embedding": "visual.class_embedding",
    r"vision_model\.embeddings\.patch_embedding": "visual.conv1",
    r"vision_model\.embeddings\.position_embedding\.weight": "visual.positional_embedding",
    r"vision_model\.pre_layrnorm": "visual.ln_pre",
    r"vision_model\.encoder\.layers\.": "visual.transformer.resblocks.",
    r"vision_model\.post_layernorm": "visual.ln_post",
    r"visual_projection\.weight": "visual.proj",
}
_RENAMED_INSIDE = {
    ".layer_norm1.": ".ln_1.", ".layer_norm2.": ".ln_2.", ".mlp.fc1.": ".mlp.c_fc.",
    ".mlp.fc2.": ".mlp.c_proj.", ".self_attn.out_proj.": ".attn.out_proj.",
}  # fmt: skip


def openai_names(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Weights of the transformers package under OpenAI's names, its three projections stacked."""
  if not any(name.startswith(("text_model.", "vision_model.")) for name in arrays):
    return arrays
  out = {}
  for name, array in arrays.items():
    if name.endswith("position_ids"):
      continue
    for old, new in _RENAMED.items():
      name = re.sub("^" + old, new, name)
    for old, new in _RENAMED_INSIDE.items():
      name = name.replace(old, new)
    out[name] = array.T if name in ("text_projection", "visual.proj") else array
  for name in [n for n in out if ".self_attn.q_proj." in n]:
    parts = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
    if all(part in out for part in parts):
      stacked = name.replace(".self_attn.q_proj.", ".attn.in_proj_")
      out[stacked] = np.concatenate([out.pop(part) for part in parts])
  return out


def _blocks(w: sd.Weights, name: str, path: str) -> None:
  for (i,) in w.matches(name.replace(".", r"\.") + r"\.resblocks\.(\d+)\."):
    old, new = f"{name}.resblocks.{i}", f"{path}/block_{i}"
    norm = w.take(f"{old}.ln_1.weight", None)
    w.put(f"params/{new}/norm1/scale", norm)
    w.put(f"params/{new}/norm1/bias", w.take(f"{old}.ln_1.bias", None))
    sd.attention(w, f"{old}.attn", f"{new}/attention", max(len(norm) // HEAD, 1))
    sd.layer_norm(w, f"{old}.ln_2", f"{new}/norm2")
    sd.linear(w, f"{old}.mlp.c_fc", f"{new}/linear1")
    sd.linear(w, f"{old}.mlp.c_proj", f"{new}/linear2")


def vision_transformer(w: sd.Weights) -> None:
  """The tower without its projection."""
  sd.convolution(w, "visual.conv1", "visual/patches")
  w.put("params/visual/token", w.take("visual.class_embedding", None))
  w.put("params/visual/positions", w.take("visual.positional_embedding", None, None))
  sd.layer_norm(w, "visual.ln_pre", "visual/norm_in")
  _blocks(w, "visual.transformer", "visual")
  sd.layer_norm(w, "visual.ln_post", "visual/norm_out")


def residual_network(w: sd.Weights) -> None:
  """The tower without its attention pooling."""
  for n in (1, 2, 3):
    _normed_conv(w, f"visual.conv{n}", f"visual.bn{n}", f"visual/conv{n}", f"visual/bn{n}")
  for stage, i in w.matches(r"visual\.layer(\d+)\.(\d+)\."):
    old, new = f"visual.layer{stage}.{i}", f"visual/layer{stage}_{i}"
    for n in (1, 2, 3):
      _normed_conv(w, f"{old}.conv{n}", f"{old}.bn{n}", f"{new}/conv{n}", f"{new}/bn{n}")
    if w.matches(old.replace(".", r"\.") + r"\.(downsample)\."):
      _normed_conv(w, f"{old}.downsample.0", f"{old}.downsample.1", f"{new}/shortcut",
                   f"{new}/bn_shortcut")  # fmt: skip


def _normed_conv(w: sd.Weights, conv: str, norm: str, conv_path: str, norm_path: str) -> None:
  sd.convolution(w, conv, conv_path)
  sd.batch_norm(w, norm, norm_path)


def model_of(variables: dict) -> CLIP:
  """The network whose variables `convert` returned: their shapes tell all its sizes."""
  params = variables["params"]
  visual, textual = params["visual"], params["textual"]
  vocabulary_size, text_width = textual["words"]["embedding"].shape
  features = textual["project"]["kernel"].shape[1]
  count = lambda tree, start: sum(name.startswith(start) for name in tree)
  image: dict[str, Any]
  if "patches" in visual:
    patch, _, _, width = visual["patches"]["kernel"].shape
    image = {"image_width": width, "image_layers": count(visual, "block_"), "patch": patch}
  else:
    depths = [count(visual, f"layer{stage}_") for stage in (1, 2, 3, 4)]
    width = visual["conv3"]["kernel"].shape[-1]
    image = {"image_width": width, "image_layers": tuple(depths), "patch": 0}
  return CLIP(
      features=features,
      vocabulary_size=vocabulary_size,
      text_width=text_width,
      text_layers=count(textual, "block_"),
      **image,
  )


def resolution_of(variables: dict) -> int:
  """The side of the square pictures that the weights were made for, in pixels."""
  visual = variables["params"]["visual"]
  positions = visual["positions"] if "patches" in visual else visual["pool"]["positions"]
  stride = visual["patches"]["kernel"].shape[0] if "patches" in visual else 32
  return stride * math.isqrt(len(positions) - 1)


def checks(sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
           ) -> Iterator[Check]:  # fmt: skip
  """Recorded outputs against ours: features of pictures and sentences, and their logits.

  Args:
    sizes: the reference's sizes, under its own names; the weights' shapes tell them, too.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: standardised pictures [B, 3, H, W], tokens [B, T].
  """
  variables = convert(state)
  model = model_of(variables)
  apply = jax.jit(model.apply, static_argnames="method")
  images = jnp.asarray(arrays["in/image"]).transpose(0, 2, 3, 1)
  tokens = jnp.asarray(arrays["in/text"], jnp.int32)
  seen = apply(variables, images, method="image")
  grid = arrays["out/vision_grid"]
  if sizes["kind"] == "resnet":  # [B, D, h, w]
    grid = grid.reshape(*grid.shape[:2], -1).swapaxes(1, 2)
  yield compare("vision_grid", seen.grid, grid)
  yield compare("image_features", seen.pooled, arrays["out/image_features"])
  text = apply(variables, tokens, method="text")
  yield compare("text_features", text, arrays["out/text_features"])
  logits = apply(variables, images, tokens)
  yield compare("logits_per_image", logits, arrays["out/logits_per_image"])
