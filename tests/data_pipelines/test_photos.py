import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from made_captions import HTML, picture, turned
from PIL import Image

from data_pipelines.builders.photos import colour_picture_size, is_turned

SOUND = {
    "colour": picture(),
    "grey JPEG": picture(mode="L"),
    "CMYK JPEG": picture(mode="CMYK"),
    "PNG": picture(kind="PNG"),
    "grey PNG": picture(kind="PNG", mode="L"),
    "palette": picture(kind="PNG", mode="P"),
    "black and white": picture(kind="PNG", mode="1"),
    **{f"EXIF {i}": turned(i) for i in (1, 3, 6, 8)},
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_sizes_are_those_of_the_pixels(data):
  flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
  pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  assert pixels.shape == (*colour_picture_size(data), 3)


def test_a_noted_orientation_is_found():
  found = {name for name, data in SOUND.items() if is_turned(data)}
  assert found == {"EXIF 3", "EXIF 6", "EXIF 8"}


def test_cmyk_decodes_to_the_colours_it_shows():
  """So that it may be stored as it came."""
  flat = np.full((16, 16, 3), (200, 60, 30), np.uint8)
  out = io.BytesIO()
  Image.fromarray(flat).convert("CMYK").save(out, "JPEG", quality=95)
  pixels = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
  assert np.abs(pixels.astype(int) - flat).max() <= 6


def deep() -> bytes:
  out = io.BytesIO()
  Image.fromarray(np.zeros((9, 9), np.uint16)).save(out, "PNG")
  return out.getvalue()


def palette_with_a_hole() -> bytes:
  out = io.BytesIO()
  Image.open(io.BytesIO(picture())).convert("P").save(out, "PNG", transparency=0)
  return out.getvalue()


def huge() -> bytes:
  """A PNG whose header says 60,000 x 60,000 pixels."""
  data = picture(kind="PNG")
  header = data[12:16] + struct.pack(">II", 60_000, 60_000) + data[24:29]
  return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


UNUSABLE = {
    "empty": (b"", "is empty"),
    "web page": (HTML, "is a web page"),
    "text": (b"Not found", "not a JPEG or PNG"),
    "GIF": (picture(kind="GIF"), "not a JPEG or PNG"),
    "JPEG cut short": (picture(99, 99)[:2000], "truncated"),
    "PNG cut short": (picture(99, 99, kind="PNG")[:2000], "truncated"),
    "transparent": (picture(kind="PNG", mode="RGBA"), "must be opaque, .* mode is RGBA"),
    "palette with a hole": (palette_with_a_hole(), "must be opaque, .* mode is P"),
    "16 bits": (deep(), "must be opaque, 8 bits"),
    "huge": (huge(), "too many pixels"),
}


@pytest.mark.parametrize(("data", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_not_a_sound_picture_is_refused(data, said):
  with pytest.raises(ValueError, match=said):
    colour_picture_size(data)
