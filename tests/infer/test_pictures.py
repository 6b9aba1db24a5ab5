import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmjax.infer.pictures import PictureError, crop_to_ink, expand_inputs, load_picture

SIZE = (40, 24)  # width, height
BOX = (10, 6, 19, 9)  # the ink: left, top, right, bottom, inclusive
INK = np.zeros((24, 40), bool)
INK[6:10, 10:20] = True


def drawn(mode, paper, ink):
  image = Image.new(mode, SIZE, paper)
  ImageDraw.Draw(image).rectangle(BOX, fill=ink)
  return image


def encoded(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def assert_white_ink(picture, channels=1, tolerance=0):
  assert picture.dtype == np.uint8 and picture.shape == (24, 40, channels)
  want = np.repeat(INK[:, :, None] * 255, channels, 2)
  assert np.abs(picture.astype(int) - want).max() <= tolerance


def dark_on_light():
  """Name -> (encoded picture, tolerance)."""
  palette = drawn("L", 255, 0).convert("P")
  indexed = Image.new("P", SIZE, 0)
  indexed.putpalette([0, 0, 0, 0, 0, 0])
  ImageDraw.Draw(indexed).rectangle(BOX, fill=1)
  frames = dict(save_all=True, append_images=[Image.new("L", SIZE, 255)] * 2)
  wide = Image.fromarray(np.where(INK, 0, 65535).astype(np.uint16))
  return {
      "grey": (encoded(drawn("L", 255, 0), "PNG"), 0),
      "rgb": (encoded(drawn("RGB", "white", "black"), "PNG"), 0),
      "bmp": (encoded(drawn("RGB", "white", "black"), "BMP"), 0),
      "webp": (encoded(drawn("RGB", "white", "black"), "WEBP", lossless=True), 0),
      "jpeg": (encoded(drawn("L", 255, 0), "JPEG", quality=95), 20),
      "cmyk": (encoded(drawn("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), "JPEG", quality=95), 20),
      "cmyk_tiff": (encoded(drawn("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), "TIFF"), 0),
      "palette": (encoded(palette, "PNG"), 0),
      "palette_alpha": (encoded(indexed, "PNG", transparency=0), 0),
      "rgba": (encoded(drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "PNG"), 0),
      "grey_alpha": (encoded(drawn("LA", (0, 0), (0, 255)), "PNG"), 0),
      "white_ink_on_nothing": (encoded(drawn("RGBA", (255,) * 3 + (0,), "white"), "PNG"), 0),
      "16_bit": (encoded(wide, "PNG"), 0),
      "16_bit_tiff": (encoded(wide, "TIFF"), 0),
      "float_tiff": (encoded(Image.fromarray(np.where(INK, 0, 1).astype(np.float32)), "TIFF"), 0),
      "1_bit": (encoded(drawn("1", 1, 0), "PNG"), 0),
      "1_bit_pbm": (encoded(drawn("1", 1, 0), "PPM"), 0),
      "animated": (encoded(drawn("L", 255, 0), "GIF", **frames), 0),
  }


@pytest.mark.parametrize("name", dark_on_light())
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_becomes_white_on_black(tmp_path, name, channels):
  data, tolerance = dark_on_light()[name]
  path = tmp_path / f"{name}.png"  # the suffix does not matter
  path.write_bytes(data)
  assert_white_ink(load_picture(path, channels=channels), channels, tolerance)
  assert_white_ink(load_picture(data, channels=channels), channels, tolerance)


def test_arrays_and_pil_images():
  for array in (
      INK,
      INK.astype(np.float32),
      INK * np.uint8(255),
      INK.astype(np.uint16) * 65535,
      INK.astype(int) * 255,
      (INK * np.uint8(255))[:, :, None],
      np.repeat((INK * np.uint8(255))[:, :, None], 3, 2),
      np.repeat(INK.astype(np.uint16)[:, :, None] * 65535, 3, 2),
      np.stack([np.zeros_like(INK), INK], 2) * np.uint8(255),  # black ink on nothing
  ):
    assert_white_ink(load_picture(array))
  assert_white_ink(load_picture(drawn("RGB", "white", "black")))
  for bad, message in (
      (np.zeros((2, 3, 5), np.uint8), r"array|ndarray: shape \(2, 3, 5\) is no picture"),
      (np.zeros((0, 3), np.uint8), "no pixels"),
      (np.full((2, 2), "x"), "give uint8"),
  ):
    with pytest.raises(PictureError, match=message):
      load_picture(bad)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
  """A camera that was turned says so in the file; Pillow's numbers of the inverse turns."""
  turns = {
      2: Image.Transpose.FLIP_LEFT_RIGHT,
      3: Image.Transpose.ROTATE_180,
      4: Image.Transpose.FLIP_TOP_BOTTOM,
      5: Image.Transpose.TRANSPOSE,
      6: Image.Transpose.ROTATE_90,
      7: Image.Transpose.TRANSVERSE,
      8: Image.Transpose.ROTATE_270,
  }
  image = drawn("L", 255, 0)
  exif = Image.Exif()
  exif[0x0112] = orientation
  if orientation in turns:
    image = image.transpose(turns[orientation])
  for kind in ("PNG", "JPEG"):
    assert_white_ink(load_picture(encoded(image, kind, exif=exif)), tolerance=30)


def test_polarity():
  white_on_black, black_on_white = drawn("L", 0, 255), drawn("L", 255, 0)
  assert_white_ink(load_picture(white_on_black))
  assert_white_ink(load_picture(white_on_black, polarity="white_on_black"))
  for polarity in ("white_on_black", "as_is"):
    np.testing.assert_array_equal(
        load_picture(black_on_white, polarity=polarity)[:, :, 0], np.where(INK, 0, 255)
    )
  # Nothing is black where white ink is promised, and white for a natural picture.
  transparent = drawn("RGBA", (0, 0, 0, 0), "grey")
  assert load_picture(transparent, polarity="white_on_black")[0, 0, 0] == 0
  assert load_picture(transparent, polarity="as_is")[0, 0, 0] == 255
  red = Image.new("RGBA", (3, 2), "red")
  assert (load_picture(red, polarity="as_is", channels=3) == (255, 0, 0)).all()


def test_paper_is_found_under_frames_and_thick_ink():
  desk = np.full((60, 80), 30, np.uint8)  # a sheet on a dark desk
  desk[5:-5, 5:-5] = 220
  desk[20:24, 20:50] = 10
  assert load_picture(desk)[22, 30, 0] > 200 and load_picture(desk)[10, 10, 0] < 50
  thick = np.zeros((20, 20), np.uint8)  # half of the picture is ink
  thick[2:-2, 2:-4] = 255
  np.testing.assert_array_equal(load_picture(thick)[:, :, 0], thick)
  np.testing.assert_array_equal(load_picture(255 - thick)[:, :, 0], thick)


@pytest.mark.parametrize("paper", [0, 255])
def test_blank_pictures_are_black(paper):
  assert not load_picture(Image.new("L", (9, 7), paper)).any()
  assert not load_picture(Image.new("RGBA", (9, 7), (paper, paper, paper, 0))).any()


@pytest.mark.parametrize("size", [(1, 1), (20_000, 20), (20, 20_000)])
def test_extreme_sizes(size):
  assert load_picture(encoded(Image.new("L", size, 255), "PNG")).shape == (size[1], size[0], 1)


def png_that_claims(width, height):
  """A PNG of this size by its header, with 1,000 bytes of pixels."""

  def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

  header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
  pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("width", [8_000, 10_000, 60_000])  # below, in, above Pillow's own limits
def test_decompression_bomb_is_refused_before_decoding(tmp_path, width):
  path = tmp_path / "bomb.png"
  path.write_bytes(png_that_claims(width, 10_000))
  # The file has 1,000 pixels only: decoding would have called it truncated.
  with pytest.raises(PictureError, match=r"bomb\.png: .*(limit|bomb).*scale it down"):
    load_picture(path)


def test_max_pixels():
  data = encoded(Image.new("L", (30, 20)), "PNG")
  assert load_picture(data, max_pixels=600).shape == (20, 30, 1)
  with pytest.raises(PictureError, match=r"bytes: 30 x 20 is 600 pixels.*limit of 599"):
    load_picture(data, max_pixels=599)


def test_truncated(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
  path = tmp_path / "cut.png"
  for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
    whole = encoded(Image.fromarray(noise), kind)
    for size in (20, 40, len(whole) // 2):
      path.write_bytes(whole[:size])
      with pytest.raises(PictureError, match=r"cut\.png: .*PNG"):
        load_picture(path)


def test_not_pictures(tmp_path):
  for name, data, message in (
      ("text.png", "x = ½ and more\n".encode() * 60, "a text file, not a picture"),
      ("empty.png", b"", "the file is empty"),
      ("random.png", bytes(range(256)), "not a picture of a known kind"),
      ("zero.png", png_that_claims(0, 5), "no pixels: 0 x 5|not a picture"),
  ):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=f"{name}: ({message})"):
      load_picture(tmp_path / name)
  with pytest.raises(PictureError, match=r"none\.png: no such file"):
    load_picture(str(tmp_path / "none.png"))
  with pytest.raises(PictureError, match="a folder; name a picture in it"):
    load_picture(tmp_path)
  with pytest.raises(PictureError, match="cannot be opened"):
    load_picture("a" * 5000)
  with pytest.raises(ValueError, match="channels is 2"):
    load_picture(INK, channels=2)


def test_crop_to_ink():
  picture = (INK * np.uint8(255))[:, :, None]
  np.testing.assert_array_equal(crop_to_ink(picture, margin=0), np.full((4, 10, 1), 255))
  assert crop_to_ink(picture, margin=3).shape == (10, 16, 1)
  np.testing.assert_array_equal(crop_to_ink(picture, margin=3)[3:-3, 3:-3], 255)
  np.testing.assert_array_equal(crop_to_ink(picture), picture[:22, :32])  # not past the edges
  blank = np.zeros((5, 6, 1), np.uint8)
  assert crop_to_ink(blank) is blank
  assert crop_to_ink(np.repeat(picture, 3, 2), margin=0).shape == (4, 10, 3)
  faint = np.where(INK, 200, 55).astype(np.uint8)[:, :, None]  # grey paper, turned
  assert crop_to_ink(faint, margin=0).shape == (4, 10, 1)


def test_expand_inputs(tmp_path):
  folder = tmp_path / "folder"
  folder.mkdir()
  for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png"):
    (folder / name).touch()
  (folder / "sub.png").mkdir()
  comma, single = tmp_path / "x,y.png", tmp_path / "c.png"
  comma.touch()
  single.touch()
  inside = [folder / "a.jpg", folder / "b.PNG"]
  assert expand_inputs([str(folder)]) == inside
  assert expand_inputs([f"{single}, {folder},"]) == [single, *inside]
  assert expand_inputs([str(comma), str(single)]) == [comma, single]
  # What cannot be read stays, to be complained of where the others are answered.
  empty, missing = tmp_path / "empty", tmp_path / "missing.png"
  empty.mkdir()
  assert expand_inputs([f"{missing},{single},{empty}"]) == [missing, single, empty]
  many = ",".join([str(single)] * 500)  # longer than a path may be
  assert expand_inputs([many]) == [single] * 500
  for nothing in ([], [""], [str(empty)], [str(missing)], ["a" * 5000]):
    with pytest.raises(PictureError, match="no picture in"):
      expand_inputs(nothing)
