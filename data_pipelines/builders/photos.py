"""Checks of encoded pictures in colour."""

import io
import warnings
import zlib

from PIL import Image, UnidentifiedImageError

# What OpenCV decodes to three channels without losing something.
COLOUR_MODES = ("1", "L", "P", "RGB", "CMYK")
ORIENTATION, UPRIGHT = 0x0112, 1  # the EXIF tag, and its value for a picture that is not turned


def colour_picture_size(data: bytes) -> tuple[int, int]:
  """Height and width of an encoded picture that was decoded to be sure of it.

  They are those of its pixels: an orientation that a camera noted is not heeded.

  Raises:
    ValueError: not a JPEG or PNG, damaged, too large to be a picture, or with transparency.
  """
  if data.lstrip()[:1] == b"<":
    raise ValueError("is a web page or other markup, not a picture: was a download refused?")
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # about EXIF
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
        image.load()
        width, height = image.size
        mode, transparent = image.mode, "transparency" in image.info
  except UnidentifiedImageError as error:
    raise ValueError("not a JPEG or PNG" if data else "is empty") from error
  except (OSError, SyntaxError, ValueError, zlib.error) as error:
    raise ValueError(str(error)) from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
    raise ValueError("too many pixels") from error
  if mode not in COLOUR_MODES or transparent:
    raise ValueError(f"must be opaque, 8 bits a channel (its mode is {mode}): save it as JPEG")
  return height, width


def is_turned(data: bytes) -> bool:
  """Whether a camera noted that the pixels of a sound picture lie on their side or mirrored."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with Image.open(io.BytesIO(data)) as image:
      return image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT
