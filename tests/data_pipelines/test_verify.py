"""What is looked for in a prepared data set, and the page that shows it."""

import re
import xml.etree.ElementTree as ElementTree

import captions_set
import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from html5 import Checked

from data_pipelines import datasets, verify
from data_pipelines.builders.captions import caption_features


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  captions_set.Captioned(data_dir=folder).download_and_prepare(file_format="array_record")
  return folder


@pytest.fixture
def captioned(root, monkeypatch):
  monkeypatch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  return root


def rows(out: str) -> list[list[str]]:
  return [line.split() for line in out.splitlines()]


def test_captions_are_counted_and_a_picture_of_both_splits_is_a_leak(captioned, capsys):
  assert verify.main(["captioned", f"--data_dir={captioned}"]) == 1
  out = capsys.readouterr().out
  assert "1 wrong:\n  1 pictures are in train and in validation: `train-0 = validation-0`" in out
  assert rows(out)[2][:4] == ["split", "records", "captions", "pictures"]
  texts = {t for n in range(24) for t in captions_set.texts_of(n)}
  assert ["train", "24", str(len(texts)), "24"] in rows(out)
  tokens = next(r for r in rows(out) if r[:4] == ["train", "1", "3", "9"])
  assert tokens  # lengths in words: shortest, median, 95 %, longest
  assert (captioned / "captioned" / "1.0.0.html").is_file()


class Faulty(tfds.core.GeneratorBasedBuilder):
  """Captions wrong in every way, and sound ones in Chinese."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = epath.Path(__file__)

  def _info(self):
    return tfds.core.DatasetInfo(
        builder=self, features=caption_features(), disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {n: self._generate_examples(n) for n in ("train", "test", "test_a")}

  def _generate_examples(self, split):
    image = captions_set.jpeg(captions_set.pixels(30, 40, 5))
    good = {"id": "a", "image": image, "height": 30, "width": 40, "texts": ["A red dog."],
            "languages": ["en"]}  # fmt: skip
    if split == "test_a":  # of a competition: its captions are kept back, which is no fault
      yield 0, {**good, "texts": [], "languages": []}
      return
    yield 0, good
    if split == "train":
      yield 1, {**good, "id": "same"}
      yield 2, {**good, "id": "cut", "image": image[:40]}
      yield 3, {**good, "id": "wide", "width": 41}
      yield 4, {**good, "id": "mute", "texts": [], "languages": []}
      yield 5, {**good, "id": "babel", "languages": ["en", "zh"]}
      yield 6, {**good, "id": "zh", "texts": ["一只 红狗"], "languages": ["zh"]}
    else:
      yield 1, {**good, "id": "b", "texts": ["The red Cat isn't 狗", "红猫猫"],
                "languages": ["en", "zh"]}  # fmt: skip


def test_each_fault_of_captions_is_named(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(datasets.DATASETS, "faulty", captions_set.ROW)
  Faulty(data_dir=tmp_path).download_and_prepare(file_format="array_record")
  target = tmp_path / "page.html"
  assert verify.main(["faulty", f"--data_dir={tmp_path}", f"--html={target}"]) == 1
  out = capsys.readouterr().out
  for line in (
      "4 wrong:",
      "train: mute: has no caption",
      "train: cut: picture does not decode",
      "train: wide: picture of (30, 40) is stored as (30, 41)",
      "train: babel: 1 captions have 2 languages",
      "`a = same = wide = mute = babel = zh`",
  ):
    assert line in out
  # the, isn't, cat: English in lower case; 狗 is in train as Chinese; 猫 twice.
  unknown = next(r for r in rows(out) if r[:2] == ["test", "4"])
  assert unknown[2] == f"{5 / 11:.2%}"
  assert unknown[3:5] == ["`猫", "(2)`,"]
  text = target.read_text(encoding="utf-8")
  assert "4 wrong" in text and "一只 红狗" in text


def test_words_of_captions():
  english = ["a", "man's", "t", "shirt", "2", "dogs"]
  assert verify.words_of("A man's T-shirt, 2 dogs.", "en") == english
  assert verify.words_of("一只 狗。", "zh") == ["一", "只", "狗", "。"]


def test_the_page_stands_alone_and_shows_what_is_there(captioned, tmp_path, capsys):
  target = tmp_path / "page.html"
  verify.main(["captioned", f"--data_dir={captioned}", f"--html={target}"])
  assert f"page: {target}" in capsys.readouterr().out
  text = target.read_text(encoding="utf-8")
  checked = Checked(text)
  assert checked.open_tags == []
  assert not re.search(r"(src|href)=[\"'](?!data:)", text) and "<script" not in text
  assert "prefers-color-scheme: dark" in text
  pictures = checked.images
  assert len(pictures) == 24 + 7
  first = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR_RGB)
  expected = captions_set.pixels(*first.shape[:2], 0)
  assert np.abs(first.astype(int) - expected).mean() < 8  # not blue for red
  drawings = [ElementTree.fromstring(s) for s in re.findall(r"<svg.*?</svg>", text, re.S)]
  assert len(drawings) == 3 * 2
  shares = [t.text for d in drawings[:1] for t in d.iter("title")]
  assert sum(float(s.split()[-1].rstrip("%")) for s in shares) == pytest.approx(100, abs=1)


def test_ids_and_texts_cannot_break_the_page():
  picture = np.zeros((4, 5), np.uint8)
  shown = {"<i>": [verify.Shown('"><b>', picture, ("x < 1 & y",))]}
  measures = {"height": {"<i>": np.array([4])}}
  tables = [(("a", "b"), [("<r>", "<c>")])]
  text = verify.page("<t>", {"k": "<v>"}, ["<wrong>"], tables, measures, shown)
  assert "<b>" not in text and "x &lt; 1 &amp; y" in text and "&lt;wrong&gt;" in text
  assert Checked(text).open_tags == []


def test_a_page_that_cannot_be_written_is_said(captioned, tmp_path, capsys):
  target = tmp_path / "nowhere" / "page.html"
  assert verify.main(["captioned", f"--data_dir={captioned}", f"--html={target}"]) == 1
  assert "no page, give another --html=FILE" in capsys.readouterr().err
