r"""How a trained CLIP judges the captions of runs: do they fit their pictures, are they sound?

  python -m mmjax.infer.judge --judge=CLIP --split=test W1 W2 ...

CLIP is the workdir of a run of the task contrastive (configs/flickr8k/clip.py); each W has been
evaluated on the split (--mode=evaluate). The scores are printed and kept in
W/evaluate/SPLIT/judged.json, which `python -m mmjax.report.compare` shows, too.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mmjax import evaluate, experiment, features, splits
from mmjax.checkpoint import CheckpointError, read_run
from mmjax.config import ConfigError, from_dict
from mmjax.metrics import diversity, rewards
from mmjax.metrics.recall import recalls
from mmjax.report.runs import RunError, read_rows
from mmjax.text import captions

_BATCH = 64
_SHOWN = ("clip_s", "ref_clip_s", "picture_recall_1", "picture_recall_5", "picture_recall_10",
          "grammar", "repetition", "length_mean")  # fmt: skip


class Read(NamedTuple):
  """Captions as a judge reads them."""

  vectors: Float[np.ndarray, "N E"]
  sound: Float[np.ndarray, "N"]  # the probability that a caption is not a damaged one


class Judge:
  """A contrastive run that has looked at a split: its pictures and people's captions of them.

  Raises:
    CheckpointError: `workdir` holds no run, or nothing trained.
    ConfigError: its task is not contrastive, or there is no such split.
    NotPreparedError: its data set is not there.
  """

  def __init__(self, workdir: Path, split: str, data_dir: str = ""):
    run = read_run(workdir)
    if run is None:
      raise CheckpointError(f"{workdir} holds no run; give the workdir of configs/flickr8k/clip.py")
    config = from_dict(run["config"])
    if config.task != "contrastive":
      raise ConfigError(f"{workdir} is a run of the task {config.task}, not of contrastive")
    if data_dir:
      config.data.dir = data_dir
    mesh = experiment.make_mesh(config)
    builder = splits.open_dataset(config)
    self.task, self.variables, self.vocabulary, _ = evaluate.load_trained(
        config, workdir, None, mesh
    )
    evaluator = evaluate.Evaluator(config, builder, split, self.task, mesh)
    if config.data.cache_features:
      features.attach(
          config, evaluator.split, self.task, self.variables, evaluator.plan.options
      )
    _, made = evaluator.run(self.variables)
    self.seen = {
        id: p.words for id, p in zip(evaluator.split.index.ids, made) if p is not None
    }
    self.references = dict(zip(evaluator.split.index.ids, evaluator.split.references))
    self._words = captions.language(config.data.language).words
    apply: Any = self.task.model.apply
    self._read = jax.jit(lambda v, tokens, lengths: apply(v, tokens, lengths, method="read"))

  def read(self, texts: Sequence[str]) -> Read:
    """Vectors of captions, and whether they are sound."""
    rows = [self.vocabulary.encode(self._words(text)) for text in texts]
    longest = max(map(len, rows))
    vectors, sound = [], []
    for start in range(0, len(rows), _BATCH):
      part = rows[start : start + _BATCH]
      tokens = np.zeros((_BATCH, longest), np.int32)  # one shape to compile
      for row, words in zip(tokens, part):
        row[: len(words)] = words
      lengths = np.array([*map(len, part), *[0] * (_BATCH - len(part))], np.int32)
      read = self._read(self.variables, tokens, lengths)
      vectors.append(np.asarray(read.vectors)[: len(part)])
      sound.append(np.asarray(jax.nn.softmax(read.grammar)[: len(part), 1]))
    return Read(np.concatenate(vectors), np.concatenate(sound))

  def scores(self, hypotheses: dict[str, str]) -> dict[str, float]:
    """Scores of one caption for each picture; what they mean is in `main`'s help.

    Raises:
      RunError: a picture that the judge has not seen.
    """
    unseen = sorted(hypotheses.keys() - self.seen.keys())
    if unseen:
      raise RunError(f"the judge has not seen {len(unseen)} pictures, the first is {unseen[0]}; it"
                     " must be of the same data set")  # fmt: skip
    ids = [id for id in self.seen if id in hypotheses]
    texts = [hypotheses[id] for id in ids]
    read = self.read(texts)
    pictures = np.stack([self.seen[id].picture for id in ids])
    most = max(len(self.seen[id].texts) for id in ids)
    references = np.zeros((len(ids), most, pictures.shape[1]), np.float32)
    there = np.zeros((len(ids), most), bool)
    for i, id in enumerate(ids):
      found = self.seen[id].texts
      references[i, : len(found)], there[i, : len(found)] = found, True
    vectors = jnp.asarray(read.vectors)[:, None]
    fit = rewards.clip_s(jnp.asarray(pictures), vectors)
    with_references = rewards.ref_clip_s(fit, vectors, jnp.asarray(references), jnp.asarray(there))
    words = lambda text: " ".join(self._words(text))
    varied = diversity.measure(
        [[words(t) for t in self.references[id]] for id in ids], [words(t) for t in texts]
    )
    found = recalls(pictures, read.vectors, np.arange(len(ids)))
    return {
        "clip_s": float(fit.mean()),
        "ref_clip_s": float(with_references.mean()),
        **{name: value for name, value in found.items() if name.startswith("picture")},
        "grammar": float(read.sound.mean()),
        **varied.corpus(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; the exit code: 0 done, 2 bad input."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.infer.judge", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      epilog="clip_s: 2.5 cosine of picture and caption. ref_clip_s: its harmonic mean with the"
             " nearest reference's. picture_recall: how often a caption's own picture is among the"
             " nearest 1, 5, 10 of the split, in per cent. grammar: probability that a caption is"
             " none that was damaged. repetition: share of word pairs that a caption had before.",
  )  # fmt: skip
  parser.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
  parser.add_argument("--judge", required=True, type=Path, metavar="WORKDIR")
  parser.add_argument("--split", default="test")
  parser.add_argument("--data_dir", default="", help="where data sets are; as in the judge's run")
  given = parser.parse_args(arguments)
  try:
    folders = [workdir / "evaluate" / given.split for workdir in given.workdirs]
    rows = [read_rows(folder / "predictions.jsonl") for folder in folders]
    judge = Judge(given.judge, given.split, given.data_dir)
    people = {id: texts[0] for id, texts in judge.references.items() if id in judge.seen}
    named = {"people's first caption": judge.scores(people)}
    for workdir, folder, of_run in zip(given.workdirs, folders, rows):
      written = {id: row["hypothesis"] for id, row in of_run.items() if row.get("hypothesis")}
      if not written:
        raise RunError(f"{folder / 'predictions.jsonl'} has no captions")
      named[workdir.name] = judge.scores(written)
      about = {"judge": str(given.judge), "captions": len(written)}
      (folder / "judged.json").write_text(json.dumps(named[workdir.name] | about, indent=1) + "\n")
  except (CheckpointError, ConfigError, RunError, FileNotFoundError) as e:
    print(f"error: {e}", file=sys.stderr)
    return 2
  width = max(map(len, named))
  print(" " * width, *(f"{name.replace('picture_', ''):>11s}" for name in _SHOWN))
  for name, scores in named.items():
    print(f"{name:{width}s}", *(f"{scores[key]:11.4g}" for key in _SHOWN))
  return 0


if __name__ == "__main__":
  sys.exit(main())
