"""What readers of supplied files share: problems gathered, text, archives, pictures."""

import contextlib
import io
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from data_pipelines.datasets import SourceError

LISTED = 20  # ids named per kind of problem


class Problems:
  """What is wrong, gathered by file and kind so that one run names everything."""

  def __init__(self, data_set: str, layout: str) -> None:
    """`data_set` and `layout` are what the message calls it and how it must lie."""
    self._data_set, self._layout = data_set, layout
    self._found: dict[tuple[str, str], list[str]] = {}

  def add(self, file: str, what: str, which: str = "") -> None:
    found = self._found.setdefault((file, what), [])
    if which or not found:  # two readers may meet the same damaged file
      found.append(which)

  def lines(self) -> list[str]:
    """One for each file and kind of problem."""
    lines = []
    for (file, what), which in self._found.items():
      named = ", ".join(which[:LISTED])
      more = f" and {len(which) - LISTED} more" if len(which) > LISTED else ""
      count = f" ({len(which)})" if named else ""
      lines.append(f"{file}: {what}{count}{': ' if named else ''}{named}{more}")
    return lines

  def raise_any(self, directory: pathlib.Path) -> None:
    """Raises SourceError if anything was added."""
    if not self._found:
      return
    found = "\n".join(f"  {line}" for line in self.lines())
    raise SourceError(f"{self._data_set} in {directory} cannot be used:\n{found}\n\n{self._layout}")


def read_lines(directory: pathlib.Path, file: str, problems: Problems) -> list[str]:
  """Lines of a text file, without blank ones at the end; none if it cannot be read."""
  try:
    text = (directory / file).read_bytes().decode("utf-8-sig")
  except OSError as error:
    problems.add(file, "is missing" if isinstance(error, FileNotFoundError) else str(error))
    return []
  except UnicodeDecodeError as error:
    problems.add(file, f"is not UTF-8 text (byte {error.start})")
    return []
  if not text.strip():
    problems.add(file, "is empty")
    return []
  return text.rstrip().split("\n")


# A damaged or encrypted member, an unknown compression, a damaged picture.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError)


@contextlib.contextmanager
def open_archive(
    directory: pathlib.Path, file: str, problems: Problems
) -> Iterator[zipfile.ZipFile | None]:
  """The archive `file`, or None, said to `problems`, if it cannot be opened."""
  try:
    archive = zipfile.ZipFile(directory / file)
  except FileNotFoundError:
    problems.add(file, "is missing")
    yield None
  except (zipfile.BadZipFile, OSError) as error:
    problems.add(file, f"cannot be opened as a zip archive ({error})")
    yield None
  else:
    with archive:
      yield archive


def is_clutter(member: zipfile.ZipInfo) -> bool:
  """Folders, and what macOS puts beside the files it archives."""
  return member.is_dir() or member.filename.startswith("__MACOSX/")


def picture_size(data: bytes) -> tuple[int, int]:
  """Height and width of an encoded picture that was decoded to be sure of it.

  Raises:
    ValueError: not a PNG, damaged, too large to be a picture, or not one channel of 8 bits or less.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      # Pillow checks the sums of the chunks, and is silent where libpng writes to stderr.
      with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()
  except UnidentifiedImageError as error:
    raise ValueError("not a valid PNG") from error
  except (OSError, SyntaxError, ValueError, zlib.error) as error:
    raise ValueError(str(error)) from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
    raise ValueError("too many pixels") from error
  pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if pixels is None or not pixels.size:
    raise ValueError("incomplete")
  if pixels.ndim != 2 or pixels.dtype != np.uint8:
    raise ValueError(f"must be grey, 8 bits or less; is {pixels.shape} {pixels.dtype}")
  return pixels.shape


def unsafe_name(member: str) -> bool:
  """Whether the name of an archive's member is absolute or leads out of the archive."""
  parts = member.replace("\\", "/").split("/")
  return parts[0] in ("", "~") or parts[0].endswith(":") or ".." in parts or "\0" in member
