"""What every data set of captioned pictures stores, the same for all."""

import numpy as np
import tensorflow_datasets as tfds


def caption_features(encoding_format: str = "jpeg") -> tfds.features.FeaturesDict:
  """Encoded picture, its sizes, and its captions as they were written, with their languages."""
  return tfds.features.FeaturesDict({
      "id": tfds.features.Text(),
      "image": tfds.features.Image(
          shape=(None, None, 3), dtype=np.uint8, encoding_format=encoding_format
      ),
      "height": np.int32,
      "width": np.int32,
      "texts": tfds.features.Sequence(tfds.features.Text()),
      "languages": tfds.features.Sequence(tfds.features.Text()),  # of each text: "en", "zh"
  })
