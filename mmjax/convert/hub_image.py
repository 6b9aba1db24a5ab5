"""What a folder's `preprocessor_config.json` says about pixels."""

from collections.abc import Mapping
from typing import Any


def image_fields(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
  """What `build` of a family takes: fields of a model that make numbers of pixels 0..255.

  Raises:
    ValueError: pixels are to be normalised, and by what is not said.
  """
  if "max_patches" in preprocessor:  # Pix2Struct's, which hands over numbers
    return {"max_patches": int(preprocessor["max_patches"])}
  fields: dict[str, Any] = {}
  if preprocessor.get("do_rescale", True):
    fields["rescale"] = float(preprocessor.get("rescale_factor", 1 / 255))
  else:
    fields["rescale"] = 1.0
  if preprocessor.get("do_normalize", True):
    for name, field in (("image_mean", "mean"), ("image_std", "deviation")):
      if not preprocessor.get(name):
        raise ValueError(f"the preprocessor's configuration lacks {name}: three numbers")
      fields[field] = tuple(float(x) for x in preprocessor[name])
  return fields
