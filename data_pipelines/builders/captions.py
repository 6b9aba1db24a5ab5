"""What every data set of captioned pictures has in common: features, checks, writing."""

import abc
import collections
import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.builders.files import Stored, read_stored
from data_pipelines.builders.parts import ItemError, examples
from data_pipelines.builders.photos import colour_picture_size
from data_pipelines.builders.sources import Problems

MAX_BYTES = 100_000_000  # of an encoded picture
REMEDY = "Mend the source, or prepare what is sound of it with --allow_partial."


def caption_features(encoding_format: str = "jpeg") -> tfds.features.FeaturesDict:
  """Encoded picture, its sizes, and its captions as they were written, with their languages."""
  return tfds.features.FeaturesDict({
      "id": tfds.features.Text(),
      "image": tfds.features.Image(
          shape=(None, None, 3), dtype=np.uint8, encoding_format=encoding_format
      ),
      "height": np.int32,
      "width": np.int32,
      "texts": tfds.features.Sequence(tfds.features.Text()),
      "languages": tfds.features.Sequence(tfds.features.Text()),  # of each text: "en", "zh"
  })


@dataclasses.dataclass(frozen=True)
class Captions:
  """The captions of the picture called `file`; `languages` has one for each text."""

  id: str
  file: str
  texts: tuple[str, ...]
  languages: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Captioned:
  """A picture that is not read yet, and its captions."""

  captions: Captions
  picture: Stored


class Findings:
  """What a source lacks.

  Attributes:
    problems: what makes the source unusable.
    gaps: what is missing or damaged in an otherwise usable source; `--allow_partial` accepts it.
    notes: what is known, harmless and counted.
  """

  def __init__(self, data_set: str, layout: str) -> None:
    """`data_set` and `layout` are what messages call it and how it must lie."""
    self.problems = Problems(data_set, layout)
    self.gaps = Problems(data_set, f"{REMEDY}\n\n{layout}")
    self.notes: collections.Counter[str] = collections.Counter()

  def count(self, file: str, what: str, found: int, published: int) -> None:
    """A gap where the number of `what` in `file` is not the published one."""
    if found != published:
      self.gaps.add(file, f"{found:,} {what}, published are {published:,}")

  def captions(self, file: str, name: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Each of `texts` on one line; empty ones are noted and left out, unusable ones are gaps."""
    kept = []
    for text in texts:
      line = " ".join(text.splitlines()).strip()
      if not line:
        self.notes[f"{file}: empty captions, skipped"] += 1
      elif "\0" in line:
        self.gaps.add(file, "caption with a NUL character", name)
      elif not _is_unicode(line):
        self.gaps.add(file, "caption with half a surrogate pair", name)
      else:
        kept.append(line)
    return tuple(kept)


def _is_unicode(text: str) -> bool:
  """False with half a surrogate pair, which JSON can write."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def pair(
    file: str,
    captions: Sequence[Captions],
    pictures: dict[str, Stored],
    findings: Findings,
    *,
    known_missing: Collection[str] = (),
    captioned: bool = True,
) -> list[Captioned]:
  """Captions that `file` gives, with their pictures, in order; what lacks one of both is a gap.

  A repeated id is a problem. Pictures in `known_missing` are noted, not gaps. Those of a test
  whose captions are kept back are not `captioned`.
  """
  paired: dict[str, Captioned] = {}
  for c in captions:
    if c.id in paired:
      findings.problems.add(file, "repeated id", c.id)
    elif captioned and not c.texts:
      findings.gaps.add(file, "picture without texts", c.file)
    elif c.file in pictures:
      paired[c.id] = Captioned(c, pictures[c.file])
    elif c.file in known_missing:
      findings.notes[f"{file}: {c.file} is known to be missing from copies of the data set"] += 1
    else:
      findings.gaps.add(file, "texts without a picture", c.file)
  return list(paired.values())


def unclaimed(pictures: dict[str, Stored], named: Collection[str], findings: Findings) -> None:
  """A gap for each of `pictures` that is not in `named`, the pictures that have captions."""
  for name, stored in pictures.items():
    if name not in named:
      findings.gaps.add(stored.place, "picture without texts", name)


def read_picture(picture: Stored) -> tuple[bytes, int, int]:
  """Encoded bytes, height and width of a picture that was decoded to be sure of it.

  Raises:
    ItemError: it cannot be read or decoded.
  """
  if picture.member and picture.member.size > MAX_BYTES:
    raise ItemError(f"{picture.member.size:,} bytes are too many for a picture")
  data = read_stored(picture)
  try:
    return data, *colour_picture_size(data)
  except ValueError as error:
    raise ItemError(str(error)) from error


def make_record(item: Captioned) -> dict:
  """Features of a captioned picture; raises ItemError as `read_picture` does."""
  return caption_record(item.captions, *read_picture(item.picture))


def caption_record(captions: Captions, image: bytes, height: int, width: int) -> dict:
  """Features of a captioned picture, see `caption_features`."""
  return {
      "id": captions.id,
      "image": image,  # as it came: encoding an array would need TensorFlow
      "height": height,
      "width": width,
      "texts": list(captions.texts),
      "languages": list(captions.languages),
  }


class CaptionBuilder(tfds.core.GeneratorBasedBuilder):
  """Writes captioned pictures with the bytes they came with, in the order of the source.

  A builder says how its source is read; everything that was found wrong is said in one error.
  """

  NAME: str  # in messages
  DESCRIPTION: str
  LICENCE: str
  CITATION: str
  MAKE = staticmethod(make_record)

  def __init__(self, *, allow_partial: bool = False, **of_tfds):
    """`allow_partial` writes what is sound of a source that has gaps, and stores what it lacks."""
    self._allow_partial = allow_partial
    super().__init__(**of_tfds)

  @abc.abstractmethod
  def _read(self, directory: pathlib.Path, findings: Findings) -> dict[str, list[Captioned]]:
    """The pictures of each split; everything wrong with the source goes to `findings`."""

  def _features(self) -> tfds.features.FeaturesDict:
    return caption_features()

  def _metadata(self, items: Sequence[Captioned]) -> dict[str, list[str]]:
    """What is stored about the texts of all splits."""
    return {"languages": sorted({x for i in items for x in i.captions.languages})}

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description=self.DESCRIPTION,
        features=self._features(),
        metadata=tfds.core.MetadataDict(),
        license=self.LICENCE,
        citation=self.CITATION,
        disable_shuffling=True,
    )

  def _download_and_prepare(
      self,
      dl_manager: tfds.download.DownloadManager,
      download_config: tfds.download.DownloadConfig | None = None,
  ) -> None:
    """Writes all splits; only then every picture was looked at and what was found can be said."""
    self._findings = Findings(self.NAME, self.MANUAL_DOWNLOAD_INSTRUCTIONS)
    super()._download_and_prepare(dl_manager, download_config)
    gaps, notes = self._findings.gaps, self._findings.notes
    if not self._allow_partial:
      gaps.raise_any(pathlib.Path(dl_manager.manual_dir))
    self.info.metadata.update(
        deviations=gaps.lines(), notes=[f"{what} ({count:,})" for what, count in notes.items()]
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    directory, findings = pathlib.Path(dl_manager.manual_dir), self._findings
    splits = self._read(directory, findings)
    _check_overlaps(splits, findings)
    findings.problems.raise_any(directory)
    if not self._allow_partial or not any(splits.values()):
      findings.gaps.raise_any(directory)
    splits = {name: items for name, items in splits.items() if items}
    known = self._metadata([i for items in splits.values() for i in items])
    self.info.metadata.update(licence=self.LICENCE, **known)
    return {
        name: self._generate_examples(name, items, directory) for name, items in splits.items()
    }

  def _generate_examples(
      self, split: str, items: Sequence[Captioned], directory: pathlib.Path
  ) -> Iterator[tuple[int, dict]]:
    left = len(items)

    def rejected(item: Captioned, reason: str) -> None:
      nonlocal left
      file, gaps = item.captions.file, self._findings.gaps
      gaps.add(item.picture.place, "picture that cannot be used", f"{file} ({reason})")
      left -= 1
      if not left:  # a split of no records cannot be written
        gaps.raise_any(directory)

    return examples(items, self.MAKE, name=split, rejected=rejected)


def _check_overlaps(splits: dict[str, list[Captioned]], findings: Findings) -> None:
  """A problem for each picture that is in two splits."""
  of: dict[str, str] = {}
  for name, items in splits.items():
    for i in items:
      other = of.setdefault(i.captions.id, name)
      if other != name:
        findings.problems.add(name, f"picture that is in {other}, too", i.captions.id)
