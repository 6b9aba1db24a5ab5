"""Checks of encoded pictures in colour."""

import io
import warnings
import zlib

from PIL import Image, UnidentifiedImageError

# What OpenCV decodes to three channels without losing something; it turns by EXIF orientation.
COLOUR_MODES = ("1", "L", "P", "RGB", "CMYK")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap the sides


def colour_picture_size(data: bytes) -> tuple[int, int]:
  """Height and width, as OpenCV decodes it to colours, of an encoded picture that was decoded.

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
        turned = image.getexif().get(ORIENTATION) in TURNED
        mode, transparent = image.mode, "transparency" in image.info
  except UnidentifiedImageError as error:
    raise ValueError("not a JPEG or PNG" if data else "is empty") from error
  except (OSError, SyntaxError, ValueError, zlib.error) as error:
    raise ValueError(str(error)) from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
    raise ValueError("too many pixels") from error
  if mode not in COLOUR_MODES or transparent:
    raise ValueError(f"must be opaque, 8 bits a channel (its mode is {mode}): save it as JPEG")
  return (width, height) if turned else (height, width)
