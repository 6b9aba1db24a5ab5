"""A small CROHME that tests can damage."""

import io
import pathlib
import zipfile
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

WORDS = ("+", "1", "2", "\\frac", "x", "{", "}")


def png(height: int = 20, width: int = 30, mode: str = "1", seed: int = 0) -> bytes:
  """A picture of random dots."""
  dots = np.random.default_rng(seed).random((height, width)) > 0.8
  out = io.BytesIO()
  Image.fromarray((dots * 255).astype(np.uint8)).convert(mode).save(out, "PNG")
  return out.getvalue()


def captions_of(folder: str, count: int) -> dict[str, str]:
  """Formulas `x + 1`, `x + 2`, `x + 1 1`, ...; each is written by three."""
  numbers = [" ".join(f"{i // 3 + 1:b}".replace("0", "2")) for i in range(count)]
  return {f"{folder}_{i}": f"x + {n}" for i, n in enumerate(numbers)}


def write_folder(directory: pathlib.Path, captions: dict[str, str], pictures: dict[str, bytes]):
  directory.mkdir(parents=True, exist_ok=True)
  text = "".join(f"{name}\t{caption}\n" for name, caption in captions.items())
  (directory / "captions.txt").write_text(text)
  with zipfile.ZipFile(directory / "images.zip", "w") as archive:
    for name, data in pictures.items():
      archive.writestr(f"{name}.png", data)


def write_source(directory: pathlib.Path, train: int = 120) -> pathlib.Path:
  """A sound manual directory: train with a third as many formulas, 4 records of 2014, 5 of 2016."""
  directory.mkdir(parents=True)
  (directory / "dictionary.txt").write_text("\n".join(WORDS) + "\n")
  for folder, count in (("train", train), ("2014", 4), ("2016", 5)):
    captions = captions_of(folder, count)
    pictures = {n: png(20 + i % 7, 30 + i % 11, seed=i) for i, n in enumerate(captions)}
    write_folder(directory / folder, captions, pictures)
  return directory


def inkml(strokes: list[list[int]], truth: str) -> str:
  """An InkML file as the competition writes them; a stroke is x0, y0, x1, y1, ..."""
  traces = "".join(
      f'<trace id="{i}">\n{", ".join(f"{x} {y}" for x, y in zip(s[::2], s[1::2]))}\n</trace>\n'
      for i, s in enumerate(strokes)
  )
  return (
      '<ink xmlns="http://www.w3.org/2003/InkML">\n<annotation type="UI">x</annotation>\n'
      f'<annotation type="truth">{escape(truth)}</annotation>\n{traces}</ink>\n'
  )
