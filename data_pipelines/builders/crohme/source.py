"""Reads and checks CROHME as it is supplied, before anything of it is written."""

import dataclasses
import pathlib

from data_pipelines.builders.sources import (
    UNREADABLE,
    Problems,
    is_clutter,
    open_archive,
    picture_size,
    read_lines,
)
from mmjax.text.vocabulary import SPECIALS

FOLDERS = ("train", "2014", "2016")
OPTIONAL_FOLDERS = ("2019",)

LAYOUT = """\
CROHME is not downloaded: put it into one directory laid out as

  dictionary.txt                          the words, one a line
  train/images.zip   train/captions.txt   8,835 pictures <id>.png; lines "<id><TAB>word word ..."
  2014/images.zip    2014/captions.txt    986
  2016/images.zip    2016/captions.txt    1,147
  2019/images.zip    2019/captions.txt    1,199, may be left out

The competition publishes pen strokes (TC11 of the IAPR; CC BY-NC-SA 3.0, not for commercial use).
The captions and the pictures of 2014 and 2016 that BTTR, SAN and CAN use are in
github.com/JianshuZhang/WAP, the pictures of train in github.com/mathadoor/ImageToLatex; save them
as one-channel PNG, white ink on black."""


@dataclasses.dataclass(frozen=True)
class Record:
  """One formula: `image` is an encoded one-channel PNG of `height` x `width` pixels."""

  id: str
  words: tuple[str, ...]
  image: bytes
  height: int
  width: int

  @property
  def text(self) -> str:
    return " ".join(self.words)


@dataclasses.dataclass(frozen=True)
class Source:
  """All words in the order of `dictionary.txt`, and the records of each folder in caption order."""

  words: tuple[str, ...]
  folders: dict[str, list[Record]]


def read_source(directory: str | pathlib.Path, progress=lambda items, **_: items) -> Source:
  """Reads every word, caption and picture of a directory laid out as `LAYOUT`.

  Args:
    directory: the manual directory.
    progress: wraps the pictures of a folder, as `tqdm` does.

  Raises:
    SourceError: something is missing or damaged; names all of it.
  """
  directory, problems = pathlib.Path(directory), Problems("CROHME", LAYOUT)
  present = [f for f in OPTIONAL_FOLDERS if (directory / f).exists()]
  words = _read_dictionary(directory, problems)
  folders = {}
  for folder in (*FOLDERS, *present):
    captions = _read_captions(directory, folder, words, problems)
    pictures = _read_pictures(directory, folder, problems, progress)
    if captions and pictures is not None:
      folders[folder] = _pair(folder, captions, pictures, problems)
  problems.raise_any(directory)
  return Source(tuple(words), folders)


def _read_dictionary(directory: pathlib.Path, problems: Problems) -> dict[str, None]:
  words: dict[str, None] = {}
  for number, line in enumerate(read_lines(directory, "dictionary.txt", problems), start=1):
    word = line.strip()
    if len(word.split()) != 1 or word in SPECIALS:
      problems.add("dictionary.txt", "not one word", f"line {number}")
    elif word in words:
      problems.add("dictionary.txt", "repeated word", f"line {number} {word}")
    words[word] = None
  return words


def _read_captions(
    directory: pathlib.Path, folder: str, words: dict[str, None], problems: Problems
) -> dict[str, tuple[str, ...]]:
  """Words of each id, in the order of the file."""
  file = f"{folder}/captions.txt"
  captions: dict[str, tuple[str, ...]] = {}
  for number, line in enumerate(read_lines(directory, file, problems), start=1):
    name, tab, text = line.partition("\t")
    name, caption = name.strip(), tuple(text.split())
    if not (name and tab and caption) or "\t" in text:
      problems.add(file, 'not "<id><TAB>word word ..."', f"line {number}")
      continue
    if name in captions:
      problems.add(file, "repeated id", f"{name} (line {number})")
    if words:  # a missing dictionary is one problem, not one for each caption
      for word in dict.fromkeys(w for w in caption if w not in words):
        problems.add(file, "word not in dictionary.txt", f"{word} in {name}")
    captions[name] = caption
  return captions


def _read_pictures(
    directory: pathlib.Path, folder: str, problems: Problems, progress
) -> dict[str, tuple[bytes, int, int]] | None:
  """Bytes, height and width of each id; None if the archive cannot be read at all."""
  file, pictures = f"{folder}/images.zip", {}
  with open_archive(directory, file, problems) as archive:
    if archive is None:
      return None
    members = [m for m in archive.infolist() if not is_clutter(m)]
    if not members:
      problems.add(file, "is empty")
    for member in progress(members, desc=f"checking {folder}", unit="picture"):
      name = member.filename.removesuffix(".png")
      if name == member.filename or "/" in name:
        problems.add(file, "not <id>.png", member.filename)
        continue
      if name in pictures:
        problems.add(file, "repeated picture", name)
      pictures[name] = (b"", 0, 0)  # so that a damaged picture does not count as missing too
      try:
        data = archive.read(member)
        pictures[name] = (data, *picture_size(data))
      except UNREADABLE as error:
        problems.add(file, "picture does not decode", f"{name} ({error})")
  return pictures


def _pair(
    folder: str,
    captions: dict[str, tuple[str, ...]],
    pictures: dict[str, tuple[bytes, int, int]],
    problems: Problems,
) -> list[Record]:
  for name in (n for n in captions if n not in pictures):
    problems.add(f"{folder}/captions.txt", "caption without picture", name)
  for name in (n for n in pictures if n not in captions):
    problems.add(f"{folder}/images.zip", "picture without caption", name)
  return [Record(n, captions[n], *pictures[n]) for n in captions if n in pictures]
