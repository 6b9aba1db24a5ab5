"""A tiny BTTR state dict as PyTorch names and shapes it, of random numbers."""

import numpy as np

SIZES = dict(width=8, heads=2, layers=2, hidden=12, growth=4, encoder_layers=(2, 1, 1))
VOCABULARY = 9


def shapes(prefix=""):
  """Name -> shape, from the published names."""
  width, hidden, growth = SIZES["width"], SIZES["hidden"], SIZES["growth"]
  found = {}

  def batch_norm(name, n):
    for part in ("weight", "bias", "running_mean", "running_var"):
      found[f"{name}.{part}"] = (n,)
    found[f"{name}.num_batches_tracked"] = ()

  def affine(name, *shape):
    found[f"{name}.weight"] = shape
    found[f"{name}.bias"] = shape[:1]

  net, channels = "encoder.model", 2 * growth
  found[f"{net}.conv1.weight"] = (channels, 1, 7, 7)
  batch_norm(f"{net}.norm1", channels)
  for block, depth in enumerate(SIZES["encoder_layers"], 1):
    for i in range(depth):
      layer = f"{net}.dense{block}.{i}"
      found[f"{layer}.conv1.weight"] = (4 * growth, channels, 1, 1)
      batch_norm(f"{layer}.bn1", 4 * growth)
      found[f"{layer}.conv2.weight"] = (growth, 4 * growth, 3, 3)
      batch_norm(f"{layer}.bn2", growth)
      channels += growth
    if block < 3:
      found[f"{net}.trans{block}.conv1.weight"] = (channels // 2, channels, 1, 1)
      channels //= 2
      batch_norm(f"{net}.trans{block}.bn1", channels)
  batch_norm(f"{net}.post_norm", channels)
  affine("encoder.feature_proj.0", width, channels, 1, 1)
  affine("encoder.norm", width)
  found["decoder.word_embed.0.weight"] = (VOCABULARY, width)
  affine("decoder.word_embed.1", width)
  found["decoder.pos_enc.pe"] = (500, width)
  for k in range(SIZES["layers"]):
    layer = f"decoder.model.layers.{k}"
    for attention in ("self_attn", "multihead_attn"):
      found[f"{layer}.{attention}.in_proj_weight"] = (3 * width, width)
      found[f"{layer}.{attention}.in_proj_bias"] = (3 * width,)
      affine(f"{layer}.{attention}.out_proj", width, width)
    affine(f"{layer}.linear1", hidden, width)
    affine(f"{layer}.linear2", width, hidden)
    for norm in ("norm1", "norm2", "norm3"):
      affine(f"{layer}.{norm}", width)
  affine("decoder.proj", VOCABULARY, width)
  return {prefix + name: shape for name, shape in found.items()}


def state_dict(prefix=""):
  rng = np.random.default_rng(0)
  return {k: rng.random(shape).astype(np.float32) for k, shape in shapes(prefix).items()}
