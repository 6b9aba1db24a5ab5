"""CROHME in the forms of other programs, and from the competition's strokes."""

import io
import json
import lzma
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from made_crohme import WORDS, captions_of, inkml, write_source
from PIL import Image

from data_pipelines.builders.crohme import pickles, source, strokes
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_index
from data_pipelines.prepare import prepare
from mmjax.text.latex import normalise

FOLDERS = ("train", "2014", "2016")


@pytest.fixture
def made_source(tmp_path):
  return write_source(tmp_path / "source")


def pixels(data: bytes) -> np.ndarray:
  return np.array(Image.open(io.BytesIO(data)).convert("L"))


def pictures_in(directory, folder) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(directory / folder / "images.zip") as archive:
    return {n.removesuffix(".png"): pixels(archive.read(n)) for n in archive.namelist()}


def message(directory) -> str:
  with pytest.raises(SourceError) as caught:
    source.read_source(directory)
  return str(caught.value)


def to_wap(made):
  """Flat pickles, [1, H, W], of train and 2014; 2016 as a pickle of its own folder."""
  for folder, (name, text) in {
      "train": ("offline-train.pkl", "train_caption.txt"),
      "2014": ("offline-test.pkl", "test_caption.txt"),
      "2016": ("2016/images.pkl", "2016/caption.txt"),
  }.items():
    arrays = {n: p[None] for n, p in pictures_in(made, folder).items()}
    (made / name).write_bytes(pickle.dumps(arrays, protocol=2))
    shutil.move(made / folder / "captions.txt", made / text)
    (made / folder / "images.zip").unlink()
  lines = [f"{word}\t{i}" for i, word in enumerate(("<eol>", *WORDS))]
  (made / "dictionary.txt").write_text("\n".join(lines))


def to_can(made):
  """Dark on light, labels with blanks between and `.jpg`, `eos` and `sos` in the dictionary."""
  for folder, name in (("train", "train"), ("2014", "14_test"), ("2016", "16_test")):
    arrays = {f"{n}": 255 - p for n, p in pictures_in(made, folder).items()}
    (made / f"{name}_images.pkl").write_bytes(pickle.dumps(arrays))
    text = (made / folder / "captions.txt").read_text().replace("\t", ".jpg ")
    (made / f"{name}_labels.txt").write_text(text)
    shutil.rmtree(made / folder)
  (made / "dictionary.txt").unlink()
  (made / "words_dict.txt").write_text("\n".join(("eos", "sos", *WORDS)))


def to_bmp(made):
  for folder in FOLDERS:
    (made / folder / "img").mkdir()
    for name, picture in pictures_in(made, folder).items():
      Image.fromarray(picture).convert("1").save(made / folder / "img" / f"{name}.bmp")
    (made / folder / "images.zip").unlink()
    (made / folder / "captions.txt").rename(made / folder / "caption.txt")


@pytest.mark.parametrize("convert", [to_wap, to_can, to_bmp])
def test_the_same_bitmaps_in_another_form_give_the_same_records(made_source, convert):
  ours = source.read_source(made_source)
  convert(made_source)
  theirs = source.read_source(made_source)
  assert theirs.words == ours.words == WORDS
  assert set(theirs.forms.values()) == {"pictures" if convert is to_bmp else "pickle"}
  for folder in FOLDERS:
    assert [(r.id, r.text) for r in theirs.folders[folder]] == [
        (r.id, r.text) for r in ours.folders[folder]
    ]
    for a, b in zip(theirs.folders[folder], ours.folders[folder]):
      np.testing.assert_array_equal(pixels(a.image), pixels(b.image))
      assert (a.height, a.width) == (b.height, b.width)


class Evil:
  def __reduce__(self):
    return print, ("run",)


def test_a_pickle_that_would_run_something_is_refused(made_source, capsys):
  to_wap(made_source)
  (made_source / "offline-train.pkl").write_bytes(pickle.dumps({"a": Evil()}))
  assert "offline-train.pkl: cannot be read as a pickle" in message(made_source)
  assert "asks for builtins.print" in message(made_source)
  assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": "text"}, "a str, not an array"),
        ({"a": np.zeros((3, 4, 5), np.uint8)}, "not a grey picture"),
        ({"a": np.zeros((4, 5), np.float32)}, "not a grey picture"),
        ({"a": np.full((4, 5), 300)}, "values from 300 to 300"),
        ({"a": np.zeros((0, 5), np.uint8)}, "not a grey picture"),
    ],
)
def test_what_is_no_picture_in_a_pickle_is_said(value, said):
  with pytest.raises(ValueError, match=said):
    pickles.pixels_of(pickles.read_pictures(pickle.dumps(value))["a"])


CUT = pickle.dumps({"a": np.ones((9, 9), np.uint8)})[:60]


@pytest.mark.parametrize("data", [b"", b"hello", CUT])
def test_damaged_pickles_are_refused(data):
  with pytest.raises(ValueError, match="cannot be read as a pickle of pictures"):
    pickles.read_pictures(data)
  with pytest.raises(ValueError, match="pickled list, not a dictionary"):
    pickles.read_pictures(pickle.dumps([1]))


def test_pictures_that_are_pages_or_missing_are_named(made_source):
  to_bmp(made_source)
  (made_source / "2014" / "img" / "2014_1.bmp").write_text("<!DOCTYPE html><html>404</html>")
  (made_source / "2014" / "img" / "2014_2.bmp").unlink()
  found = message(made_source)
  assert "2014/img: picture does not decode (1): 2014_1 (an HTML page" in found
  assert "2014/caption.txt: caption without picture (1): 2014_2\n" in found


# --- strokes


def write_inkml(directory, count=60):
  """Formulas `x + 1`, ... as strokes; 2 of 2014 with another writer's folder between."""
  for folder, number in (("train", count), ("2014", 2), ("2016", 2)):
    for i, (name, text) in enumerate(captions_of(folder, number).items()):
      file = directory / folder / f"writer{i % 2}" / f"{name}.inkml"
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(inkml([[0, 0, 40 + i, 90], [60, 10, 60, 80]], f"$\\left({text}\\right)$"))
  return directory


def test_strokes_are_drawn_and_their_truth_becomes_the_caption(tmp_path):
  made = write_inkml(tmp_path / "source")
  builder, _ = prepare("crohme", tmp_path / "data", made, allow_partial=True)
  assert set(builder.info.metadata["forms"].values()) == {"inkml"}
  assert list(builder.info.metadata["vocabulary"]) == ["(", ")", "+", "1", "2", "x"]
  index = load_index(builder, "test_2014")
  assert index.ids == ["2014_0", "2014_1"] and index.texts == ["( x + 1 )"] * 2


def test_captions_beside_strokes_take_the_place_of_their_truth(tmp_path):
  made = write_inkml(tmp_path / "source")
  (made / "2014" / "captions.txt").write_text("2014_1\tx\n2014_0\t+\n")
  assert [r.text for r in source.read_source(made).folders["2014"]] == ["x", "+"]


def test_the_competitions_folder_names_are_found(tmp_path):
  made = write_inkml(tmp_path / "source")
  (made / "CROHME2013_data").mkdir()
  (made / "train").rename(made / "CROHME2013_data" / "TrainINKML")
  assert len(source.read_source(made).folders["train"]) == 60


def test_the_one_file_without_strokes_that_was_published_is_passed_over(tmp_path):
  made = write_inkml(tmp_path / "source")
  (made / "train" / "MfrDB3088.inkml").write_text(inkml([], "x"))
  assert len(source.read_source(made).folders["train"]) == 60
  (made / "train" / "other.inkml").write_text(inkml([], "x"))
  assert "train: file cannot be used (1): other (no strokes)" in message(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no XML"),
        ("<ink><trace>1 2</trace>", "no XML"),
        ("<html></html>", "no InkML: its root is <html>"),
        (inkml([[0, 0, 1, 1]], " $ $ "), "no annotation of type truth"),
        (inkml([[0, 0]], "x").replace("0 0", "0"), "trace 0 is no list of points"),
        (inkml([[0, 0]], "x").replace("0 0", "0 nan"), "trace 0 has a point that is not finite"),
        ('<!DOCTYPE ink [<!ENTITY a "b">]>' + inkml([[0, 0]], "x"), "declares entities"),
    ],
)
def test_damaged_inkml_is_refused(text, said):
  with pytest.raises(ValueError, match=said):
    strokes.read_inkml(text.encode())


def test_a_drawing_has_the_pen_the_margins_and_the_height_of_the_bitmaps():
  drawn = strokes.draw((np.array([[0.0, 0], [50, 100]]),))
  rows, columns = np.nonzero(drawn)
  assert set(np.unique(drawn)) == {0, 255}
  assert (rows.min(), columns.min()) == (12, 12)
  assert (drawn.shape[0] - 1 - rows.max(), drawn.shape[1] - 1 - columns.max()) == (11, 11)
  assert drawn.shape == (54, 40)  # a lone stroke is 28 pixels high
  assert (strokes.draw((np.array([[5.0, 5]]),)) > 0).sum() == 9  # a dot is the pen
  flat = strokes.draw((np.array([[0.0, 0], [7, 0]]),))
  assert flat.shape == (26, 54)


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (r"$x^2_1$", "x _ { 1 } ^ { 2 }"),
        (r"\frac12", r"\frac { 1 } { 2 }"),
        (r"\sum\limits_{i}^n \mbox{a} \lt b", r"\sum _ { i } ^ { n } a < b"),
        (r"{x_{1}}^{2}", "x _ { 1 } ^ { 2 }"),
        (r"\frac{{x_1}^2}{2}", r"\frac { x _ { 1 } ^ { 2 } } { 2 }"),
        (r"{x^2}^3", "{ x ^ { 2 } } ^ { 3 }"),
        (r"\Big( a \to b \Big)\;", r"( a \rightarrow b )"),
    ],
)
def test_truth_takes_the_form_of_the_captions(truth, words):
  assert " ".join(strokes.words_of_truth(truth)) == words


@pytest.mark.parametrize(("year", "alike", "same_text"), [("2014", 0.9, 0.97), ("2016", 0.95, 1)])
def test_real_strokes_give_the_published_bitmaps_and_captions(shared, year, alike, same_text):
  folder = shared / "data" / "crohme"
  lines = (folder / year / "captions.txt").read_text().splitlines()
  captions = dict(line.split("\t") for line in lines)
  close, texts, overlaps = [], [], []
  with lzma.open(folder / "strokes" / f"{year}.jsonl.xz", "rt") as f:
    records = [json.loads(line) for line in list(f)[::7]]
  with zipfile.ZipFile(folder / year / "images.zip") as archive:
    bitmaps = [pixels(archive.read(f"{r['id']}.png")) for r in records]
  for r, published in zip(records, bitmaps):
    ink = strokes.read_inkml(inkml(r["strokes"], r["truth"]).encode())
    caption = normalise(captions[r["id"]].split())
    texts.append(list(strokes.words_of_truth(ink.truth)) == caption)
    drawn = strokes.draw(ink.strokes)
    close.append(np.abs(np.divide(drawn.shape, published.shape) - 1).max() <= 0.02)
    if drawn.shape == published.shape:
      overlaps.append((drawn & published).sum() / (drawn | published).sum())
  assert np.mean(close) >= alike and np.mean(texts) >= same_text
  assert len(overlaps) > 30 and np.mean(overlaps) > 0.8
