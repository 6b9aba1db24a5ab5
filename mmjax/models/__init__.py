"""Published systems, one file each; the file's name is the model's name in a config."""

import importlib
import importlib.util
import pkgutil

from flax import linen as nn


def names() -> list[str]:
  """Models that a config may name."""
  return sorted(m.name for m in pkgutil.iter_modules(__path__))


def build(name: str, vocabulary_size: int, **sizes) -> nn.Module:
  """The model `name` for a vocabulary.

  Raises:
    ValueError: no such model, or a size that the model does not have.
  """
  if name not in names():
    raise ValueError(f"no model {name!r}; there are: {', '.join(names())}")
  module = importlib.import_module(f"{__name__}.{name}")
  if not hasattr(module, "Model"):
    raise ValueError(
        f"model {name!r} is not made from sizes but from a folder of the Hugging Face hub: see"
        " mmjax.convert.hub_models"
    )
  model = module.Model
  try:
    return model(vocabulary_size=vocabulary_size, **sizes)
  except (TypeError, ValueError) as e:
    raise ValueError(f"model {name!r}: {e}") from e
