"""Batches of a prepared data set: pixels, tokens, order and position."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines import datasets, pipeline
from data_pipelines.batching import Options, Plan
from data_pipelines.index import load_index
from mmjax.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def split(formulas):
  builder = datasets.load("synthetic", formulas)
  index = load_index(builder, "train")
  source = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
  words = Vocabulary.from_words(builder.info.metadata["vocabulary"])
  records = pipeline.Records(source, index.ids)
  return index, records, words, pipeline.encode_texts(index.texts, words)


def plan_of(split, **changes) -> Plan:
  options = Options(**(dict(batch=8, max_buckets=2) | changes))
  return Plan(split[0].sizes, split[0].lengths, options, train=True, epochs=2)


def load(split, plan, **kwargs) -> list[dict[str, np.ndarray]]:
  return list(pipeline.batches(plan, split[1], split[3], **kwargs))


def test_pixels_and_tokens_are_those_of_the_records(split):
  index, records, words, _ = split
  plan = plan_of(split, low=(1, 1))  # nothing is resized
  seen = []
  for step, batch in enumerate(load(split, plan)):
    bucket = plan[step].bucket
    assert batch["image"].shape == (8, bucket.height, bucket.width, 1)
    assert batch["tokens"].shape == (8, bucket.length)
    for i, record in enumerate(batch["record"]):
      assert batch["real"][i] == (record >= 0)
      if record < 0:
        assert not batch["image"][i].any() and not batch["tokens"][i].any()
        assert batch["length"][i] == 0
        continue
      seen.append(record)
      png = np.frombuffer(records.source[record]["image"], np.uint8)
      picture = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
      h, w = batch["size"][i]
      assert picture.shape == (h, w) == tuple(index.sizes[record])
      np.testing.assert_array_equal(batch["image"][i, :h, :w, 0], picture)
      assert batch["image"][i].sum() == picture.sum()  # nothing outside
      n = batch["length"][i]
      assert " ".join(words.decode(batch["tokens"][i, :n])) == index.texts[record]
      assert not batch["tokens"][i, n:].any()
  assert sorted(seen) == sorted([*range(48)] * 2)


def test_pictures_have_the_planned_sizes(split):
  plan = plan_of(split, scale=0.5, scale_range=(0.8, 1.2))
  for step, batch in enumerate(load(split, plan)):
    np.testing.assert_array_equal(batch["size"], plan[step].sizes)
    for image, (h, w) in zip(batch["image"][..., 0], batch["size"]):
      assert image[:h, :w].any() == (h > 0)
      assert not image[h:].any() and not image[:, w:].any()


def test_it_goes_on_at_any_step_whatever_the_threads(split):
  plan = plan_of(split, scale_range=(0.8, 1.2))
  whole = load(split, plan, threads=1, prefetch=1)
  assert len(whole) == len(plan)
  for start, threads in ((0, 4), (3, 2), (len(plan) - 1, 1), (len(plan), 2)):
    again = load(split, plan, start=start, threads=threads, prefetch=3)
    assert len(again) == len(plan) - start
    for a, b in zip(again, whole[start:]):
      for name in b:
        np.testing.assert_array_equal(a[name], b[name])


def test_in_memory_is_the_same(split):
  index, records, _, tokens = split
  held = pipeline.Records(records.source, index.ids)
  held.hold()
  plan = plan_of(split)
  for a, b in zip(pipeline.batches(plan, held, tokens), load(split, plan)):
    np.testing.assert_array_equal(a["image"], b["image"])


def test_a_damaged_picture_is_named(split):
  index, records, _, tokens = split
  source = {i: records.source[i] for i in range(48)} | {5: {"image": b"damaged"}}
  damaged = pipeline.Records(source, index.ids)
  with pytest.raises(ValueError, match=f"record {index.ids[5]} does not decode"):
    list(pipeline.batches(plan_of(split), damaged, tokens))
