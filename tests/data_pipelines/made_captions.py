"""Small sources of captioned pictures that tests can damage."""

import io
import json
import pathlib
import zipfile

import numpy as np
from PIL import Image

HTML = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"
SPLITS = {"train": 6, "val": 2, "test": 3}  # of Flickr8k


def picture(height: int = 24, width: int = 32, seed: int = 0, kind="JPEG", mode="RGB") -> bytes:
  """Coloured noise."""
  noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
  out = io.BytesIO()
  Image.fromarray(noise).convert(mode).save(out, kind)
  return out.getvalue()


def turned(orientation: int) -> bytes:
  """A JPEG with an orientation that a camera noted."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  out = io.BytesIO()
  Image.open(io.BytesIO(picture())).save(out, "JPEG", exif=exif)
  return out.getvalue()


def write_zip(path: pathlib.Path, files: dict[str, bytes], method=zipfile.ZIP_STORED) -> None:
  with zipfile.ZipFile(path, "w", method) as archive:
    for name, data in files.items():
      archive.writestr(name, data)


def write_folder(path: pathlib.Path, files: dict[str, bytes]) -> None:
  path.mkdir(parents=True, exist_ok=True)
  for name, data in files.items():
    (path / name).write_bytes(data)


def flickr_names() -> dict[str, list[str]]:
  return {s: [f"{s}_{i}.jpg" for i in range(count)] for s, count in SPLITS.items()}


def flickr_pictures() -> dict[str, bytes]:
  names = [n for split in flickr_names().values() for n in split]
  return {n: picture(24 + i, 32 - i, seed=i) for i, n in enumerate(names)}


def write_flickr8k(directory: pathlib.Path) -> pathlib.Path:
  """Flickr8k in two languages, its pictures in an archive of train and one of the rest."""
  directory.mkdir(parents=True)
  pictures = flickr_pictures()
  for split, names in flickr_names().items():
    (directory / f"{split}.txt").write_text("\n".join(names) + "\n")
    write_zip(directory / f"images_{split}.zip", {n: pictures[n] for n in names})
  for language, text in (("en", "A dog of {} , {} ."), ("zh", "{}的狗，第{}。")):
    lines = [f"{n}#{i}\t{text.format(n, i)}\n" for n in sorted(pictures) for i in range(5)]
    (directory / f"captions_{language}.txt").write_text("".join(lines))
  return directory


def aic_entries(names: list[str]) -> list[dict]:
  return [
      {"url": "", "image_id": n, "caption": [f"第{i}个人在{n}" for i in range(5)]} for n in names
  ]


def write_aic(directory: pathlib.Path, split: str, date: str, count: int) -> list[str]:
  """A split of AI Challenger as a file of annotations and a folder; returns the picture names."""
  names = [f"{split}{i:040x}.jpg" for i in range(count)]
  write_folder(
      directory / f"caption_{split}_images_{date}",
      {n: picture(seed=i) for i, n in enumerate(names)},
  )
  write_json(directory / f"caption_{split}_annotations_{date}.json", aic_entries(names))
  return names


def write_json(path: pathlib.Path, value: object) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value, ensure_ascii=False))
