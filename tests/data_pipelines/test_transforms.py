"""The rule that limits sizes, and exact sizes of resized pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.transforms import decode, limit_factors, resize, scaled_sizes

LOW, HIGH = (16, 16), (256, 1024)


@pytest.mark.parametrize(
    ("size", "factor", "result"),
    [
        ((100, 300), 1, (100, 300)),  # within the limits
        ((16, 16), 1, (16, 16)),
        ((256, 1024), 1, (256, 1024)),
        ((512, 300), 0.5, (256, 150)),  # too high
        ((100, 2048), 0.5, (50, 1024)),  # too wide
        ((512, 4096), 0.25, (128, 1024)),  # both: the worse decides
        ((8, 100), 2, (16, 200)),  # too low
        ((100, 4), 4, (256, 16)),  # too narrow; 400 would be over the limit
        ((4, 2), 8, (32, 16)),  # both: the worse decides
        ((8, 2048), 0.5, (4, 1024)),  # shrinking ends it, although 4 is under the limit
        ((1, 1), 16, (16, 16)),
        ((20_000, 20), 0.0128, (256, 1)),  # never under one pixel
    ],
)
def test_sizes_are_limited(size, factor, result):
  sizes = np.array([size])
  np.testing.assert_allclose(limit_factors(sizes, LOW, HIGH), [factor])
  np.testing.assert_array_equal(scaled_sizes(sizes, np.ones(1), low=LOW, high=HIGH), [result])


def test_scaling_comes_before_the_limits():
  sizes = np.array([[100, 300], [100, 300], [100, 300]])
  scaled = scaled_sizes(sizes, np.array([0.5, 4.0, 0.1]), low=LOW, high=HIGH)
  np.testing.assert_array_equal(scaled, [[50, 150], [256, 768], [16, 48]])
  assert scaled.dtype == np.int32


side = st.integers(1, 20_000)


@given(side, side, st.floats(0.1, 3))
def test_no_size_is_over_the_limit_and_proportions_stay(h, w, factor):
  ((new_h, new_w),) = scaled_sizes(np.array([[h, w]]), np.array([factor]), low=LOW, high=HIGH)
  assert 1 <= new_h <= HIGH[0] and 1 <= new_w <= HIGH[1]
  if LOW[0] / HIGH[1] < h / w < HIGH[0] / LOW[1]:  # one factor explains both, rounded
    least = max((new_h - 0.5) / h, (new_w - 0.5) / w)
    assert least <= min((new_h + 0.5) / h, (new_w + 0.5) / w) + 1e-9


@pytest.mark.parametrize("size", [(7, 9), (20, 30), (1, 1), (61, 30), (20, 95), (10, 40)])
def test_resize_gives_exactly_that_size(size):
  picture = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
  out = resize(picture, *size)
  assert out.shape == size and out.dtype == np.uint8
  if size == picture.shape:
    assert out is picture


def test_shrinking_averages_areas():
  picture = np.array([[0, 100, 0, 0], [100, 200, 0, 0]], np.uint8)
  np.testing.assert_array_equal(resize(picture, 1, 2), [[100, 0]])


def test_decoding_is_exact_and_names_a_broken_picture():
  picture = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
  data = cv2.imencode(".png", picture)[1].tobytes()
  np.testing.assert_array_equal(decode(data, "a"), picture)
  with pytest.raises(ValueError, match="record train/17 does not decode: prepare the data set"):
    decode(b"no picture", "train/17")
