"""What a batch means: its loss, its decoding, its scores; one file each, named in a config."""

import importlib
import pkgutil


def names() -> list[str]:
  """Tasks that a config may name."""
  return sorted(m.name for m in pkgutil.iter_modules(__path__))


def build(name: str, **fields):
  """The task `name`.

  Raises:
    ValueError: there is no such task.
  """
  if name not in names():
    raise ValueError(f"no task {name!r}; there are: {', '.join(names())}")
  return importlib.import_module(f"{__name__}.{name}").Task(**fields)
