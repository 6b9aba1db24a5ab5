"""What the builders of supplied formulas share: pictures, words, counts."""

import io
import zipfile

import numpy as np
import pytest
from made_crohme import png
from PIL import Image

from data_pipelines.builders import ink, supplied, texts
from data_pipelines.builders.sources import Problems, unsafe_name
from data_pipelines.datasets import SourceError


def encoded(picture: np.ndarray, kind: str, **how) -> bytes:
  out = io.BytesIO()
  Image.fromarray(picture).save(out, kind, **how)
  return out.getvalue()


def found(problems: Problems) -> str:
  with pytest.raises(SourceError) as caught:
    problems.raise_any("here")
  return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_light_paper_is_inverted_and_dark_paper_kept(kind):
  page = np.full((9, 12), 255, np.uint8)
  page[4, 2:7] = 10
  data = encoded(page, kind)
  np.testing.assert_array_equal(ink.ink(data, paper="light"), 255 - page)
  np.testing.assert_array_equal(ink.ink(data, paper="dark"), page)
  np.testing.assert_array_equal(ink.ink(data, paper="auto"), 255 - page)
  np.testing.assert_array_equal(ink.ink(encoded(255 - page, kind), paper="auto"), 255 - page)


def test_a_photograph_is_grey_and_upright():
  colours = np.zeros((8, 16, 3), np.uint8)
  colours[:, :, 1] = 200
  exif = Image.Exif()
  exif[0x0112] = 6  # turned by a quarter
  inked = ink.ink(encoded(colours, "JPEG", exif=exif), paper="light")
  assert inked.shape == (16, 8)
  assert abs(int(inked.mean()) - (255 - round(0.587 * 200))) <= 2


def test_what_is_transparent_is_paper():
  page = np.zeros((6, 9, 4), np.uint8)
  page[2:4, 3:6, 3] = 255  # black ink, nothing else
  inked = ink.ink(encoded(page, "PNG"), paper="light")
  np.testing.assert_array_equal(inked, page[:, :, 3])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html></html>", "an HTML page, not a picture: download it again"),
        (b"\n<HTML><head>", "an HTML page"),
        (b"hello there, this is text", "no PNG, BMP or JPEG"),
        (png(40, 40)[:80], "truncated or damaged"),
        (png(mode="I;16"), "more than 8 bits a channel"),
    ],
)
def test_what_is_no_picture_is_said(data, said):
  with pytest.raises(ValueError, match=said):
    ink.ink(data, paper="light")


def test_pictures_of_too_many_pixels_are_refused():
  with pytest.raises(ValueError, match="20 pixels are more than the limit of 100"):
    ink.ink(png(20, 30), paper="light", max_pixels=100)


def test_cropped_halved_and_encoded_pictures():
  page = np.zeros((40, 50), np.uint8)
  page[10:20, 5:45] = 255
  assert ink.crop(page, 3).shape == (16, 46)
  assert ink.halve(ink.crop(page, 3)).shape == (8, 23)
  with pytest.raises(ValueError, match="no ink"):
    ink.crop(np.zeros((4, 4), np.uint8), 2)
  for picture, bits in ((page, 1), (page // 2, 8)):
    data = ink.encode_png(picture)
    assert data[24] == bits
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data)).convert("L")), picture)


@pytest.mark.parametrize(
    "name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "~/a.png"]
)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
  assert unsafe_name(name) and not unsafe_name("folder/a.b..png")
  with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
    archive.writestr(name, png())
    archive.writestr("deep/b.png", png())
  problems = Problems("X", "layout")
  assert set(ink.find_pictures(tmp_path, "p.zip", problems)) == {"b"}
  assert f"p.zip: name that leads out of the archive (1): {name}" in found(problems)


def test_pictures_are_found_at_any_depth_and_once(tmp_path):
  for name in ("a/x.png", "b/y.JPG", "b/notes.txt", ".hidden.png"):
    (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "p" / name).write_bytes(png())
  problems = Problems("X", "layout")
  places = ink.find_pictures(tmp_path, "p", problems)
  assert list(places) == ["x", "y"] and places["x"].read() == png()
  (tmp_path / "p" / "b" / "x.png").write_bytes(png())
  ink.find_pictures(tmp_path, "p", problems)
  assert "p: repeated picture (1): b/x.png" in found(problems)


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_an_archive_without_pictures_is_named(tmp_path, content):
  with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
    for name in content:
      archive.writestr(name, b"x")
  problems = Problems("X", "layout")
  assert not ink.find_pictures(tmp_path, "p.zip", problems)
  assert f"p.zip: {'has no picture' if content else 'is empty'}" in found(problems)


def test_a_damaged_member_of_an_archive_is_an_error_of_its_own(tmp_path):
  with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
    archive.writestr("a.png", png())
    archive.writestr("b.png", png())
  data = bytearray((tmp_path / "p.zip").read_bytes())
  data[60] ^= 0xFF  # within a.png
  (tmp_path / "p.zip").write_bytes(data)
  places = ink.find_pictures(tmp_path, "p.zip", Problems("X", "layout"))
  with pytest.raises(ValueError, match="Bad CRC-32"):
    places["a"].read()
  assert places["b"].read() == png()


def test_lines_end_with_line_feeds_only_and_keep_blank_ones(tmp_path):
  (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\rb\r\n\r\nc\xe9\n")
  problems = Problems("X", "layout")
  assert texts.text_lines(tmp_path, "a.txt", problems, latin=True) == ["a\rb", "", "cé"]
  problems.raise_any("here")
  texts.text_lines(tmp_path, "a.txt", problems)
  assert "a.txt: is not UTF-8 text (1): line 3 (byte 1)" in found(problems)
  (tmp_path / "b.txt").write_bytes(b"a\nb\0\n")
  texts.text_lines(tmp_path, "b.txt", problems)
  assert "b.txt: has a NUL byte (1): line 2" in found(problems)


def test_words_of_a_file_then_of_train_then_of_the_others():
  words, unseen = supplied.gather_words(["b", "z"], ["c b", "a"], ["d a", "b e"])
  assert words == ["b", "z", "a", "c", "d", "e"]
  assert unseen == ["z", "d", "e"]


def test_counts_that_deviate():
  lines = supplied.count_deviations({"train": 3, "test": 5}, {"train": 1234, "test": 5, "more": 1})
  assert lines == ["train: 3 records, published 1,234", "more: 0 records, published 1"]
