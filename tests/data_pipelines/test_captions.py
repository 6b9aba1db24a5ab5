"""Batches of captioned pictures: which text a row has, and how a picture gets its size."""

import io

import captions_set
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines import pipeline, transforms
from data_pipelines.augment import Augment
from data_pipelines.batching import Options, Plan
from data_pipelines.index import load_caption_index
from data_pipelines.transforms import Resize
from mmjax.text.vocabulary import Vocabulary

SQUASH = Resize("squash", (32, 32))


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
  made = captions_set.Captioned(data_dir=tmp_path_factory.mktemp("captions"))
  made.download_and_prepare(file_format="array_record")
  return tfds.builder_from_directory(made.data_dir)


def load(builder, split):
  index = load_caption_index(builder, split)
  source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
  words = Vocabulary.from_words(sorted({w for ts in index.texts for t in ts for w in t.split()}))
  records = pipeline.Records(source, index.ids, channels=3)
  return index, records, words, pipeline.encode_captions(index.texts, str.split, words)


@pytest.fixture(scope="module")
def train(builder):
  return load(builder, "train")


def plan_of(split, train=True, seed=0, epochs=3, **changes) -> Plan:
  options = dict(batch=8, max_buckets=2, texts="one", resize=SQUASH, align=16)
  lengths = pipeline.caption_lengths(split[3])
  return Plan(split[0].sizes, lengths, Options(**options | changes), train=train, seed=seed,
              epochs=epochs)  # fmt: skip


def batches(split, plan, **kwargs):
  return list(pipeline.batches(plan, split[1], split[3], **kwargs))


def rows(split, plan, epoch) -> list[tuple[int, str]]:
  """(record, text) of each row of an epoch, as loaded."""
  found = []
  for step, batch in enumerate(batches(split, plan)):
    if plan.epoch(step) == epoch:
      for record, tokens, n in zip(batch["record"], batch["tokens"], batch["length"]):
        if record >= 0:
          found.append((int(record), " ".join(split[2].decode(tokens[:n]))))
  return found


def test_the_index_has_what_was_stored(builder):
  index = load_caption_index(builder, "train")
  assert index.texts == [captions_set.texts_of(n) for n in range(24)]
  assert index.languages[5] == ("en", "en") and index.ids[5] == "train-5"
  assert index.sizes[4].tolist() == [72, 44]
  with pytest.raises(ValueError, match="no split 'test', only train, validation"):
    load_caption_index(builder, "test")


def test_one_text_is_drawn_every_epoch(train):
  plan = plan_of(train)
  epochs = [sorted(rows(train, plan, e)) for e in range(3)]
  for epoch in epochs:
    assert [r for r, _ in epoch] == list(range(24))
    assert all(text in captions_set.texts_of(r) for r, text in epoch)
  assert epochs[0] != epochs[1] != epochs[2]
  drawn = {(r, t) for epoch in epochs for r, t in epoch}
  assert len(drawn) > 40  # of 71
  assert [sorted(rows(train, plan_of(train), e)) for e in range(3)] == epochs
  assert sorted(rows(train, plan_of(train, seed=1), 0)) != epochs[0]


def test_each_text_is_a_row(train):
  plan = plan_of(train, texts="each", epochs=2)
  every = sorted((n, t) for n in range(24) for t in captions_set.texts_of(n))
  assert sorted(rows(train, plan, 0)) == sorted(rows(train, plan, 1)) == every
  assert rows(train, plan, 0) != rows(train, plan, 1)


def test_long_texts_are_left_out_and_pictures_without_any_are_dropped(train):
  assert {t for _, t in rows(train, plan_of(train, texts="each", max_tokens=3), 0)} == {
      t for n in captions_set.NOUNS for t in (f"a {n} runs", f"{n}s")
  }
  index, records, words, tokens = train
  emptied = [[] if n == 3 else [[], *t[1:]] if n == 4 else t for n, t in enumerate(tokens)]
  split = index, records, words, emptied
  plan = plan_of(split, texts="each")
  assert plan.dropped.tolist() == [3]
  assert (4, "") not in rows(split, plan, 0) and len(plan.records) == 71 - 3 - 1


def test_evaluation_carries_all_references(builder):
  split = load(builder, "validation")
  plan = plan_of(split, train=False, texts="references", epochs=1, batch=4)
  seen = []
  for batch in batches(split, plan):
    assert batch["references"].shape == (4, 3, batch["tokens"].shape[1])
    for row, record in enumerate(batch["record"]):
      if record < 0:
        assert not batch["reference_length"][row].any()
        continue
      seen.append(record)
      texts = [
          " ".join(split[2].decode(tokens[:n]))
          for tokens, n in zip(batch["references"][row], batch["reference_length"][row])
      ]
      expected = [*split[0].texts[record], ""][:3]
      assert texts == expected
      assert " ".join(split[2].decode(batch["tokens"][row])) == expected[0]
  assert sorted(seen) == list(range(7))


@pytest.mark.parametrize("rule", [SQUASH, Resize("crop", (32, 32), how="bilinear"), Resize()])
def test_pictures_are_rgb_at_their_planned_sizes(train, rule):
  plan = plan_of(train, resize=rule, epochs=1, high=(48, 96))
  for step, batch in enumerate(batches(train, plan)):
    assert batch["image"].dtype == np.uint8 and batch["image"].shape[3] == 3
    np.testing.assert_array_equal(batch["size"], plan[step].sizes)
    if rule.rule != "fit":
      assert batch["image"].shape[1:3] == (32, 32)
    for image, record, (h, w) in zip(batch["image"], batch["record"], batch["size"]):
      if record < 0:
        continue
      assert not image[h:].any() and not image[:, w:].any()
      seed = int(record)
      height, width = train[0].sizes[record]
      original = captions_set.pixels(int(height), int(width), seed)
      if rule.rule == "squash":  # colours stay where they were, so red is not blue
        corners = original[[2, 2, -3, -3], [2, -3, 2, -3]].astype(int)
        ours = image[[1, 1, -2, -2], [1, -2, 1, -2]].astype(int)
        assert abs(corners - ours).mean() < 16


def test_it_goes_on_at_any_step_with_augmentation_whatever_the_threads(train):
  augment = Augment(crop=0.3, flip=True, brightness=0.2, contrast=0.2)
  plan = plan_of(train, augment=augment, resize=Resize("crop", (32, 32), 40))
  whole = batches(train, plan, threads=1, prefetch=1)
  for start, threads in ((2, 3), (len(plan) - 1, 1)):
    for a, b in zip(batches(train, plan, start=start, threads=threads), whole[start:], strict=True):
      for name in b:
        np.testing.assert_array_equal(a[name], b[name])
  plain = batches(train, plan_of(train, resize=Resize("crop", (32, 32), 40)))
  assert all((a["record"] == b["record"]).all() for a, b in zip(whole, plain))
  assert any((a["image"] != b["image"]).any() for a, b in zip(whole, plain))


def test_wrong_combinations_are_refused(train):
  with pytest.raises(ValueError, match=r"texts is '' for lengths of shape \(24, 3\)"):
    plan_of(train, texts="")
  with pytest.raises(ValueError, match="texts is 'all'"):
    plan_of(train, texts="all")
  with pytest.raises(ValueError, match=r"texts is 'one' for lengths of shape \(24,\)"):
    Plan(train[0].sizes, np.ones(24, int), Options(batch=8, texts="one"), train=True)
  for wrong, said in (
      (dict(rule="stretch"), "use fit, squash or crop"),
      (dict(how="cubic"), "use area, bilinear, bicubic"),
      (dict(rule="crop", canvas=(64, 64), shorter=32), "set the side to 64 or more"),
  ):
    with pytest.raises(ValueError, match=said):
      Resize(**wrong)


def test_the_middle_is_cut_out_as_torchvision_does():
  across = np.tile(np.arange(500, dtype=np.uint16)[None] // 2, (375, 1)).astype(np.uint8)
  picture = np.stack([across] * 3, -1)
  out = transforms.crop_to_canvas(picture, Resize("crop", (256, 256), how="bilinear"))
  assert out.shape == (256, 256, 3)
  # 375 x 500 becomes 256 x 341; the 85 columns too many leave 42 on the left.
  scaled = Image.fromarray(picture).resize((341, 256), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(out, np.asarray(scaled)[:, 42:298])
  upright = transforms.crop_to_canvas(picture.swapaxes(0, 1), Resize("crop", (224, 224), 256))
  assert upright.shape == (224, 224, 3)


def test_the_orientation_of_a_camera_is_not_heeded():
  picture = Image.fromarray(captions_set.pixels(20, 30, 0))
  exif = Image.Exif()
  exif[0x0112] = 6  # a quarter turn
  out = io.BytesIO()
  picture.save(out, "JPEG", exif=exif)
  assert transforms.decode(out.getvalue(), "a", 3).shape == (20, 30, 3)
  assert transforms.decode(out.getvalue(), "a", 1).shape == (20, 30)


def test_a_grey_picture_comes_in_three_channels():
  grey = Image.fromarray(np.full((5, 6), 77, np.uint8))
  out = io.BytesIO()
  grey.save(out, "PNG")
  assert (transforms.decode(out.getvalue(), "a", 3) == 77).all()
