"""Any experiment at a size that runs in seconds: for tests and for a first look."""

from ml_collections import ConfigDict

_SIZES = {
    "model.width": 16,
    "model.heads": 2,
    "model.layers": 1,
    "model.hidden": 32,
    "model.embedding": 16,
    "model.attention": 16,
    "model.coverage_channels": 8,
    "model.counting": 8,
    "model.growth": 4,
    "model.features": 16,
    "model.encoder_layers": (1, 1, 1),
    "model.image_width": 64,
    "model.image_layers": 1,
    "model.text_width": 64,
    "model.text_layers": 1,
    "model.text_words": 600,
    "data.batch": 8,
    "data.max_buckets": 1,
    "data.scale": 0.5,
    "data.align": 32,
    "data.max_area": 100_000,
    "data.max_tokens": 24,
    "optim.warmup_steps": 2,
    "train.epochs": 2,
    "reward.samples": 2,
    "decode.beam": 2,
    "decode.max_length": 12,
    "evaluate.batch": 8,
    "evaluate.max_buckets": 1,
    "evaluate.every_epochs": 1,
    "log.every_steps": 1,
    "mesh.data": -1,
}


def tiny(config: ConfigDict) -> ConfigDict:
  """A copy of `config` with small sizes; keys that it lacks are passed over."""
  small = config.copy_and_resolve_references()
  for key, value in _SIZES.items():
    section, _, leaf = key.rpartition(".")
    if leaf in small.get(section, {}):
      small[section][leaf] = value
  return small
