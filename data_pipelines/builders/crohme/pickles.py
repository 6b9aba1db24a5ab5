"""Pickled dictionaries of pictures, read without running what a pickle may ask for."""

import io
import pickle
from typing import Any

import numpy as np
from jaxtyping import UInt8

# All that arrays in a dictionary need, by the names of Python 2 and 3 and of NumPy 1 and 2.
_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (module, "_reconstruct"): np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}


class _Unpickler(pickle.Unpickler):
  """Knows arrays and nothing else."""

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _ALLOWED:
      raise pickle.UnpicklingError(f"asks for {module}.{name}, which no dictionary of pictures has")
    return _ALLOWED[module, name]


def read_pictures(data: bytes) -> dict[str, Any]:
  """What a pickle maps ids to: arrays, if it is what it should be (see `pixels_of`).

  Raises:
    ValueError: it is damaged, no dictionary, or holds something else; says why.
  """
  try:
    pictures = _Unpickler(io.BytesIO(data), encoding="latin1").load()
  except Exception as error:  # a damaged pickle raises anything
    raise ValueError(f"cannot be read as a pickle of pictures ({error})") from error
  if not isinstance(pictures, dict):
    raise ValueError(f"is a pickled {type(pictures).__name__}, not a dictionary of pictures")
  return {str(key): value for key, value in pictures.items()}


def pixels_of(value: Any) -> UInt8[np.ndarray, "H W"]:
  """The picture that a dictionary holds: [H, W] or [1, H, W], 0 to 255 or two values.

  Raises:
    ValueError: it holds something else.
  """
  if not isinstance(value, np.ndarray):
    raise ValueError(f"a {type(value).__name__}, not an array")
  pixels = value[0] if value.ndim == 3 and value.shape[0] == 1 else value
  if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind not in "bui":
    raise ValueError(f"an array of shape {value.shape} and type {value.dtype}, not a grey picture")
  if pixels.min() < 0 or pixels.max() > 255:
    raise ValueError(f"values from {pixels.min()} to {pixels.max()}, not 0 to 255")
  pixels = pixels.astype(np.uint8)
  return pixels * 255 if pixels.max() == 1 else pixels
