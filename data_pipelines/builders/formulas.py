"""What every data set of pictured formulas stores, the same for all."""

import numpy as np
import tensorflow_datasets as tfds


def formula_features() -> tfds.features.FeaturesDict:
  """Encoded picture, its sizes (known to the batch plan before decoding) and its tokens."""
  return tfds.features.FeaturesDict({
      "id": tfds.features.Text(),
      "image": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
      "height": np.int32,
      "width": np.int32,
      "length": np.int32,  # tokens, without specials
      "text": tfds.features.Text(),  # tokens joined by one space
  })
