import struct
import tracemalloc
import zipfile

import pytest
from made_captions import picture, write_folder, write_zip

from data_pipelines.builders.files import list_files, pictures_in, read_json, read_stored
from data_pipelines.builders.parts import ItemError
from data_pipelines.builders.sources import Problems

FILES = {"b/two.jpg": picture(seed=2), "a.png": picture(kind="PNG"), "notes.txt": b"hello" * 99}


@pytest.fixture
def problems():
  return Problems("It", "Layout.")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_zipfile_reads_them(tmp_path, problems, method):
  write_zip(tmp_path / "x.zip", FILES, method)
  files = list_files(tmp_path, "x.zip", problems)
  assert list(files) == sorted(FILES)
  assert {n: read_stored(s) for n, s in files.items()} == FILES
  assert not problems.lines()
  with zipfile.ZipFile(tmp_path / "x.zip") as archive:
    assert all(archive.read(n) == read_stored(files[n]) for n in FILES)


def test_an_archive_behind_other_bytes_and_with_extra_fields_is_read(tmp_path, problems):
  with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
    info = zipfile.ZipInfo("a.jpg")
    info.extra = struct.pack("<HHI", 0x9999, 4, 7)
    archive.writestr(info, b"first")
    with archive.open("large.jpg", "w", force_zip64=True) as f:
      f.write(b"second")
  whole = (tmp_path / "x.zip").read_bytes()
  (tmp_path / "x.zip").write_bytes(b"#!/bin/sh\n" + whole)
  files = list_files(tmp_path, "x.zip", problems)
  assert [read_stored(s) for s in files.values()] == [b"first", b"second"]


def test_folders_are_listed_without_hidden_files(tmp_path, problems):
  for folder in ("", "b", ".cache"):
    write_folder(tmp_path / "x" / folder, {"p.jpg": folder.encode(), ".hidden.jpg": b""})
  files = list_files(tmp_path, "x", problems)
  assert {n: read_stored(s) for n, s in files.items()} == {"p.jpg": b"", "b/p.jpg": b"b"}
  assert files["b/p.jpg"].place == "b"
  pictures_in({"x": files}, problems)
  assert problems.lines() == ["x: picture that is in b, too (1): p.jpg"]


OUTSIDE = ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "C:/a.jpg", "a\\b.jpg"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, problems, name):
  write_zip(tmp_path / "x.zip", {name: b"x", "good.jpg": b"y"})
  assert list(list_files(tmp_path, "x.zip", problems)) == ["good.jpg"]
  assert problems.lines() == [f"x.zip: name that leads out of the archive (1): {name!r}"]


def test_members_that_cannot_be_read_are_named(tmp_path, problems):
  write_zip(tmp_path / "x.zip", {"packed.jpg": b"x" * 99}, zipfile.ZIP_BZIP2)
  with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
    archive.writestr("twice.jpg", b"1")
    with pytest.warns(UserWarning, match="Duplicate name"):
      archive.writestr("twice.jpg", b"2")
    archive.writestr("secret.jpg", b"3")
    archive.getinfo("secret.jpg").flag_bits |= 1  # goes into the archive's directory
  assert list(list_files(tmp_path, "x.zip", problems)) == ["twice.jpg"]
  assert problems.lines() == [
      "x.zip: packed in a way that is not read (store or deflate it) (1): packed.jpg",
      "x.zip: two files of one name (1): twice.jpg",
      "x.zip: encrypted file (1): secret.jpg",
  ]


def test_an_archive_cut_short_and_a_web_page_are_named(tmp_path, problems):
  write_zip(tmp_path / "x.zip", FILES)
  (tmp_path / "x.zip").write_bytes((tmp_path / "x.zip").read_bytes()[:-50])
  (tmp_path / "y.zip").write_bytes(b"<html>")
  for name in ("x.zip", "y.zip", "z.zip"):
    assert list_files(tmp_path, name, problems) == {}
  cut, page, missing = problems.lines()
  assert cut.startswith("x.zip: cannot be opened as a zip archive")
  assert page.startswith("y.zip: cannot be opened as a zip archive")
  assert missing == "z.zip: is missing"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("at", ["header", "data"])
def test_damage_inside_an_archive_is_found_when_the_file_is_read(tmp_path, problems, method, at):
  write_zip(tmp_path / "x.zip", FILES, method)
  with zipfile.ZipFile(tmp_path / "x.zip") as archive:
    start = archive.getinfo("notes.txt").header_offset
  data = bytearray((tmp_path / "x.zip").read_bytes())
  data[start + (0 if at == "header" else 42)] ^= 0xFF
  (tmp_path / "x.zip").write_bytes(data)
  files = list_files(tmp_path, "x.zip", problems)
  assert read_stored(files["a.png"]) == FILES["a.png"]
  with pytest.raises(ItemError, match="the archive is damaged there"):
    read_stored(files["notes.txt"])


def test_no_more_is_unpacked_than_the_directory_promises(tmp_path, problems):
  write_zip(tmp_path / "x.zip", {"a.jpg": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
  data = bytearray((tmp_path / "x.zip").read_bytes())
  entry = data.rindex(b"PK\x01\x02")
  data[entry + 24 : entry + 28] = struct.pack("<I", 10)  # the size that the directory tells
  (tmp_path / "x.zip").write_bytes(data)
  stored = list_files(tmp_path, "x.zip", problems)["a.jpg"]
  tracemalloc.start()
  with pytest.raises(ItemError, match="wrong size"):
    read_stored(stored)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 5_000_000


def test_a_file_that_went_is_said(tmp_path, problems):
  write_folder(tmp_path / "x", {"a.jpg": b"x"})
  stored = list_files(tmp_path, "x", problems)["a.jpg"]
  (tmp_path / "x" / "a.jpg").unlink()
  with pytest.raises(ItemError, match="cannot be read: No such file"):
    read_stored(stored)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": [1, 2', r"cut short \(Expecting ',' delimiter, line 1 column 12\)"),
        (b'{"a": "\xff"}', r"is not UTF-8 text \(byte 7\)"),
        (b"[" * 100_000, "nested too deep"),
        (b"", "is not JSON"),
    ],
)
def test_json_that_is_damaged_is_said_with_its_place(data, said):
  with pytest.raises(ValueError, match=said):
    read_json(data)


def test_json_may_begin_with_a_byte_order_mark():
  assert read_json('\ufeff{"a": "狗"}'.encode()) == {"a": "狗"}
