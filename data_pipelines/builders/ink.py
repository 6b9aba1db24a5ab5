"""Pictures of formulas as they come -> what is stored: one channel, ink bright on a dark ground.

The models' canvases are padded with 0, so the paper must be dark where a model meets its end.
"""

import dataclasses
import functools
import io
import os
import pathlib
import warnings
import zipfile
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines.builders.sources import (
    UNREADABLE,
    Problems,
    is_clutter,
    open_archive,
    unsafe_name,
)

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg")
FORMATS = ("PNG", "BMP", "JPEG")
MAX_PIXELS = 20_000_000

Paper = Literal["light", "dark", "auto"]


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a picture lies: a file, or a member of a zip archive."""

  file: str
  member: str = ""

  def read(self) -> bytes:
    """The encoded picture.

    Raises:
      ValueError: it cannot be read; says why.
    """
    try:
      if self.member:
        # A forked process would share the position in a file that its parent opened.
        return _archive(self.file, os.getpid()).read(self.member)
      return pathlib.Path(self.file).read_bytes()
    except UNREADABLE as error:
      raise ValueError(str(error) or type(error).__name__) from error


@functools.lru_cache(maxsize=4)
def _archive(file: str, process: int) -> zipfile.ZipFile:
  return zipfile.ZipFile(file)


def find_pictures(directory: pathlib.Path, name: str, problems: Problems) -> dict[str, Place]:
  """Where the pictures of an archive or a folder lie, by their names without ending.

  Folders inside do not matter. Said to `problems`: an archive that cannot be opened, two pictures
  of one name, names that lead out of the archive.

  Args:
    directory: the manual directory.
    name: of a zip archive or a folder in it.
    problems: where it is said.
  """
  if (directory / name).is_dir():
    files = sorted(p for p in (directory / name).rglob("*") if p.is_file())
    found = [(str(p.relative_to(directory / name)), Place(str(p))) for p in files]
    if not files:
      problems.add(name, "is empty")
  else:
    with open_archive(directory, name, problems) as archive:
      members = [] if archive is None else [m for m in archive.infolist() if not is_clutter(m)]
      found = [(m.filename, Place(str(directory / name), m.filename)) for m in members]
      if archive is not None and not members:
        problems.add(name, "is empty")
  places: dict[str, Place] = {}
  for file, place in found:
    base, ending = os.path.splitext(file.rsplit("/", 1)[-1])
    if unsafe_name(file):
      problems.add(name, "name that leads out of the archive", file)
    elif ending.lower() not in SUFFIXES or base.startswith("."):
      continue
    elif base in places:
      problems.add(name, "repeated picture", file)
    else:
      places[base] = place
  if found and not places:
    problems.add(name, "has no picture")
  return places


def ink(
    picture: bytes | UInt8[np.ndarray, "H W"], *, paper: Paper, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "H W"]:
  """Grey values of a picture with its ink bright.

  Args:
    picture: an encoded picture, which is turned upright by its EXIF mark, or grey values.
    paper: `light` is inverted (255 - grey), `dark` kept, `auto` decided by what most pixels are.
    max_pixels: a picture that says it has more is refused before it is decoded.

  Raises:
    ValueError: it is no picture or damaged; says why.
  """
  grey = _decode(picture, max_pixels) if isinstance(picture, bytes) else picture
  light = paper == "light" or (paper == "auto" and _is_light(grey))
  return 255 - grey if light else grey


def _decode(data: bytes, max_pixels: int) -> UInt8[np.ndarray, "H W"]:
  """Grey values of an encoded picture; what is transparent is white paper."""
  if not data:
    raise ValueError("an empty file: copy it again")
  if looks_like_html(data):
    raise ValueError("an HTML page, not a picture: download it again")
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
      image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > max_pixels:
      size = f"{image.width} x {image.height} pixels"
      raise ValueError(f"{size} are more than the limit of {max_pixels:,}")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
      ink_on_it = image.convert("RGBA")
      image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), ink_on_it)
    elif image.mode.startswith(("I", "F")):
      raise ValueError("more than 8 bits a channel: save it with 8")
    return np.array(image.convert("L"))
  except (UnidentifiedImageError, Image.DecompressionBombError) as error:
    raise ValueError(f"no PNG, BMP or JPEG that can be read ({error})") from error
  except (OSError, SyntaxError) as error:  # SyntaxError: a broken PNG
    raise ValueError(f"truncated or damaged ({error})") from error


def _is_light(grey: UInt8[np.ndarray, "H W"]) -> bool:
  """Whether most pixels are nearer to the brightest than to the darkest one."""
  low, high = int(grey.min()), int(grey.max())
  return bool((grey > (low + high) / 2).mean() > 0.5) if low < high else low > 127


def looks_like_html(data: bytes) -> bool:
  """What a server sends instead of a file that it does not have."""
  start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
  return start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml"))


def crop(picture: UInt8[np.ndarray, "H W"], margin: int) -> UInt8[np.ndarray, "h w"]:
  """The ink of a picture on a black ground, with `margin` pixels of black around it.

  Raises:
    ValueError: there is no ink.
  """
  rows, columns = (np.flatnonzero(picture.max(axis)) for axis in (1, 0))
  if not len(rows):
    raise ValueError("there is no ink in it")
  inside = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  return np.pad(inside, margin)


def halve(picture: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "h w"]:
  """Half the size, rounded down, at least 1 (Lanczos, as im2markup's preprocessing)."""
  height, width = (max(n // 2, 1) for n in picture.shape)
  image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
  return np.asarray(image)


def encode_png(picture: UInt8[np.ndarray, "H W"]) -> bytes:
  """PNG of 1 bit where there are no greys, else of 8."""
  bilevel = int(np.isin(picture, (0, 255)).all())
  how = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_BILEVEL, bilevel]
  _, data = cv2.imencode(".png", picture, how)
  return data.tobytes()
