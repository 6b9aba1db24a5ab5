"""Pictures against those of the library's processors (transformers 4.57.6, Pillow 13.0.0)."""

import hashlib

import numpy as np
import pytest

from mmjax.convert.hub.preprocessing import from_dict
from mmjax.convert.state_dict import WeightsError

SIZES = [(37, 53), (120, 31), (64, 64), (21, 200), (9, 8), (150, 140)]
SQUARE = {"height": 32, "width": 32}
# Settings; the hash of what the processor makes of pictures of SIZES without normalising; means of
# the channels of the first one, normalised.
RECORDED = [
    (dict(image_processor_type="ViTImageProcessor", size={"height": 24, "width": 24}, resample=2),
     "05d4321dcb3fbffa", (0.21521, 0.20882, 0.20512)),
    (dict(feature_extractor_type="ViTFeatureExtractor", size=32, resample=2, do_resize=True,
          do_normalize=True),
     "a30dba0c6c505935", (0.21487, 0.20844, 0.20509)),
    (dict(feature_extractor_type="DeiTFeatureExtractor", size=40, crop_size=32,
          do_center_crop=True, resample=3),
     "15631a601d93e721", (0.13406, 0.17089, 0.12318)),
    (dict(image_processor_type="DeiTImageProcessor", size={"height": 20, "width": 20},
          crop_size={"height": 25, "width": 31}),
     "470aac070423c1c1", (-0.37456, -0.37602, -0.3784)),
    (dict(feature_extractor_type="BeitFeatureExtractor", size=36, crop_size=33,
          do_center_crop=False),
     "74c052b88f70f69b", (0.21329, 0.2076, 0.20448)),
    (dict(feature_extractor_type="CLIPFeatureExtractor", size=32, crop_size=32, resample=3),
     "e596c72d3c18a948", (0.46898, 0.57887, 0.69403)),
    (dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": 33},
          crop_size={"height": 20, "width": 27}),
     "8ffd2dcac9e8c843", (0.03835, 0.2968, 0.35525)),
    (dict(image_processor_type="CLIPImageProcessor", size={"height": 48, "width": 40},
          do_center_crop=False, resample=3),
     "36d62656375d918e", (0.4666, 0.55695, 0.70175)),
    (dict(image_processor_type="BlipImageProcessor", size={"height": 48, "width": 48}, resample=3),
     "9b04e36d4ab6ae14", (0.4658, 0.55816, 0.70196)),
    (dict(image_processor_type="DonutImageProcessor", size={"height": 64, "width": 48}),
     "0b2cdc1a4f127250", (-0.37305, -0.37766, -0.37887)),
    (dict(feature_extractor_type="DonutFeatureExtractor", size=[48, 64], do_align_long_axis=True,
          resample=2),
     "544d3f1c24531bf9", (0.14021, 0.13088, 0.12892)),
    (dict(image_processor_type="NougatImageProcessor", size={"height": 56, "width": 42}),
     "66c80737cf454fd8", (-1.18602, -1.08964, -0.86787)),
    (dict(image_processor_type="NougatImageProcessor", size={"height": 40, "width": 64},
          do_crop_margin=False, do_align_long_axis=True),
     "816c8a4fb4b198cb", (0.24326, 0.36216, 0.57679)),
]  # fmt: skip


def picture(height: int, width: int) -> np.ndarray:
  """Random blocks of colour under a light strip."""
  draw = np.random.default_rng(height * 1000 + width)
  blocks = draw.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3))
  out = blocks.repeat(4, 0).repeat(4, 1)[:height, :width].astype(np.uint8)
  out[: height // 5] = 250
  return out


@pytest.mark.parametrize(("settings", "digest", "means"), RECORDED)
def test_pixels_are_those_of_the_library(settings, digest, means):
  p = from_dict(settings)
  found = hashlib.sha256()
  for size in SIZES:
    out = p.picture(picture(*size))
    assert out.dtype == np.uint8 and out.shape == (*p.canvas, 3)
    found.update(np.ascontiguousarray(out).tobytes())
  assert found.hexdigest()[:16] == digest
  numbers = (p.picture(picture(*SIZES[0])) * p.scale - np.array(p.mean)) / np.array(p.std)
  np.testing.assert_allclose(numbers.mean((0, 1)), means, atol=1e-5)


def test_grey_pictures_are_read_as_coloured_ones():
  p = from_dict(RECORDED[0][0])
  grey = picture(37, 53)[..., 0]
  out = p.picture(grey)
  assert (out[..., 0] == out[..., 1]).all() and (out[..., 0] == out[..., 2]).all()
  np.testing.assert_array_equal(out, p.picture(grey[..., None]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 32}, "neither image_processor_type nor feature_extractor_type"),
        ({"image_processor_type": "FuyuImageProcessor"}, "FuyuImageProcessor is not known"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "no common size"),
        ({"image_processor_type": "DonutImageProcessor", "do_pad": False}, "no common size"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 32}},
         "size is .*longest_edge.*a height and a width"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told(settings, message):
  with pytest.raises(WeightsError, match=message):
    from_dict(settings)


def test_a_page_that_does_not_fit():
  p = from_dict({"image_processor_type": "DonutImageProcessor", "size": SQUARE,
                 "do_thumbnail": False})  # fmt: skip
  with pytest.raises(ValueError, match="set do_thumbnail"):
    p.picture(picture(21, 200))
