"""Small state dicts of picture encoders as PyTorch names and shapes them, of random numbers."""

import math

import numpy as np

RESNET = dict(layers=(1, 2, 1, 1), width=64, classes=10)
EFFICIENTNET = dict(width=0.25, depth=0.5, classes=10)
VIT = dict(patch=8, width=64, layers=2, classes=10, picture_size=32)


class Shapes(dict):
  """Name -> shape."""

  def affine(self, name, *shape):
    self[f"{name}.weight"] = shape
    self[f"{name}.bias"] = shape[:1]

  def normed(self, conv, norm, *shape):
    self[f"{conv}.weight"] = shape
    self.affine(norm, shape[0])
    self |= {f"{norm}.running_mean": shape[:1], f"{norm}.running_var": shape[:1]}
    self[f"{norm}.num_batches_tracked"] = ()


def resnet():
  """torchvision's ResNet(Bottleneck, layers)."""
  s, channels = Shapes(), 64
  s.normed("conv1", "bn1", 64, 3, 7, 7)
  for stage, depth in enumerate(RESNET["layers"]):
    width = 64 * 2**stage
    for i in range(depth):
      block = f"layer{stage + 1}.{i}"
      s.normed(f"{block}.conv1", f"{block}.bn1", width, channels, 1, 1)
      s.normed(f"{block}.conv2", f"{block}.bn2", width, width, 3, 3)
      s.normed(f"{block}.conv3", f"{block}.bn3", 4 * width, width, 1, 1)
      if not i:
        s.normed(f"{block}.downsample.0", f"{block}.downsample.1", 4 * width, channels, 1, 1)
      channels = 4 * width
  s.affine("fc", RESNET["classes"], channels)
  return s


def efficientnet():
  """efficientnet_pytorch's Lite of a quarter of the width and half the depth."""
  s, channels = Shapes(), 32
  s.normed("_conv_stem", "_bn0", 32, 3, 3, 3)
  sides_and_channels = [(3, 8), (3, 8), (5, 16), *[(3, 24)] * 2, *[(5, 32)] * 2, *[(5, 48)] * 2]
  for i, (side, out) in enumerate([*sides_and_channels, (3, 80)]):
    block, inside = f"_blocks.{i}", channels * (6 if i else 1)
    if i:
      s.normed(f"{block}._expand_conv", f"{block}._bn0", inside, channels, 1, 1)
    s.normed(f"{block}._depthwise_conv", f"{block}._bn1", inside, 1, side, side)
    s.normed(f"{block}._project_conv", f"{block}._bn2", out, inside, 1, 1)
    channels = out
  s.normed("_conv_head", "_bn1", 1280, channels, 1, 1)
  s.affine("_fc", EFFICIENTNET["classes"], 1280)
  return s


def vit():
  """timm's VisionTransformer."""
  s, width = Shapes(cls_token=(1, 1, 64), pos_embed=(1, 17, 64)), VIT["width"]
  s.affine("patch_embed.proj", width, 3, 8, 8)
  for i in range(VIT["layers"]):
    s.affine(f"blocks.{i}.norm1", width)
    s.affine(f"blocks.{i}.attn.qkv", 3 * width, width)
    s.affine(f"blocks.{i}.attn.proj", width, width)
    s.affine(f"blocks.{i}.norm2", width)
    s.affine(f"blocks.{i}.mlp.fc1", 4 * width, width)
    s.affine(f"blocks.{i}.mlp.fc2", width, 4 * width)
  s.affine("norm", width)
  s.affine("head", VIT["classes"], width)
  return s


def state_dict(shapes):
  """Random numbers that keep a network's activations near 1."""
  rng = np.random.default_rng(0)
  state = {}
  for name, shape in shapes.items():
    if name.endswith("num_batches_tracked"):
      state[name] = np.int64(3)
    elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
      state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    else:
      spread = (2 / math.prod(shape[1:])) ** 0.5 if name.endswith("weight") else 0.3
      state[name] = (spread * rng.standard_normal(shape, np.float32)).astype(np.float32)
  return state


def pictures(side):
  return np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
