"""Files in a folder or in a zip archive: listed once, read one by one and by any process."""

import dataclasses
import json
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

from data_pipelines.builders.parts import ItemError
from data_pipelines.builders.sources import Problems, is_clutter, open_archive, unsafe_name

PICTURES = (".jpg", ".jpeg", ".png")
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of the name and the extra field
ENCRYPTED = 0x1


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
  """Where an archive holds a file: enough to read it without the archive's directory.

  Attributes:
    offset: of its local header, bytes.
    packed, size: bytes in the archive and unpacked.
    deflated: or stored as it is.
    crc: CRC-32 of the unpacked bytes.
  """

  offset: int
  packed: int
  size: int
  deflated: bool
  crc: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
  """A file at `path`, or the file `member` of the archive at `path`."""

  path: str
  member: Member | None = None

  @property
  def place(self) -> str:
    """The folder or the archive that holds it, for messages."""
    return os.path.basename(self.path if self.member else os.path.dirname(self.path))


def list_files(directory: pathlib.Path, place: str, problems: Problems) -> dict[str, Stored]:
  """Files by their name inside `place`, a folder or a zip archive, in order of name.

  Hidden files are left out. What an archive holds under a name that leads out of it, twice,
  encrypted or packed in a rare way is said to `problems`.
  """
  if (directory / place).is_dir():
    return dict(sorted(_in_folder(directory / place)))
  with open_archive(directory, place, problems) as archive:
    return {} if archive is None else dict(sorted(_in_archive(archive, place, problems).items()))


def _in_folder(folder: pathlib.Path) -> Iterable[tuple[str, Stored]]:
  for parent, folders, files in os.walk(folder):
    folders[:] = [f for f in folders if not f.startswith(".")]
    for file in files:
      if not file.startswith("."):
        path = os.path.join(parent, file)
        yield os.path.relpath(path, folder), Stored(path)


def _in_archive(archive: zipfile.ZipFile, place: str, problems: Problems) -> dict[str, Stored]:
  found: dict[str, Stored] = {}
  for m in archive.infolist():
    name = m.filename
    if unsafe_name(name) or "\\" in name:
      problems.add(place, "name that leads out of the archive", repr(m.orig_filename))
    elif is_clutter(m) or name.rpartition("/")[2].startswith("."):
      continue
    elif name in found:
      problems.add(place, "two files of one name", name)
    elif m.flag_bits & ENCRYPTED:
      problems.add(place, "encrypted file", name)
    elif m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      problems.add(place, "packed in a way that is not read (store or deflate it)", name)
    else:
      deflated = m.compress_type == zipfile.ZIP_DEFLATED
      where = Member(m.header_offset, m.compress_size, m.file_size, deflated, m.CRC)
      found[name] = Stored(os.fspath(archive.filename or place), where)
  return found


def pictures_in(
    listings: dict[str, dict[str, Stored]], problems: Problems
) -> dict[str, Stored]:
  """JPEG and PNG files by name, without folders, in all places that were listed."""
  found: dict[str, Stored] = {}
  for place, files in listings.items():
    for name, stored in files.items():
      base = name.rpartition("/")[2]
      if not base.lower().endswith(PICTURES):
        continue
      if base in found:
        problems.add(place, f"picture that is in {found[base].place}, too", base)
      found[base] = stored
  return found


def read_stored(stored: Stored) -> bytes:
  """The bytes of a file.

  Raises:
    ItemError: it is gone, or its archive is damaged there.
  """
  try:
    with open(stored.path, "rb") as f:
      if stored.member is None:
        return f.read()
      return _read_member(f, stored.member)
  except OSError as error:
    raise ItemError(f"cannot be read: {error.strerror or error}") from error


def _read_member(file, member: Member) -> bytes:
  file.seek(member.offset)
  header = file.read(LOCAL_HEADER.size)
  if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
    raise ItemError("the archive is damaged there")
  _, name, extra = LOCAL_HEADER.unpack(header)
  file.seek(name + extra, os.SEEK_CUR)
  data = file.read(member.packed)
  if member.deflated:
    try:
      # Never more than the directory promised: a small archive cannot fill the memory.
      data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    except zlib.error as error:
      raise ItemError(f"the archive is damaged there: {error}") from error
  if len(data) != member.size or zlib.crc32(data) != member.crc:
    raise ItemError("the archive is damaged there: wrong size or checksum")
  return data


def read_json(data: bytes) -> Any:
  """The value of a JSON text.

  Raises:
    ValueError: not UTF-8, not JSON or cut short; says where.
  """
  try:
    return json.loads(data.decode("utf-8-sig"))
  except UnicodeDecodeError as error:
    raise ValueError(f"is not UTF-8 text (byte {error.start})") from error
  except json.JSONDecodeError as error:
    where = f"line {error.lineno} column {error.colno}"
    raise ValueError(f"is not JSON or cut short ({error.msg}, {where})") from error
  except RecursionError as error:
    raise ValueError("is not JSON of this kind: nested too deep") from error
