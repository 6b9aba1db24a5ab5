r"""Vectors of pictures and captions by CLIP, for `python -m mmjax.metrics --metrics=clipscore`.

  python -m mmjax.infer.embed --clip=WEIGHTS --merges=bpe_simple_vocab_16e6.txt.gz \
      --images=FOLDER --refs=R --hyps=H --out=E.npz

A picture is FOLDER/ID.jpg (or another suffix), where a number may have leading zeros and stand
behind the name of its set: COCO_val2014_000000000042.jpg is 42.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from tqdm import tqdm

from mmjax.convert.arrays import read_arrays
from mmjax.convert.clip import convert, model_of, resolution_of
from mmjax.convert.state_dict import WeightsError
from mmjax.infer.pictures import SUFFIXES, PictureError, load_picture
from mmjax.metrics.clipscore import PROMPT, Embeddings
from mmjax.metrics.files import read_hypotheses, read_references
from mmjax.modules.clip import standardise
from mmjax.text.clip_bpe import Tokenizer


class Embedder:
  """A CLIP with its tokenizer.

  Raises:
    WeightsError: the weights cannot be read, or are of another network.
    ValueError: the merges cannot be read, or belong to another vocabulary.
  """

  def __init__(self, weights: Path, merges: Path, batch: int = 32):
    variables = convert(read_arrays(weights))
    model = model_of(variables)
    self.side = resolution_of(variables)
    self._tokenizer = Tokenizer(merges)
    if self._tokenizer.end + 1 != model.vocabulary_size:
      raise ValueError(f"{merges}: makes {self._tokenizer.end + 1} words, {weights} knows"
                       f" {model.vocabulary_size}; give the merges that belong to it")  # fmt: skip
    self._length = len(variables["params"]["textual"]["positions"])
    self._batch, self._variables = batch, variables
    apply: Any = model.apply
    self._image = jax.jit(lambda v, x: apply(v, standardise(x), method="image").pooled)
    self._text = jax.jit(lambda v, x: apply(v, x, method="text"))

  def pictures(self, paths: Sequence[Path]) -> Float[np.ndarray, "B E"]:
    """Vectors of picture files.

    Raises:
      PictureError: one cannot be read.
    """
    load = lambda path: square(load_picture(path, channels=3, polarity="as_is"), self.side)
    return self._rows(self._image, paths, lambda part: np.stack([load(path) for path in part]))

  def captions(self, texts: Sequence[str]) -> Float[np.ndarray, "B E"]:
    """Vectors of captions, each behind `PROMPT`."""
    rows = lambda part: self._tokenizer.rows([PROMPT + text for text in part], self._length)
    return self._rows(self._text, texts, rows)

  def _rows(self, network, items: Sequence, load) -> Float[np.ndarray, "B E"]:
    out = []
    for start in tqdm(range(0, len(items), self._batch), unit="batch", leave=False, disable=None):
      inputs = load(items[start : start + self._batch])
      filler = self._batch - len(inputs)  # one shape to compile
      inputs = np.concatenate([inputs, np.repeat(inputs[:1], filler, 0)])
      out.append(np.asarray(network(self._variables, jnp.asarray(inputs)))[: self._batch - filler])
    return np.concatenate(out)


def square(pixels: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "S S 3"]:
  """The middle of a picture whose shorter side was resized to `side` (bicubic)."""
  height, width = pixels.shape[:2]
  short = min(height, width)
  size = (side * width // short, side * height // short)
  resized = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
  left, top = (round((n - side) / 2) for n in size)
  return np.asarray(resized.crop((left, top, left + side, top + side)))


def find_pictures(folder: Path, ids: Iterable[str]) -> dict[str, Path]:
  """The file of each id.

  Raises:
    PictureError: an id has none.
  """
  files: dict[str, Path] = {}
  for path in sorted(folder.rglob("*")):
    if path.suffix.lower() in SUFFIXES:
      for name in _names(path):
        files.setdefault(name, path)
  missing = [name for name in ids if name not in files]
  if missing:
    raise PictureError(f"{folder} has no picture of {len(missing)} ids, the first: {missing[0]}")
  return {name: files[name] for name in ids}


def _names(path: Path) -> Iterator[str]:
  """Ids that a file may be the picture of, the surest first."""
  yield path.name
  yield path.stem
  number = path.stem.rpartition("_")[2]
  if number.isdecimal():
    yield str(int(number))


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code: 0 done, 1 could not be written, 2 bad input."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.infer.embed", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      epilog="exit code: 0 done, 1 could not be written, 2 wrong usage or bad input",
  )  # fmt: skip
  add = parser.add_argument
  add("--clip", type=Path, required=True, metavar="FILE", help="weights: .pt, .npz")
  add("--merges", type=Path, required=True, metavar="FILE", help="of the tokenizer")
  add("--images", type=Path, required=True, metavar="FOLDER", help="pictures, named by their ids")
  add("--refs", type=Path, required=True, metavar="FILE", help="references")
  add("--hyps", type=Path, required=True, action="append", metavar="FILE",
      help="hypotheses; may be given again for another system")  # fmt: skip
  add("--out", type=Path, required=True, metavar="FILE", help="where to write the vectors (.npz)")
  add("--batch", type=int, default=32, metavar="N", help="at a time (%(default)s)")
  o = parser.parse_args(arguments)
  try:
    systems = [read_hypotheses(path).texts for path in o.hyps]
    references = read_references(o.refs).texts
    files = find_pictures(o.images, systems[0])
    sets = [found for file in (references, *systems) for found in file.values()]
    texts = dict.fromkeys(text.strip() for found in sets for text in found)
    embedder = Embedder(o.clip, o.merges, o.batch)
    pictures = dict(zip(files, embedder.pictures(list(files.values()))))
    captions = dict(zip(texts, embedder.captions(list(texts))))
  except (ValueError, PictureError, WeightsError) as e:
    print(f"embed: {e}", file=sys.stderr)
    return 2
  try:
    Embeddings(pictures, captions).save(o.out)
  except OSError as e:
    print(f"embed: {e}", file=sys.stderr)
    return 1
  print(f"{len(pictures)} pictures and {len(captions)} texts in {o.out}\n"
        f"next: python -m mmjax.metrics --refs={o.refs} --hyps={o.hyps[0]} --metrics=clipscore"
        f" --clip_embeddings={o.out}")  # fmt: skip
  return 0


if __name__ == "__main__":
  sys.exit(main())
