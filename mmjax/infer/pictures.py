"""Pictures as users have them -> uint8 arrays as the models want them."""

import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

# Not all that Pillow reads: EPS, for one, would be run by Ghostscript.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
MAX_PIXELS = 50_000_000
FULL_SCALES = (1, 255, 65_535, 2**32 - 1)
REMEDY = "open it in a picture program and save it as PNG"

Bytes = io.BytesIO | io.BufferedReader  # open binary files
Polarity = Literal["auto", "white_on_black", "as_is"]
Source = str | Path | bytes | np.ndarray | Image.Image


class PictureError(ValueError):
  """A picture that cannot be used."""


def load_picture(
    source: Source,
    *,
    channels: int = 1,
    polarity: Polarity = "auto",
    max_pixels: int = MAX_PIXELS,
) -> UInt8[np.ndarray, "H W C"]:
  """Pixels of a picture, the right way up, 0..255; of an animation, the first frame.

  Transparent pixels become white paper (with `white_on_black`: black), or the other of the two
  where nothing could be seen otherwise.

  Args:
    source: a file, its bytes, an array [H, W] or [H, W, 1 to 4], or a PIL image.
    channels: 1 (grey) or 3 (RGB).
    polarity: `auto` turns dark ink on light paper into white on black, which expression models
      want; `white_on_black` says that the picture is so already; `as_is` is for natural pictures.
    max_pixels: a picture that says it has more is refused before it is decoded.

  Raises:
    PictureError: the picture is missing, no picture, damaged, too large, or has no pixels.
  """
  if channels not in (1, 3):
    raise ValueError(f"channels is {channels}; use 1 (grey) or 3 (RGB)")
  name = _name(source)
  try:
    if isinstance(source, np.ndarray):
      pixels = _decode(_from_array(source), channels, polarity, max_pixels)
    elif isinstance(source, Image.Image):
      pixels = _decode(source, channels, polarity, max_pixels)
    else:
      with _file(source) as file:
        pixels = _decode(_open(file), channels, polarity, max_pixels)
  except PictureError as e:
    raise PictureError(f"{name}: {e}") from e
  except Exception as e:  # Decoders raise anything on damaged files.
    raise PictureError(f"{name}: truncated or damaged ({e}); copy it again, or {REMEDY}") from e
  if polarity == "auto" and _is_dark_on_light(_grey(pixels)):
    pixels = 255 - pixels
  return pixels


def crop_to_ink(
    picture: UInt8[np.ndarray, "H W C"], margin: int = 12
) -> UInt8[np.ndarray, "h w C"]:
  """The part of a white-on-black picture with ink, and at most `margin` pixels around it.

  Ink is what is brighter than midway between the darkest and the brightest pixel; a picture
  without any comes back whole. CROHME's bitmaps have a margin of 12 pixels.
  """
  grey = _grey(picture)
  ink = grey > _midway(grey)
  if not ink.any():
    return picture
  spans = []
  for axis in (1, 0):
    where = np.flatnonzero(ink.any(axis))
    spans.append(slice(max(where[0] - margin, 0), where[-1] + margin + 1))
  return picture[tuple(spans)]


def expand_inputs(inputs: Iterable[str]) -> list[Path]:
  """Files named by `inputs`: comma-separated files or folders, whose pictures come sorted.

  A file that is missing and a folder without pictures stay in the list where there is another to
  read: loading each then says what is wrong with it.

  Raises:
    PictureError: none of `inputs` leads to a file.
  """
  inputs = list(inputs)
  paths = []
  for text in inputs:
    # A name may have a comma in it.
    parts = [text] if os.path.exists(text) else text.split(",")
    for part in (Path(p.strip()) for p in parts if p.strip()):
      paths += _pictures_in(part) or [part]
  if not any(os.path.isfile(p) for p in paths):  # pathlib raises on names that are too long
    raise PictureError(
        f"no picture in {', '.join(inputs) or 'an empty input'}; name files, or folders with "
        f"pictures ({', '.join(SUFFIXES)})"
    )
  return paths


def _pictures_in(folder: Path) -> list[Path]:
  if not os.path.isdir(folder):
    return []
  return sorted(
      p
      for p in folder.iterdir()
      if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
  )


def _name(source: Source) -> str:
  if isinstance(source, str | Path):
    return str(source)
  return f"picture given as {type(source).__name__}"


def _file(source: str | Path | bytes) -> Bytes:
  if isinstance(source, bytes):
    return io.BytesIO(source)
  try:
    return Path(source).open("rb")
  except FileNotFoundError as e:
    raise PictureError("no such file; check the path") from e
  except IsADirectoryError as e:
    raise PictureError(f"a folder; name a picture in it ({', '.join(SUFFIXES)})") from e
  except OSError as e:
    raise PictureError(f"cannot be opened ({e.strerror}); check its name and permissions") from e


def _open(file: Bytes) -> Image.Image:
  """The picture's header; its pixels are not decoded yet."""
  head = file.read(512)
  file.seek(0)
  if not head:
    raise PictureError("the file is empty; copy it again")
  try:
    with warnings.catch_warnings():  # Our own limit replaces Pillow's warning.
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)
      return Image.open(file, formats=FORMATS)
  except Image.DecompressionBombError as e:
    raise PictureError(f"refused as a decompression bomb ({e}); scale it down") from e
  except UnidentifiedImageError as e:
    if _is_text(head):
      raise PictureError("a text file, not a picture; name a picture") from e
    raise PictureError(f"not a picture of a known kind ({', '.join(FORMATS)}); {REMEDY}") from e


def _is_text(head: bytes) -> bool:
  text = head.decode("utf-8", errors="ignore")  # The last character may be cut.
  return len(text.encode()) > len(head) - 4 and all(c.isprintable() or c.isspace() for c in text)


def _from_array(array: np.ndarray) -> Image.Image:
  if array.ndim == 3 and array.shape[2] == 1:
    array = array[:, :, 0]
  if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (2, 3, 4)):
    raise PictureError(f"shape {array.shape} is no picture; give [H, W] or [H, W, 1 to 4]")
  if not array.size:
    raise PictureError(f"no pixels: shape {array.shape}")
  if array.dtype.kind not in "buif":
    raise PictureError(f"dtype {array.dtype} is no picture; give uint8")
  if array.dtype == np.uint16:
    array = _from_16_bit(array)
  elif array.dtype != np.uint8:
    array = _scaled(array)
  return Image.fromarray(array)


def _decode(
    image: Image.Image, channels: int, polarity: Polarity, max_pixels: int
) -> UInt8[np.ndarray, "H W C"]:
  width, height = image.size
  if not width * height:
    raise PictureError(f"no pixels: {width} x {height}; {REMEDY}")
  if width * height > max_pixels:
    raise PictureError(
        f"{width} x {height} is {width * height:,} pixels, more than the limit of {max_pixels:,}; "
        "scale it down"
    )
  image = ImageOps.exif_transpose(image)
  if image.mode.startswith("I;16"):
    image = Image.fromarray(_from_16_bit(np.asarray(image)))
  elif image.mode in ("I", "F"):
    image = Image.fromarray(_scaled(np.asarray(image)))
  elif image.has_transparency_data:
    image = _on_paper(image.convert("RGBA"), dark=polarity == "white_on_black")
  mode = "L" if channels == 1 else "RGB"
  pixels = np.array(image if image.mode == mode else image.convert(mode))
  return pixels[:, :, None] if channels == 1 else pixels


def _from_16_bit(values: np.ndarray) -> UInt8[np.ndarray, "..."]:
  return (values // 257).astype(np.uint8)


def _scaled(values: np.ndarray) -> UInt8[np.ndarray, "..."]:
  """Values of an unknown range to 0..255, by the smallest usual full scale that holds them."""
  values = np.nan_to_num(values.astype(np.float64)).clip(0, FULL_SCALES[-1])
  full = next(f for f in FULL_SCALES if values.max() <= f)
  return np.rint(values * (255 / full)).astype(np.uint8)


def _on_paper(image: Image.Image, dark: bool) -> Image.Image:
  """Lays a transparent picture on white paper; on black if `dark`, or if white shows nothing."""
  first, second = (
      Image.alpha_composite(Image.new("RGBA", image.size, paper), image).convert("RGB")
      for paper in (("black", "white") if dark else ("white", "black"))
  )
  return second if _is_blank(first) and not _is_blank(second) else first


def _is_blank(image: Image.Image) -> bool:
  pixels = np.asarray(image)
  return bool((pixels == pixels[0, 0]).all())


def _grey(picture: UInt8[np.ndarray, "H W C"]) -> np.ndarray:
  return picture[:, :, 0] if picture.shape[2] == 1 else picture.astype(np.float32).mean(2)


def _midway(grey: np.ndarray) -> float:
  return (float(grey.min()) + float(grey.max())) / 2


def _is_dark_on_light(grey: np.ndarray) -> bool:
  """Paper is what most pixels are; where ink is nearly as much, what most of the border is."""
  if grey.min() == grey.max():
    return bool(grey[0, 0] > 127)
  light = grey > _midway(grey)
  share = light.mean()
  if 0.35 < share < 0.65:
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    share = border.mean()
  return bool(share > 0.5)
