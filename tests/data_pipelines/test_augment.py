"""Random changes of pictures: each does what it says, keeps sizes, and is the same again."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines import augment, datasets, pipeline, transforms
from data_pipelines.augment import Augment, augmented, change_strokes, change_tones
from data_pipelines.batching import Options, Plan
from data_pipelines.index import load_index
from mmjax.text.vocabulary import Vocabulary

EVERYTHING = Augment(
    rotate=4, shear=0.3, elastic=2, stroke=1.5, brightness=0.2, contrast=0.3, crop=0.2, flip=True
)


def changed(picture, a, seed=0, rule=transforms.FIT, size=None):
  height, width = size or picture.shape[:2]
  return augmented(picture, height, width, rule, a, np.random.default_rng(seed))


def drawing(height=60, width=200, ink=255) -> np.ndarray:
  """A line across, a line down, and a dot in each corner."""
  picture = np.full((height, width), 255 - ink, np.uint8)
  cv2.line(picture, (width // 4, height // 2), (width * 3 // 4, height // 2), ink, 2)
  cv2.line(picture, (width // 2, height // 4), (width // 2, height * 3 // 4), ink, 2)
  for x in (3, width - 4):
    for y in (3, height - 4):
      cv2.circle(picture, (x, y), 1, ink, -1)
  return picture


def ink_of(picture, ink=255):
  return (picture if ink == 255 else 255 - picture).astype(float)


@given(st.integers(1, 80), st.integers(1, 120), st.sampled_from([(), (3,)]), st.integers(0, 20))
def test_sizes_stay_and_the_same_draw_gives_the_same(height, width, channels, seed):
  picture = np.random.default_rng(0).integers(0, 256, (30, 40, *channels), dtype=np.uint8)
  out = changed(picture, EVERYTHING, seed, size=(height, width))
  assert out.shape == (height, width, *channels) and out.dtype == np.uint8
  np.testing.assert_array_equal(out, changed(picture, EVERYTHING, seed, size=(height, width)))
  for rule in ("squash", "crop"):
    resize = transforms.Resize(rule, (24, 24), 30 if rule == "crop" else 0)
    assert changed(picture, EVERYTHING, seed, resize, (24, 24)).shape == (24, 24, *channels)


@pytest.mark.parametrize("name", ["rotate", "shear", "elastic", "stroke", "brightness", "contrast"])
def test_each_change_changes_and_differs_from_draw_to_draw(name):
  most = 0.2 if name in ("brightness", "contrast", "shear") else 3.0
  picture = cv2.GaussianBlur(drawing(), (0, 0), 1)
  a, b = (changed(picture, Augment(**{name: most}), seed) for seed in (1, 2))
  assert (a != picture).any() and (b != picture).any() and (a != b).any()
  np.testing.assert_array_equal(changed(picture, Augment()), picture)


@pytest.mark.parametrize("ink", [255, 0])
@pytest.mark.parametrize("shape", [(60, 200), (30, 400), (90, 90), (200, 40)])
def test_no_ink_leaves_the_picture_when_it_is_turned_slanted_or_distorted(shape, ink):
  picture = drawing(*shape, ink)
  for seed in range(12):
    out = ink_of(changed(picture, Augment(rotate=10, shear=0.4, elastic=2), seed), ink)
    parts, _ = cv2.connectedComponents((out > 40).astype(np.uint8))
    assert parts - 1 == 5, seed  # four dots and the lines


def angle_of(picture) -> float:
  """Degrees of the main direction of the ink."""
  y, x = np.nonzero(picture > 100)
  (across, both), (_, down) = np.cov(x, y)
  return float(np.degrees(np.arctan2(2 * both, across - down) / 2))


def test_turns_are_up_to_the_limit_and_less_for_wide_pictures():
  line = np.zeros((80, 80), np.uint8)
  cv2.line(line, (10, 40), (70, 40), 255, 3)
  angles = [angle_of(changed(line, Augment(rotate=8), seed)) for seed in range(40)]
  assert 6 < max(angles) < 8.5 and -8.5 < min(angles) < -6
  wide = np.zeros((40, 400), np.uint8)
  cv2.line(wide, (10, 20), (390, 20), 255, 3)
  angles = [angle_of(changed(wide, Augment(rotate=8), seed)) for seed in range(40)]
  assert 1 < max(angles) < np.degrees(np.arctan(augment.MOST_MOVED * 40 / 400)) + 0.1


def test_slanting_tilts_what_stands_and_not_what_lies():
  for seed in range(10):
    out = changed(drawing(100, 100), Augment(shear=0.3), seed)
    y, x = np.nonzero(out[25:75, 30:70] > 100)
    lying = (np.abs(y - 25) < 2) & (np.abs(x - 20) > 6)
    assert abs(np.polyfit(x[lying], y[lying], 1)[0]) < 0.03
  slants = []
  for seed in range(20):
    out = changed(drawing(100, 100), Augment(shear=0.3), seed)[:, 30:70]
    top, bottom = (np.nonzero(out[r : r + 13] > 100)[1].mean() for r in (27, 60))
    slants.append((bottom - top) / 33)
  assert 0.15 < max(slants) < 0.33 and -0.33 < min(slants) < -0.15


def test_elastic_fields_are_smooth_small_and_still_at_the_edges():
  field = augment.elastic_field(96, 320, 2.0, np.random.default_rng(0))
  assert field.shape == (96, 320, 2)
  assert 1 < np.abs(field).max() < 3 and np.abs(field).mean() > 0.3
  assert max(np.abs(np.diff(field, axis=a)).max() for a in (0, 1)) < 0.5
  assert np.abs(field[[0, -1]]).max() < 0.6 and np.abs(field[:, [0, -1]]).max() < 0.6


@pytest.mark.parametrize("ink", [255, 0])
def test_strokes_widen_and_thin_by_what_is_asked(ink):
  picture = np.full((40, 60), 255 - ink, np.uint8)
  picture[10:13] = ink
  width = lambda p: ink_of(p, ink)[:, 30].sum() / 255
  for pixels, wide in ((-0.5, 2), (0, 3), (0.5, 4), (1, 5), (2.25, 7.5)):
    assert width(change_strokes(picture, pixels)) == pytest.approx(wide, abs=0.03)
  thin = np.full((40, 60), 255 - ink, np.uint8)
  thin[10] = ink
  least = min(ink_of(changed(thin, Augment(stroke=9), s), ink)[:, 30].max() for s in range(30))
  assert least > 120  # a line of one pixel is never lost


def test_tones_are_the_formula():
  picture = np.array([[0, 100], [150, 250]], np.uint8)  # mean 125
  np.testing.assert_array_equal(change_tones(picture, 0.1, 0), [[26, 126], [176, 255]])
  np.testing.assert_array_equal(change_tones(picture, 0, 0.5), [[0, 88], [162, 255]])
  np.testing.assert_array_equal(change_tones(picture, 0, -0.5), [[62, 112], [138, 188]])


def test_crops_keep_proportions_and_take_every_place():
  y, x = np.mgrid[:100, :200]
  picture = np.stack([x, y * 2, 0 * x], -1).astype(np.uint8)  # values tell the place
  corners = []
  for seed in range(60):
    out = changed(picture, Augment(crop=0.5), seed).astype(int)
    across, down = np.ptp(out[50, :, 0]), np.ptp(out[:, 100, 1])
    assert abs(across - down) < 6 and 95 < across <= 200
    corners.append((out[0, 0, 0], out[0, 0, 1]))
  left, top = np.transpose(corners)
  assert left.min() < 5 and left.max() > 70 and top.min() < 5 and top.max() > 70


def test_every_other_picture_is_mirrored():
  picture = np.zeros((4, 8, 3), np.uint8)
  picture[:, :4] = 200
  flips = [bool((changed(picture, Augment(flip=True), s) == picture[:, ::-1]).all())
           for s in range(200)]  # fmt: skip
  assert 70 < sum(flips) < 130
  same = [bool((changed(picture, Augment(flip=True), s) == picture).all()) for s in range(200)]
  assert [not f for f in flips] == same


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(rotate=-1), "rotate is -1: give 0 or more"),
        (dict(crop=1.0), "crop is 1.0: .* under 1"),
    ],
)
def test_values_out_of_range_are_refused(wrong, said):
  with pytest.raises(ValueError, match=said):
    Augment(**wrong)


@pytest.fixture(scope="module")
def split(formulas):
  builder = datasets.load("synthetic", formulas)
  index = load_index(builder, "train")
  source = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
  words = Vocabulary.from_words(builder.info.metadata["vocabulary"])
  return index, pipeline.Records(source, index.ids), pipeline.encode_texts(index.texts, words)


def pictures(split, a, train=True, seed=0, **changes) -> dict[tuple[int, int], bytes]:
  """Pixels of each (epoch, record)."""
  index, records, tokens = split
  options = Options(**(dict(batch=8, max_buckets=2, augment=a) | changes))
  plan = Plan(index.sizes, index.lengths, options, train=train, seed=seed, epochs=2)
  found = {}
  for step, batch in enumerate(pipeline.batches(plan, records, tokens)):
    for image, record, (h, w) in zip(batch["image"], batch["record"], batch["size"]):
      if record >= 0:
        assert not image[h:].any() and not image[:, w:].any()
        found[plan.epoch(step), int(record)] = image[:h, :w].tobytes()
  return found


def test_changes_depend_on_seed_epoch_and_record_alone(split):
  a = Augment(rotate=3, elastic=2, stroke=1)
  first = pictures(split, a)
  assert first == pictures(split, a, batch=16, max_buckets=3)
  assert all(first[0, r] != first[1, r] for r in range(48))
  other = pictures(split, a, seed=1)
  assert all(first[k] != other[k] for k in first)


def test_off_by_default_and_in_evaluation(split):
  plain = pictures(split, Augment())
  assert plain == pictures(split, Augment(rotate=3, stroke=1), train=False)
  assert all(plain[0, r] == plain[1, r] for r in range(48))


def test_formulas_are_neither_mirrored_nor_cropped(split):
  for a in (Augment(flip=True), Augment(crop=0.1)):
    with pytest.raises(ValueError, match="a formula would read otherwise"):
      pictures(split, a)
