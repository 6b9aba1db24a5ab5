import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_pipelines.builders.hme100k import source
from data_pipelines.builders.supplied import is_validation
from data_pipelines.builders.synthetic import drawing
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_index
from data_pipelines.prepare import prepare


def labels_of(split: str, count: int) -> dict[str, str]:
  """Labels of formulas that the drawer knows; two pictures of each."""
  texts = [rf"\frac {{ {n} }} {{ x }} + {n}" for n in range(count // 2)]
  return {f"{split}_{i}": texts[i // 2] for i in range(count)}


def photograph(text: str, seed: int) -> bytes:
  """A coloured JPEG of dark ink on grey, unevenly lit paper."""
  drawn = drawing.draw(text.split(), np.random.default_rng(seed), 64, 400)
  light = np.linspace(200, 240, drawn.shape[1])
  page = (light * (1 - drawn / 300))[:, :, None] * (1, 0.95, 0.9)
  out = io.BytesIO()
  Image.fromarray(page.astype(np.uint8)).save(out, "JPEG", quality=90)
  return out.getvalue()


def write_source(directory, train=60, test=10):
  directory.mkdir()
  for split, count in (("train", train), ("test", test)):
    labels = labels_of(split=split, count=count)
    text = "".join(f"{name}.jpg\t{label}\n" for name, label in labels.items())
    (directory / f"{split}_labels.txt").write_text(text)
    (directory / f"{split}_images").mkdir()
    for seed, (name, label) in enumerate(labels.items()):
      picture = directory / f"{split}_images" / f"{name}.jpg"
      picture.write_bytes(photograph(label, seed))
  return directory


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
  """A source that no test changes."""
  return write_source(tmp_path_factory.mktemp("hme") / "source")


@pytest.fixture
def made(tmp_path):
  return write_source(tmp_path / "source", train=12, test=4)


def message(directory) -> str:
  with pytest.raises(SourceError) as caught:
    source.read_source(directory)
  return str(caught.value)


def test_validation_is_held_out_by_formula_and_test_is_whole(sound, tmp_path):
  builder, _ = prepare("hme100k", tmp_path / "data", sound, allow_partial=True)
  train, validation = load_index(builder, "train"), load_index(builder, "validation")
  assert len(train.ids) + len(validation.ids) == 60
  assert validation.texts and all(map(is_validation, validation.texts))
  assert not set(train.texts) & set(validation.texts)
  assert load_index(builder, "test").ids == [f"test_{n}" for n in range(10)]
  deviations = list(builder.info.metadata["deviations"])
  assert deviations == [
      "train: 60 records, published 74,502", "test: 10 records, published 24,607"
  ]


def test_photographs_become_inverted_grey(sound):
  formula = source.read_source(sound).splits["train"][3]
  record = source.make(formula)
  photo = np.asarray(Image.open(io.BytesIO(formula.place.read())).convert("L"))
  stored = np.asarray(Image.open(io.BytesIO(record["image"])))
  np.testing.assert_array_equal(stored, 255 - photo)
  assert (record["height"], record["width"]) == photo.shape
  assert stored.max() > 180 > 100 > np.median(stored)  # bright ink on a dark ground


def packed(directory):
  for split in ("train", "test"):
    with zipfile.ZipFile(directory / f"{split}.zip", "w") as archive:
      labels = directory / f"{split}_labels.txt"
      archive.write(labels, f"{split}/{labels.name}")
      labels.unlink()
      for picture in (directory / f"{split}_images").iterdir():
        archive.write(picture, f"{split}/{split}_images/{picture.name}")
        picture.unlink()
      (directory / f"{split}_images").rmdir()


def nested(directory):
  for split in ("train", "test"):
    (directory / split).mkdir()
    for name in (f"{split}_images", f"{split}_labels.txt"):
      (directory / name).rename(directory / split / name)


def gzipped(directory):
  for split in ("train", "test"):
    file = directory / f"{split}_labels.txt"
    (directory / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()


@pytest.mark.parametrize("change", [packed, nested, gzipped])
def test_other_layouts_give_the_same_records(made, change):
  before = source.read_source(made).splits
  change(made)
  after = source.read_source(made).splits
  made_of = lambda splits: {s: [(f.id, f.text) for f in fs] for s, fs in splits.items()}
  assert made_of(after) == made_of(before)
  assert source.make(after["test"][1])["id"] == "test_1"


def test_the_dictionary_gives_the_first_words(made, tmp_path):
  (made / "dictionary.txt").write_text("x\n?\n")
  write_more = "".join(f"more_{n}.jpg\ty + {n}\n" for n in range(60))
  with (made / "train_labels.txt").open("a") as f:
    f.write(write_more)
  for n in range(60):
    (made / "train_images" / f"more_{n}.jpg").write_bytes(photograph("y", n))
  builder, _ = prepare("hme100k", tmp_path / "data", made, allow_partial=True)
  assert list(builder.info.metadata["vocabulary"])[:3] == ["x", "?", "+"]
  assert "?" in builder.info.metadata["unseen_words"]


def test_labels_without_photograph_and_the_reverse_are_deviations(made, tmp_path):
  (made / "test_images" / "test_1.jpg").unlink()
  (made / "test_images" / "more.jpg").write_bytes(photograph("x", 0))
  deviations = source.read_source(made).deviations
  assert "test: 1 labels without photograph: test_1" in deviations
  assert "test: 1 photographs without label: more" in deviations
  with pytest.raises(SourceError, match=r"is not what was published:(.|\n)*without photograph"):
    prepare("hme100k", tmp_path / "data", made)


BAD_LINES = {
    b"train_0.jpg x": 'not "<image>.jpg<TAB>word word ..." (1): line 13',
    b"train_99.jpg\t": 'not "<image>.jpg<TAB>word word ..." (1): line 13',
    b"train_0.jpg\tx": "repeated id (1): train_0 (line 13)",
    b"a.jpg\tx\0": "has a NUL byte (1): line 13",
    b"a.jpg\t\xff": "is not UTF-8 text (1): line 13 (byte 6)",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_damaged_labels_are_named_by_line(made, line):
  with (made / "train_labels.txt").open("ab") as f:
    f.write(line + b"\n")
  assert f"train_labels.txt: {BAD_LINES[line]}" in message(made)


def test_what_is_missing_or_cut_is_named(made, tmp_path):
  (made / "test_labels.txt").unlink()
  assert "test_labels.txt: is missing" in message(made)
  (tmp_path / "empty").mkdir()
  found = message(tmp_path / "empty")
  for name in ("train_labels.txt", "test_labels.txt", "train_images", "test_images"):
    assert f"{name}: is missing" in found
  assert "register at" in found


def test_a_cut_archive_is_named_once(made):
  packed(made)
  (made / "train.zip").write_bytes((made / "train.zip").read_bytes()[:-300])
  assert message(made).count("train.zip: cannot be opened as a zip archive") == 1


def test_a_photograph_that_is_none_fails_unless_it_may_be_left_out(sound, tmp_path, monkeypatch):
  broken = write_source(tmp_path / "source", train=60, test=4)
  (broken / "test_images" / "test_2.jpg").write_text("<html></html>")
  monkeypatch.setattr(source, "PUBLISHED", {"train": 60, "test": 4})
  with pytest.raises(SourceError, match="test: test_2: an HTML page"):
    prepare("hme100k", tmp_path / "data", broken)
  assert not list((tmp_path / "data").iterdir())
  builder, _ = prepare("hme100k", tmp_path / "data", broken, allow_partial=True)
  assert load_index(builder, "test").ids == ["test_0", "test_1", "test_3"]


def test_real_labels_with_drawn_pictures(shared, tmp_path):
  """The real labels are read as published; those that the drawer knows become records."""
  folder = shared / "data" / "hme100k"
  lines = gzip.decompress((folder / "test_labels.txt.gz").read_bytes()).decode().splitlines()
  real = dict(line.split("\t") for line in lines)
  held = [item for item in list(real.items())[:300] if is_validation(item[1])]
  made = tmp_path / "source"
  for split in ("train", "test"):
    (made / f"{split}_images").mkdir(parents=True)
    text = "\n".join(line.replace("test_", f"{split}_") for line in lines)
    (made / f"{split}_labels.txt").write_text(text)
    for i, (name, label) in enumerate([*list(real.items())[:20], *held[:5]]):
      try:
        drawn = photograph(label, i)
      except ValueError:
        continue  # not a formula that the drawer can lay out
      picture = made / f"{split}_images" / name.replace("test_", f"{split}_")
      picture.write_bytes(drawn)
  (made / "dictionary.txt").write_bytes((folder / "dictionary.txt").read_bytes())
  read = source.read_source(made)
  assert "train: 24,607 records, published 74,502" in read.deviations
  assert not any("test: 24" in d and "published" in d for d in read.deviations)
  assert len(read.words) == 245 and len(read.splits["test"]) > 15
  builder, _ = prepare("hme100k", tmp_path / "data", made, allow_partial=True)
  index = load_index(builder, "test")
  assert [real[f"{i}.jpg"] for i in index.ids] == index.texts
  assert list(builder.info.metadata["vocabulary"]) == read.words
  assert load_index(builder, "validation").ids
