import hashlib
import json
import shutil
import zipfile

import pytest
import tensorflow_datasets as tfds
from made_captions import (
    HTML,
    aic_entries,
    flickr_names,
    flickr_pictures,
    picture,
    write_aic,
    write_flickr8k,
    write_folder,
    write_json,
    write_zip,
)

from data_pipelines import export_aic
from data_pipelines.builders.ai_challenger_caption import source
from data_pipelines.builders.captions import Findings
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_caption_index
from data_pipelines.prepare import prepare

TRAIN = "caption_train_annotations_20170902.json"
SKIP = {"image": tfds.decode.SkipDecoding()}


@pytest.fixture
def made_source(tmp_path):
  directory = tmp_path / "source"
  write_aic(directory, "train", "20170902", 4)
  write_aic(directory, "validation", "20170910", 2)
  return directory


def partly(tmp_path, directory):
  return prepare("ai_challenger_caption", tmp_path / "data", directory, allow_partial=True)[0]


def lacking(builder) -> list[str]:
  return [line for line in builder.info.metadata["deviations"] if ", published are" not in line]


def problems(directory) -> str:
  findings = Findings("AI Challenger", source.LAYOUT)
  source.read_source(directory, findings)
  with pytest.raises(SourceError) as caught:
    findings.problems.raise_any(directory)
  return str(caught.value)


def change(directory, edit, file=TRAIN):
  entries = json.loads((directory / file).read_text())
  edit(entries)
  write_json(directory / file, entries)
  return entries


def test_the_data_set_stores_what_was_supplied(made_source, tmp_path):
  builder = partly(tmp_path, made_source)
  assert set(builder.info.splits) == {"train", "validation"}
  index = load_caption_index(builder, "train")
  names = [e["image_id"] for e in json.loads((made_source / TRAIN).read_text())]
  assert index.ids == [n.removesuffix(".jpg") for n in names]
  assert index.texts[3] == tuple(f"第{i}个人在{names[3]}" for i in range(5))
  assert set(index.languages) == {("zh",) * 5}
  stored = builder.as_data_source("train", decoders=SKIP)[3]["image"]
  assert stored == picture(seed=3)
  assert f"{TRAIN}: 4 pictures, published are 210,000" in builder.info.metadata["deviations"]
  with pytest.raises(SourceError, match="4 pictures, published are 210,000"):
    prepare("ai_challenger_caption", tmp_path / "whole", made_source)
  assert list((tmp_path / "whole").iterdir()) == []


def test_tests_have_pictures_only_unless_annotations_are_there(made_source, tmp_path):
  write_aic(made_source, "test_a", "20180103", 2)
  names = write_aic(made_source, "test_b", "20180103", 3)
  (made_source / "caption_test_b_annotations_20180103.json").unlink()
  builder = partly(tmp_path, made_source)
  index = load_caption_index(builder, "test_b")
  assert index.ids == [n.removesuffix(".jpg") for n in names]
  assert index.texts == index.languages == [()] * 3
  assert len(index.sizes) == 3
  assert len(load_caption_index(builder, "test_a").texts[0]) == 5
  assert "test_b: 3 pictures, published are 30,000" in builder.info.metadata["deviations"]


def in_archives_of_pictures(directory):
  for folder in [p for p in directory.iterdir() if p.is_dir()]:
    write_zip(directory / f"{folder.name}.zip", {p.name: p.read_bytes() for p in folder.iterdir()})
    shutil.rmtree(folder)


def in_the_organizers_archives(directory, keep_folder=False):
  for split, date in (("train", "20170902"), ("validation", "20170910")):
    top = f"ai_challenger_caption_{split}_{date}"
    (directory / top).mkdir()
    for name in (f"caption_{split}_images_{date}", f"caption_{split}_annotations_{date}.json"):
      shutil.move(directory / name, directory / top / name)
    with zipfile.ZipFile(directory / f"{top}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
      for path in sorted((directory / top).rglob("*")):
        archive.write(path, path.relative_to(directory))
    if not keep_folder:
      shutil.rmtree(directory / top)


def in_the_organizers_archives_and_unpacked(directory):
  in_the_organizers_archives(directory, keep_folder=True)


@pytest.mark.parametrize(
    "pack",
    [
        in_archives_of_pictures,
        in_the_organizers_archives,
        in_the_organizers_archives_and_unpacked,
    ],
)
def test_every_layout_gives_the_same_records(made_source, tmp_path, pack):
  expected = partly(tmp_path / "a", made_source)
  pack(made_source)
  builder = partly(tmp_path / "b", made_source)
  for split in ("train", "validation"):
    ours, theirs = (list(b.as_data_source(split, decoders=SKIP)) for b in (builder, expected))
    assert ours == theirs


def test_empty_captions_are_skipped_and_counted(made_source, tmp_path):
  def edit(entries):
    entries[0]["caption"][1] = ""
    entries[0]["caption"][3] = " \n"
    entries[1]["caption"] = [""] * 5
    entries[2]["caption"][0] = "一个人\n在跑 "

  entries = change(made_source, edit)
  builder = partly(tmp_path, made_source)
  index = load_caption_index(builder, "train")
  assert [len(t) for t in index.texts] == [3, 5, 5]
  assert index.texts[1][0] == "一个人 在跑"
  assert list(builder.info.metadata["notes"]) == [f"{TRAIN}: empty captions, skipped (7)"]
  assert lacking(builder) == [f"{TRAIN}: picture without texts (1): {entries[1]['image_id']}"]


def test_what_lacks_one_of_both_is_named(made_source, tmp_path):
  folder = made_source / "caption_train_images_20170902"
  names = sorted(p.name for p in folder.iterdir())
  (folder / names[0]).unlink()
  (folder / names[1]).write_bytes(HTML)
  write_folder(folder, {"stray.jpg": picture(), "read me.txt": b"x"})

  entries = json.loads((made_source / TRAIN).read_text())
  entries[2]["caption"] += ["第六"]
  entries[3]["caption"][0] = "\ud83d一"
  (made_source / TRAIN).write_text(json.dumps(entries))  # half of a pair, as an escape
  builder = partly(tmp_path, made_source)
  assert lacking(builder) == [
      f"{TRAIN}: picture without 5 captions (1): {names[2]}",
      f"{TRAIN}: caption with half a surrogate pair (1): {names[3]}",
      "caption_train_images_20170902: picture without texts (1): stray.jpg",
      f"{TRAIN}: texts without a picture (1): {names[0]}",
      "caption_train_images_20170902: picture that cannot be used (1):"
      f" {names[1]} (is a web page or other markup, not a picture: was a download refused?)",
  ]
  assert [len(t) for t in load_caption_index(builder, "train").texts] == [6, 4]


def test_entries_without_fields_and_repeated_ids_are_named(made_source):
  names = [e["image_id"] for e in json.loads((made_source / TRAIN).read_text())]

  def edit(entries):
    del entries[0]["caption"]
    del entries[1]["image_id"]
    entries[2]["caption"] = "one text"
    entries += aic_entries([names[3]]) + ["no entry"]

  change(made_source, edit)
  found = problems(made_source)
  wrong = 'entry without "image_id" (a text) and "caption" (a list of texts)'
  assert f"{wrong} (4): number 1 {names[0]}, number 2, number 3 {names[2]}, number 6\n" in found
  assert f"{TRAIN}: repeated id (1): {names[3].removesuffix('.jpg')}" in found


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-20], "is not JSON or cut short"),
        (lambda data: data[:200] + b"\xff" + data[200:], "is not UTF-8 text (byte 200)"),
        (lambda data: b"{}", 'is not a list of {"image_id", "caption"}'),
        (lambda data: HTML, "is not JSON"),
    ],
)
def test_a_file_of_annotations_that_is_damaged_is_named(made_source, damage, said):
  (made_source / TRAIN).write_bytes(damage((made_source / TRAIN).read_bytes()))
  assert f"{TRAIN}: {said}" in problems(made_source)


def test_missing_files_are_named(made_source, tmp_path):
  (made_source / TRAIN).unlink()
  shutil.rmtree(made_source / "caption_validation_images_20170910")
  found = problems(made_source)
  assert "caption_train_annotations_*.json: is missing" in found
  assert "caption_validation_images_*: is missing or has no pictures" in found
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "x").touch()
  with pytest.raises(SourceError, match=r"caption_train_annotations_\*\.json: is missing"):
    partly(tmp_path, tmp_path / "other")


def test_archives_with_names_that_lead_out_are_refused(made_source):
  write_zip(made_source / "caption_train_images_x.zip", {"../../evil.jpg": picture()})
  found = problems(made_source)
  assert "caption_train_images_x.zip: name that leads out of the archive (1): '../../evil" in found


def test_the_shared_sample_is_read(shared, tmp_path):
  builder = partly(tmp_path, shared / "data" / "aic_icc")
  assert builder.info.splits["train"].num_examples == 7
  assert len(lacking(builder)) == 2  # two pictures without texts, one text without picture
  assert {len(t) for t in load_caption_index(builder, "train").texts} == {5}


def test_flickr8k_is_exported_to_this_layout(tmp_path):
  made = write_flickr8k(tmp_path / "flickr8k")
  counts = export_aic.export(made, tmp_path / "out", allow_partial=True)
  assert counts == {"train": 6, "validation": 2, "test_a": 3}
  builder = partly(tmp_path, tmp_path / "out")
  assert lacking(builder) == []
  index = load_caption_index(builder, "test_a")
  names = flickr_names()["test"]
  assert index.ids == [hashlib.sha1(n.encode()).hexdigest() for n in names]
  assert index.texts[2] == tuple(f"{names[2]}的狗，第{i}。" for i in range(5))
  records = list(builder.as_data_source("test_a", decoders=SKIP))
  assert [r["image"] for r in records] == [flickr_pictures()[n] for n in names]


def test_an_export_that_fails_leaves_nothing(tmp_path, capsys):
  made, out = write_flickr8k(tmp_path / "flickr8k"), tmp_path / "out"
  arguments = [f"--manual_dir={made}", f"--output={out}"]
  assert export_aic.main(arguments) == 2
  assert "6 names, published are 6,000" in capsys.readouterr().err
  data = bytearray((made / "images_val.zip").read_bytes())
  data[100] ^= 0xFF
  (made / "images_val.zip").write_bytes(data)
  assert export_aic.main([*arguments, "--allow_partial"]) == 2
  assert "images_val.zip: val_0.jpg: the archive is damaged there" in capsys.readouterr().err
  assert [p.name for p in tmp_path.iterdir()] == ["flickr8k"]


def test_an_export_needs_chinese_and_a_new_directory(tmp_path, capsys):
  made, out = write_flickr8k(tmp_path / "flickr8k"), tmp_path / "out"
  arguments = [f"--manual_dir={made}", f"--output={out}", "--allow_partial"]
  assert export_aic.main(arguments) == 0
  assert "train 6, validation 2, test_a 3 pictures" in capsys.readouterr().out
  assert export_aic.main(arguments) == 2
  assert f"--output={out} is there" in capsys.readouterr().err
  (made / "captions_zh.txt").unlink()
  assert export_aic.main([*arguments[:1], f"--output={out}2", "--allow_partial"]) == 2
  assert "flickr8kzhc.caption.txt: is missing, and so are Chinese" in capsys.readouterr().err
