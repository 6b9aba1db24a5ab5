import shutil

import pytest
import tensorflow_datasets as tfds
from made_captions import (
    HTML,
    flickr_names,
    flickr_pictures,
    picture,
    write_flickr8k,
    write_folder,
    write_zip,
)

from data_pipelines import datasets, prepare
from data_pipelines.builders.captions import Findings
from data_pipelines.builders.flickr8k import source
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_caption_index

FEW = "names, published are"


@pytest.fixture
def made_source(tmp_path):
  return write_flickr8k(tmp_path / "source")


def partly(tmp_path, directory):
  return prepare.prepare("flickr8k", tmp_path / "data", directory, allow_partial=True)[0]


def lacking(builder) -> list[str]:
  """What the data set says that it lacks, but for its being small."""
  return [line for line in builder.info.metadata["deviations"] if FEW not in line]


def message(directory) -> str:
  findings = Findings("Flickr8k", source.LAYOUT)
  source.read_source(directory, findings)
  with pytest.raises(SourceError) as caught:
    findings.problems.raise_any(directory)
  return str(caught.value)


def test_the_data_set_stores_what_was_supplied(made_source, tmp_path):
  builder = partly(tmp_path, made_source)
  assert {n: s.num_examples for n, s in builder.info.splits.items()} == {
      "train": 6, "validation": 2, "test": 3
  }
  index = load_caption_index(builder, "validation")
  assert index.ids == ["val_0", "val_1"]
  assert index.sizes.tolist() == [[30, 26], [31, 25]]
  english = tuple(f"A dog of val_0.jpg , {i} ." for i in range(5))
  chinese = tuple(f"val_0.jpg的狗，第{i}。" for i in range(5))
  assert index.texts[0] == english + chinese
  assert index.languages[0] == ("en",) * 5 + ("zh",) * 5
  skip = {"image": tfds.decode.SkipDecoding()}
  stored = builder.as_data_source("test", decoders=skip)[2]
  assert stored["id"] == b"test_2" and stored["image"] == flickr_pictures()["test_2.jpg"]
  assert builder.as_data_source("test")[2]["image"].shape == (34, 22, 3)
  assert list(builder.info.metadata["languages"]) == ["en", "zh"]
  assert "not for commercial use" in builder.info.metadata["licence"]
  assert len(builder.info.metadata["deviations"]) == 3 and not lacking(builder)
  with pytest.raises(ValueError, match="no split 'val', only train, validation, test"):
    load_caption_index(builder, "val")


def as_published(made_source):
  """The layout of the authors: names of the files, a folder, numbered tokens."""
  for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
    (made_source / f"{split}.txt").rename(made_source / f"Flickr_8k.{name}Images.txt")
    (made_source / f"images_{split}.zip").unlink()
  write_folder(made_source / "Flicker8k_Dataset", flickr_pictures())
  (made_source / "captions_en.txt").rename(made_source / "Flickr8k.token.txt")
  with (made_source / "Flickr8k.token.txt").open("a") as f:
    f.write("2258277193_586949ec62.jpg.1#0\tOf no picture\n")  # as the published file has it
  chinese = (made_source / "captions_zh.txt").read_text().replace("#", "#zhc#").replace("\t", " ")
  (made_source / "captions_zh.txt").unlink()
  (made_source / "flickr8kzhc.caption.txt").write_text(chinese)


def as_at_kaggle(made_source):
  as_published(made_source)
  (made_source / "Flicker8k_Dataset").rename(made_source / "Images")
  rows = ["image,caption"]
  for line in (made_source / "Flickr8k.token.txt").read_text().splitlines():
    name, text = line.split("\t")
    rows.append(f'{name.partition("#")[0]},"{text}"')
  (made_source / "captions.txt").write_text("\r\n".join(rows))
  (made_source / "Flickr8k.token.txt").unlink()


def as_one_archive(made_source):
  as_published(made_source)
  shutil.rmtree(made_source / "Flicker8k_Dataset")
  files = {f"Flicker8k_Dataset/{n}": data for n, data in flickr_pictures().items()}
  clutter = {f"__MACOSX/._{n}": b"x" for n in files}
  write_zip(made_source / "Flickr8k_Dataset.zip", files | clutter)


@pytest.mark.parametrize("change", [as_published, as_at_kaggle, as_one_archive])
def test_every_layout_gives_the_same_records(made_source, tmp_path, change):
  expected = partly(tmp_path / "a", made_source)
  change(made_source)
  builder = partly(tmp_path / "b", made_source)
  skip = {"image": tfds.decode.SkipDecoding()}
  for split in expected.info.splits:
    ours, theirs = (list(b.as_data_source(split, decoders=skip)) for b in (builder, expected))
    assert ours == theirs
  assert not lacking(builder)


def test_chinese_may_be_left_out(made_source, tmp_path):
  (made_source / "captions_zh.txt").unlink()
  builder = partly(tmp_path, made_source)
  assert load_caption_index(builder, "test").languages == [("en",) * 5] * 3


def test_counts_must_be_the_published_ones(made_source, tmp_path, capsys):
  arguments = ["flickr8k", f"--manual_dir={made_source}", f"--data_dir={tmp_path / 'data'}"]
  assert prepare.main(arguments) == 2
  said = capsys.readouterr().err
  assert "train.txt: 6 names, published are 6,000" in said and "--allow_partial" in said
  assert list((tmp_path / "data").iterdir()) == []
  assert prepare.main([*arguments, "--allow_partial"]) == 0
  assert "deviations: val.txt: 2 names, published are 1,000" in capsys.readouterr().out


def damage_pictures(directory):
  damaged = {
      "train_1.jpg": HTML,
      "train_2.jpg": picture(99, 99)[:900],
      "train_3.jpg": picture(kind="GIF"),
      "train_4.jpg": picture(kind="PNG", mode="RGBA"),
  }
  names = flickr_names()["train"]
  write_zip(directory / "images_train.zip", {n: damaged.get(n, picture()) for n in names})


def test_pictures_that_cannot_be_used_are_named_and_nothing_is_left(made_source, tmp_path):
  damage_pictures(made_source)
  builder = partly(tmp_path, made_source)
  (line,) = lacking(builder)
  assert line.startswith("images_train.zip: picture that cannot be used (4): train_1.jpg (is a web")
  assert "train_2.jpg (image file is truncated" in line
  assert "train_3.jpg (not a JPEG or PNG" in line and "train_4.jpg (must be opaque" in line
  assert load_caption_index(builder, "train").ids == ["train_0", "train_5"]
  assert builder.info.splits["test"].num_examples == 3


def test_a_damaged_picture_of_the_last_split_is_an_error_without_allow_partial(tmp_path, capsys):
  """With counts as published, so that it is the pictures alone that stop it."""
  root, made = tmp_path / "data", write_folder_source(tmp_path / "source")
  names = (made / "texts.csv").read_text().splitlines()
  damaged = names[-1].split(",")[0]
  (made / damaged).write_bytes(HTML)
  arguments = ["folder_captions", f"--manual_dir={made}", f"--data_dir={root}"]
  assert prepare.main(arguments) == 2
  said = capsys.readouterr().err
  assert f"picture that cannot be used (1): {damaged} (is a web page" in said
  assert list(root.iterdir()) == []
  with pytest.raises(datasets.NotPreparedError):
    datasets.load("folder_captions", root)


def write_folder_source(directory):
  write_folder(directory, {f"{i}.jpg": picture(seed=i) for i in range(4)})
  rows = [f"{i}.jpg,a dog,{s}" for i, s in enumerate(("train", "train", "val", "test"))]
  (directory / "texts.csv").write_text("\n".join(["image,caption,split", *rows]))
  return directory


def test_a_split_without_a_sound_picture_is_an_error_in_any_case(made_source, tmp_path):
  write_zip(made_source / "images_val.zip", {n: HTML for n in flickr_names()["val"]})
  with pytest.raises(SourceError, match=r"cannot be used \(2\): val_0.jpg"):
    partly(tmp_path, made_source)
  assert list((tmp_path / "data").iterdir()) == []


def test_what_lacks_pictures_or_captions_is_named_and_left_out(made_source, tmp_path):
  pictures = {n: flickr_pictures()[n] for n in flickr_names()["train"]}
  del pictures["train_3.jpg"]
  write_zip(made_source / "images_train.zip", {**pictures, "stray.jpg": picture()})
  lines = (made_source / "captions_en.txt").read_text().splitlines(keepends=True)
  lines = [line for line in lines if not line.startswith(("val_0.jpg#", "test_1.jpg#2"))]
  (made_source / "captions_en.txt").write_text("".join(lines))
  builder = partly(tmp_path, made_source)
  assert lacking(builder) == [
      "images_train.zip: picture without texts (1): stray.jpg",
      "images_val.zip: picture without texts (1): val_0.jpg",
      "train.txt: texts without a picture (1): train_3.jpg",
      "val.txt: picture without 5 captions of en (1): val_0.jpg",
      "test.txt: picture without 5 captions of en (1): test_1.jpg",
  ]
  assert load_caption_index(builder, "train").ids == [f"train_{i}" for i in (0, 1, 2, 4, 5)]
  assert len(load_caption_index(builder, "test").texts[1]) == 9


def test_unusable_captions_are_named(made_source, tmp_path):
  text = (made_source / "captions_zh.txt").read_text()
  text = text.replace("val_0.jpg的狗，第3。", "坏\0的").replace("val_0.jpg的狗，第4。", " ")
  (made_source / "captions_zh.txt").write_text(text)
  builder = partly(tmp_path, made_source)
  assert lacking(builder) == [
      "captions_zh.txt: caption with a NUL character (1): val_0.jpg (line 49)",
      "val.txt: picture without 5 captions of zh (1): val_0.jpg",
  ]
  assert list(builder.info.metadata["notes"]) == ["captions_zh.txt: empty captions, skipped (1)"]
  assert len(load_caption_index(builder, "validation").texts[0]) == 8


def test_lists_and_captions_that_are_no_such_files_are_named(made_source):
  (made_source / "train.txt").write_bytes(b"train_0.jpg\ntrain_1\xff.jpg\n")
  (made_source / "val.txt").unlink()
  (made_source / "captions_en.txt").write_text("train_0.jpg#0\tx\nno number\ntrain_0.jpg#0\ty\n")
  found = message(made_source)
  assert "train.txt: is not UTF-8 text (byte 19)" in found
  assert "Flickr_8k.devImages.txt: is missing" in found
  assert 'captions_en.txt: not "NAME.jpg#NUMBER<TAB>caption" (1): line 2' in found
  assert "captions_en.txt: repeated caption number (1): train_0.jpg#0 (line 3)" in found


def test_repeated_names_are_named(made_source, tmp_path):
  with (made_source / "train.txt").open("a") as f:
    f.write("train_0.jpg\n")
  with (made_source / "test.txt").open("a") as f:
    f.write("val_1.jpg\n")
  with pytest.raises(SourceError) as caught:
    partly(tmp_path, made_source)
  assert "train.txt: repeated id (1): train_0" in str(caught.value)
  assert "test: picture that is in validation, too (1): val_1" in str(caught.value)


def test_a_directory_with_nothing_of_it_names_every_file(tmp_path):
  found = message(tmp_path)
  for name in ("Flickr8k.token.txt", "Flickr_8k.trainImages.txt", "Flickr_8k.testImages.txt"):
    assert f"{name}: is missing" in found
  assert "Flicker8k_Dataset/: is missing" in found


def test_flickr8k_is_whole_but_for_the_known_picture(shared):
  directory = shared / "data" / "flickr8k"
  findings = Findings("Flickr8k", source.LAYOUT)
  splits = source.read_source(directory, findings)
  assert findings.problems.lines() == findings.gaps.lines() == []
  assert list(findings.notes.values()) == [1] and source.KNOWN_MISSING[0] in str(findings.notes)
  assert {n: len(i) for n, i in splits.items()} == {"train": 5999, "validation": 1000, "test": 1000}
  for items in splits.values():
    assert all(i.captions.languages == ("en",) * 5 + ("zh",) * 5 for i in items)
