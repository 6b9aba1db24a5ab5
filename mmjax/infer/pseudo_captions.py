r"""Captions made up for pictures from the concepts detected in them, by a run of `rewriting`.

  python -m mmjax.infer.pseudo_captions --workdir=A --concepts=DETECTIONS --out=CAPTIONS

A is the workdir of configs/flickr8k/unsupervised/concept_to_sentence.py. A line of CAPTIONS is
{"id", "words", "caption"}, without words where nothing was detected. Of a picture at most five
concepts are read, those of the smallest class numbers, the largest of these first, as the authors'
code does (Feng et al., 2019). `python -m mmjax.metrics` scores the file as it is.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from mmjax import experiment, sharding
from mmjax.checkpoint import CheckpointError, read_run
from mmjax.config import ConfigError, from_dict
from mmjax.evaluate import load_trained
from mmjax.text import concepts
from mmjax.text.concepts import Concept, ConceptError
from mmjax.text.vocabulary import UnknownWordError

MOST = 5  # concepts of a picture


def write(workdir: Path, detections: Path, out: Path) -> int:
  """Writes a caption of every picture of `detections` with a concept; how many there are.

  Raises:
    CheckpointError: `workdir` holds nothing trained.
    ConfigError: it holds a run of another kind.
    ConceptError: the detections cannot be read.
    UnknownWordError: they have words that the run does not know.
  """
  run = read_run(workdir)
  if run is None:
    raise CheckpointError(f"{workdir} holds no run; train concept_to_sentence.py there first")
  config = from_dict(run["config"])
  if config.task != "rewriting" or config.unpaired.source != "concepts":
    raise ConfigError(
        f"{workdir} is no run that writes sentences from concepts, as"
        " configs/flickr8k/unsupervised/concept_to_sentence.py makes one"
    )
  found = concepts.read(detections)
  mesh = experiment.make_mesh(config)
  task, variables, _, _ = load_trained(config, workdir, None, mesh)
  shards = sharding.batch_shards(mesh)
  size = -(-config.evaluate.batch // shards) * shards
  read = [read_words(row) for row in found.values()]
  unknown = {word for words in read for word in words} - {*task.vocabulary.words}
  if unknown:
    raise UnknownWordError(f"{detections}: the run in {workdir} does not know {min(unknown)}; give"
                           " the detections that it was trained with")  # fmt: skip
  numbers = [task.vocabulary.encode(words) for words in read]
  out.parent.mkdir(parents=True, exist_ok=True)
  partial = out.with_name(out.name + ".partial")
  names, written = list(found), 0
  with open(partial, "w", encoding="utf-8") as lines:
    for at in tqdm(range(0, len(names), size), unit="batch", leave=False, disable=None):
      for name, words in zip(names[at:], _batch(task, variables, mesh, numbers[at:], size)):
        caption = task.text(words) if words else None
        row = {"id": name, "words": words, "caption": caption}
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        written += bool(words)
  partial.replace(out)
  return written


def read_words(found: Sequence[Concept]) -> list[str]:
  """The words that are read of a picture's concepts, which are sorted by class number."""
  return [c.word for c in found[:MOST][::-1]]


def _batch(
    task: Any, variables: Any, mesh: jax.sharding.Mesh, numbers: Sequence[list[int]], size: int
) -> list[list[str]]:
  """The words of the best sentence for each of the first `size` rows, none where there are none."""
  rows = numbers[:size]
  words, real = np.zeros((size, MOST), np.int32), np.zeros(size, bool)
  for i, row in enumerate(rows):
    words[i, : len(row)], real[i] = row, bool(row)
  batch = sharding.place_batch({"concepts": words, "real": real}, mesh)
  decoded = jax.device_get(task.predict(variables, batch))
  return [task.outputs(decoded, i)[0][0] if row else [] for i, row in enumerate(rows)]


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code: 0 done, 1 could not be written, 2 bad input."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.infer.pseudo_captions", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      epilog="exit code: 0 done, 1 could not be written, 2 wrong usage or bad input",
  )  # fmt: skip
  add = parser.add_argument
  add("--workdir", type=Path, required=True, metavar="FOLDER", help="of the trained run")
  add("--concepts", type=Path, required=True, metavar="FILE", help="detections in the pictures")
  add("--out", type=Path, required=True, metavar="FILE", help="where to write the captions")
  o = parser.parse_args(arguments)
  try:
    written = write(o.workdir, o.concepts, o.out)
  except (CheckpointError, ConceptError, ConfigError, UnknownWordError) as e:
    print(f"pseudo_captions: {e}", file=sys.stderr)
    return 2
  except OSError as e:
    print(f"pseudo_captions: {e}", file=sys.stderr)
    return 1
  print(f"{written} captions in {o.out}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
