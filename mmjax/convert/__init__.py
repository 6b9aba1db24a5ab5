"""Weights of published checkpoints -> our variables; one file a model, named as the model."""

import importlib
import pkgutil
from pathlib import Path

import jax
import numpy as np

from mmjax.convert.state_dict import WeightsError


def converter(kind: str):
  """The converter module of a model.

  Raises:
    WeightsError: there is none.
  """
  if kind in {module.name for module in pkgutil.iter_modules(__path__)}:
    module = importlib.import_module(f"{__name__}.{kind}")
    if callable(getattr(module, "convert", None)):
      return module
  raise WeightsError(f"no converter for the model {kind!r}")


def check_shapes(variables: dict, target: dict) -> None:
  """Compares trees of arrays by path and shape.

  Raises:
    WeightsError: a path is missing, left over, or has another shape.
  """
  flat = lambda t: {jax.tree_util.keystr(p): np.shape(x) for p, x in jax.tree.leaves_with_path(t)}
  ours, theirs = flat(target), flat(variables)
  differ = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
  wrong = [f"{k}: {theirs.get(k)} in the file, {ours.get(k)} in the model" for k in differ]
  if wrong:
    raise WeightsError(
        f"{len(wrong)} weights do not fit the model (sizes or vocabulary differ?):\n  "
        + "\n  ".join(wrong[:8])
    )


def load(kind: str, path: Path, sizes, target, vocabulary=None) -> dict:
  """Variables from a file of published weights.

  Args:
    kind: the model's name; its converter may have a `load` of its own.
    path: `.ckpt`, `.pt`, `.pth` or `.npz`.
    sizes: the model's config; `heads` is read from it where the model has some.
    target: has params and model_state of the shapes that must come out.
    vocabulary: words of the model, for converters with a `load`.

  Raises:
    WeightsError: unreadable, or not this model's weights.
  """
  from mmjax.convert.arrays import read_arrays

  options = {"heads": sizes["heads"]} if "heads" in sizes else {}
  module = converter(kind)
  if hasattr(module, "load"):
    variables = module.load(path, vocabulary, target)
  else:
    variables = module.convert(read_arrays(path), **options)
  check_shapes(variables, {"params": target.params, **target.model_state})
  return variables
