"""Supplied text files, plain or gzipped, as lines that were looked at byte by byte."""

import gzip
import pathlib
import zlib
from collections.abc import Callable

from data_pipelines.builders.sources import Problems
from mmjax.text.vocabulary import SPECIALS


def is_there(directory: pathlib.Path, file: str) -> bool:
  """Whether a text file is there, plain or as `file.gz`."""
  return (directory / file).exists() or (directory / f"{file}.gz").exists()


def text_lines(
    directory: pathlib.Path, file: str, problems: Problems, *, latin: bool = False
) -> list[str]:
  """Lines of a text file or of its gzip; see `split_lines`.

  Args:
    directory: that it lies in.
    file: its name without `.gz`.
    problems: where it is said if it cannot be read; it then has no lines.
    latin: a line that is not UTF-8 is Latin-1.
  """
  try:
    if (directory / file).exists():
      data = (directory / file).read_bytes()
    else:
      data = gzip.decompress((directory / f"{file}.gz").read_bytes())
  except FileNotFoundError:
    problems.add(file, "is missing")
    return []
  except (OSError, EOFError, zlib.error) as error:
    file = file if (directory / file).exists() else f"{file}.gz"
    problems.add(file, f"cannot be read ({error})")
    return []
  return split_lines(data, file, problems, latin=latin)


def split_lines(
    data: bytes, file: str, problems: Problems, *, latin: bool = False
) -> list[str]:
  """Lines, without a blank one at the end; only a line feed ends one, formulas hold other ends."""
  if not data.strip():
    problems.add(file, "is empty")
    return []
  decode: Callable[[bytes], str] = _utf8_or_latin if latin else bytes.decode
  lines = []
  for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
    if b"\0" in line:
      problems.add(file, "has a NUL byte", f"line {number}")
    try:
      lines.append(decode(line.removesuffix(b"\r")))
    except UnicodeDecodeError as error:
      problems.add(file, "is not UTF-8 text", f"line {number} (byte {error.start})")
      lines.append(line.decode(errors="replace"))  # one cause, one problem
  return lines[:-1] if not lines[-1].strip() else lines


def read_words(directory: pathlib.Path, file: str, problems: Problems) -> list[str]:
  """Words of a vocabulary file, one a line."""
  words = [line.strip() for line in text_lines(directory, file, problems)]
  for number, word in enumerate(words, start=1):
    if len(word.split()) != 1 or word in SPECIALS:
      problems.add(file, "not one word", f"line {number}")
  for word in sorted({w for w in words if words.count(w) > 1}):
    problems.add(file, "repeated word", word)
  return words


def named(names: list[str], most: int = 5) -> str:
  """The first of the names, for a message."""
  return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _utf8_or_latin(line: bytes) -> str:
  try:
    return line.decode()
  except UnicodeDecodeError:
    return line.decode("latin-1")
