"""Reads and checks CROHME as it is supplied, before anything of it is written."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from data_pipelines.builders.crohme import pickles, strokes
from data_pipelines.builders.crohme.forms import Form, find_form
from data_pipelines.builders.ink import encode_png, find_pictures, ink
from data_pipelines.builders.sources import (
    UNREADABLE,
    Problems,
    is_clutter,
    open_archive,
    picture_size,
    read_lines,
    unsafe_name,
)
from mmjax.text.vocabulary import SPECIALS

FOLDERS = ("train", "2014", "2016")
OPTIONAL_FOLDERS = ("2019",)
# The papers say 8,836 for train: the 8,836th InkML file, MfrDB3088, has no strokes.
PUBLISHED = {"train": 8835, "2014": 986, "2016": 1147, "2019": 1199}
WITHOUT_STROKES = frozenset(("MfrDB3088",))
END_MARKS = frozenset(("<eol>", "eos", "sos"))  # of other programs' dictionaries

LAYOUT = """\
CROHME is not downloaded: put it into one directory laid out as

  dictionary.txt                          the words, one a line
  train/images.zip   train/captions.txt   8,835 pictures <id>.png; lines "<id><TAB>word word ..."
  2014/images.zip    2014/captions.txt    986
  2016/images.zip    2016/captions.txt    1,147
  2019/images.zip    2019/captions.txt    1,199, may be left out

Each of train, 2014, 2016, 2019 may instead be one of
  <year>/images.pkl or <year>/img/        a pickled dictionary of arrays, or BMP or PNG files
  offline-train.pkl, train_caption.txt    and the like: WAP's, SAN's and CAN's files as they are
  <year>/ with .inkml files at any depth  the competition's strokes, which are drawn here; their
                                          truth is the caption where there is no captions.txt
dictionary.txt may be left out if no folder has images.zip.

The competition publishes pen strokes (TC11 of the IAPR; CC BY-NC-SA 3.0, not for commercial use).
The captions and the pictures of 2014 and 2016 that BTTR, SAN and CAN use are in
github.com/JianshuZhang/WAP, the pictures of train in github.com/mathadoor/ImageToLatex; save them
as one-channel PNG, white ink on black."""

Pictures = dict[str, tuple[bytes, int, int]]  # encoded, height, width
Captions = dict[str, tuple[str, ...]]


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
  """All words in the order of `dictionary.txt`, and the records of each folder in caption order.

  Attributes:
    words: of the dictionary; without one, those of train, sorted, then those of the other folders.
    folders: records of `train`, `2014`, ...
    forms: the kind that each folder came in, see `forms.Form`.
  """

  words: tuple[str, ...]
  folders: dict[str, list[Record]]
  forms: dict[str, str]


def read_source(directory: str | pathlib.Path, progress=lambda items, **_: items) -> Source:
  """Reads every word, caption and picture of a directory laid out as `LAYOUT`.

  Args:
    directory: the manual directory.
    progress: wraps the pictures of a folder, as `tqdm` does.

  Raises:
    SourceError: something is missing or damaged; names all of it.
  """
  directory, problems = pathlib.Path(directory), Problems("CROHME", LAYOUT)
  found = {f: find_form(directory, f) for f in (*FOLDERS, *OPTIONAL_FOLDERS)}
  forms = {
      folder: form or Form("zip", f"{folder}/images.zip", f"{folder}/captions.txt")
      for folder, form in found.items()
      if form or folder in FOLDERS
  }
  words = _read_dictionary(directory, forms, problems)
  own: dict[str, None] = {}
  folders = {}
  for folder, form in forms.items():
    progress_of_folder = lambda items, folder=folder: progress(
        items, desc=f"checking {folder}", unit="picture"
    )
    captions, pictures = _READERS[form.kind](directory, form, problems, progress_of_folder)
    if words is None:
      own |= dict.fromkeys(sorted({w for caption in captions.values() for w in caption}))
    elif words:  # a missing dictionary is one problem, not one for each caption
      _check_words(form, captions, words, problems)
    if captions and pictures is not None:
      folders[folder] = _pair(form, captions, pictures, problems)
  problems.raise_any(directory)
  known = tuple(own if words is None else words)
  return Source(known, folders, {folder: form.kind for folder, form in forms.items()})


def read_captions(directory: str | pathlib.Path, folder: str) -> Captions:
  """The words of each formula of a folder (`train`, `2014`, ...), in the order of its captions.

  Raises:
    SourceError: there is no file of captions, or it is damaged.
  """
  directory, problems = pathlib.Path(directory), Problems("CROHME", LAYOUT)
  form = find_form(directory, folder)
  file = form.captions if form else f"{folder}/captions.txt"
  captions: Captions = {}
  if file:
    captions = _read_captions(directory, file, problems)
  else:
    problems.add(f"{folder}/captions.txt", "is missing")
  problems.raise_any(directory)
  return captions


def _read_dictionary(
    directory: pathlib.Path, forms: dict[str, Form], problems: Problems
) -> dict[str, None] | None:
  """The words; none if the file cannot be read, None if it need not be there and is not."""
  names = ("dictionary.txt", "words_dict.txt")
  file = next((n for n in names if (directory / n).exists()), names[0])
  if not (directory / file).exists() and all(form.kind != "zip" for form in forms.values()):
    return None
  words: dict[str, None] = {}
  for number, line in enumerate(read_lines(directory, file, problems), start=1):
    word, _, index = line.strip().partition("\t")
    if word in END_MARKS and (index or file != names[0]):
      continue
    if len(word.split()) != 1 or word in SPECIALS or not (index.isdigit() or not index):
      problems.add(file, "not one word", f"line {number}")
    elif word in words:
      problems.add(file, "repeated word", f"line {number} {word}")
    words[word] = None
  return words


def _check_words(
    form: Form, captions: Captions, words: dict[str, None], problems: Problems
) -> None:
  file = form.captions or form.pictures
  for name, caption in captions.items():
    for word in dict.fromkeys(w for w in caption if w not in words):
      problems.add(file, "word not in dictionary.txt", f"{word} in {name}")


def _read_captions(directory: pathlib.Path, file: str, problems: Problems) -> Captions:
  """Words of each id, in the order of the file."""
  ours = file.endswith("/captions.txt")
  captions: Captions = {}
  for number, line in enumerate(read_lines(directory, file, problems), start=1):
    if ours or "\t" in line:
      name, tab, text = line.partition("\t")
    else:  # BTTR's and CAN's lists are split at any blank
      name, tab, text = line.strip().partition(" ")
    name, caption = name.strip(), tuple(text.split())
    if not (name and tab and caption) or "\t" in text or "\0" in line:
      problems.add(file, 'not "<id><TAB>word word ..."', f"line {number}")
      continue
    if not ours:
      name = _without_ending(name)
    if name in captions:
      problems.add(file, "repeated id", f"{name} (line {number})")
    captions[name] = caption
  return captions


def _without_ending(name: str) -> str:
  for ending in (".jpg", ".png", ".bmp"):
    name = name.removesuffix(ending)
  return name


def _read_zip(
    directory: pathlib.Path, form: Form, problems: Problems, progress
) -> tuple[Captions, Pictures | None]:
  """Pictures stay the bytes that they are; None if the archive cannot be read at all."""
  captions = _read_captions(directory, form.captions, problems)
  file, pictures = form.pictures, Pictures()
  with open_archive(directory, file, problems) as archive:
    if archive is None:
      return captions, None
    members = [m for m in archive.infolist() if not is_clutter(m)]
    if not members:
      problems.add(file, "is empty")
    for member in progress(members):
      name = member.filename.removesuffix(".png")
      if unsafe_name(member.filename):
        problems.add(file, "name that leads out of the archive", member.filename)
        continue
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
  return captions, pictures


def _read_pickle(
    directory: pathlib.Path, form: Form, problems: Problems, progress
) -> tuple[Captions, Pictures | None]:
  captions = _read_captions(directory, form.captions, problems)
  try:
    arrays = pickles.read_pictures((directory / form.pictures).read_bytes())
  except (OSError, ValueError) as error:
    problems.add(form.pictures, str(error))
    return captions, None
  read = lambda array: ink(pickles.pixels_of(array), paper="auto")
  return captions, _convert(form, arrays, read, problems, progress)


def _read_folder(
    directory: pathlib.Path, form: Form, problems: Problems, progress
) -> tuple[Captions, Pictures | None]:
  captions = _read_captions(directory, form.captions, problems)
  places = find_pictures(directory, form.pictures, problems)
  read = lambda place: ink(place.read(), paper="auto")
  return captions, _convert(form, places, read, problems, progress)


def _read_inkml(
    directory: pathlib.Path, form: Form, problems: Problems, progress
) -> tuple[Captions, Pictures | None]:
  """Captions and pictures of InkML files, in the order of their names."""
  truth, files = Captions(), dict[str, pathlib.Path]()
  for path in sorted((directory / form.pictures).rglob("*.inkml"), key=lambda p: p.name):
    if path.stem in files:
      problems.add(form.pictures, "repeated id", f"{path.stem} ({path.relative_to(directory)})")
    if path.stem not in WITHOUT_STROKES:
      files[path.stem] = path

  def read(path: pathlib.Path):
    drawn = strokes.read_inkml(path.read_bytes())
    truth[path.stem] = strokes.words_of_truth(drawn.truth)
    return strokes.draw(drawn.strokes)

  pictures = _convert(form, files, read, problems, progress)
  if form.captions:
    return _read_captions(directory, form.captions, problems), pictures
  return truth, {name: pictures[name] for name in truth}


def _convert(
    form: Form, sources: dict[str, Any], read: Callable, problems: Problems, progress
) -> Pictures:
  """Pictures that `read` decodes or draws, as PNG."""
  pictures = Pictures()
  for name, source in progress(list(sources.items())):
    pictures[name] = (b"", 0, 0)  # so that a damaged picture does not count as missing too
    try:
      drawn = read(source)
      pictures[name] = (encode_png(drawn), *drawn.shape)
    except UNREADABLE as error:
      what = "file cannot be used" if form.kind == "inkml" else "picture does not decode"
      problems.add(form.pictures, what, f"{name} ({error})")
  return pictures


_READERS = {
    "zip": _read_zip,
    "pickle": _read_pickle,
    "pictures": _read_folder,
    "inkml": _read_inkml,
}


def _pair(
    form: Form, captions: Captions, pictures: Pictures, problems: Problems
) -> list[Record]:
  for name in (n for n in captions if n not in pictures):
    problems.add(form.captions, "caption without picture", name)
  for name in (n for n in pictures if n not in captions):
    problems.add(form.pictures, "picture without caption", name)
  return [Record(n, captions[n], *pictures[n]) for n in captions if n in pictures]
