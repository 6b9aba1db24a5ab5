"""Pictures in, text out, with a trained model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipelines.batching import Options, Plan, round_up
from data_pipelines.pipeline import LoadBatch, Records
from data_pipelines.transforms import FIT, Resize, resize
from mmjax import experiment, pretrained, sharding, splits
from mmjax.evaluate import load_trained
from mmjax.infer.pictures import PictureError, crop_to_ink, load_picture
from mmjax.report.attention import Seen, attention_maps


@dataclasses.dataclass(frozen=True)
class Answer:
  """What the model writes of a picture: its text and score, or why there is none."""

  text: str = ""
  score: float = float("-inf")
  words: tuple[str, ...] = ()
  error: str = ""
  others: tuple[tuple[str, float], ...] = ()  # further texts with their scores, best first


@dataclasses.dataclass(frozen=True)
class Predictor:
  """A task with trained variables."""

  config: ConfigDict
  task: Any
  variables: Any
  vocabulary: Any
  mesh: jax.sharding.Mesh

  @classmethod
  def load(cls, config: ConfigDict, workdir: Path, step: int | None = None) -> "Predictor":
    """The best (or the given) checkpoint of a workdir.

    Raises:
      CheckpointError: nothing trained there.
      ConfigError: the run has another model than `config`.
    """
    mesh = experiment.make_mesh(config)
    task, variables, vocabulary, _ = load_trained(config, workdir, step, mesh)
    return cls(config, task, variables, vocabulary, mesh)

  def predict(self, pictures: Sequence[Any]) -> list[Answer]:
    """Reads pictures: paths, encoded bytes, arrays or PIL images; a bad one gets an error."""
    answers: list[Answer] = [Answer()] * len(pictures)
    loaded, places = [], []
    for i, picture in enumerate(pictures):
      try:
        loaded.append(self.prepared(picture))
        places.append(i)
      except PictureError as e:
        answers[i] = Answer(error=str(e))
    for place, answer in zip(places, self._read(loaded)):
      answers[place] = answer
    return answers

  def attention(
      self, prepared: Sequence[np.ndarray], words: Sequence[Sequence[str]]
  ) -> dict[int, Seen]:
    """Where the model looks in each of the `prepared` pictures when it writes `words` of it.

    By number of the picture, where there is something to see: see `mmjax.report.attention`.
    """
    if not prepared:
      return {}
    written = dict(enumerate(words))
    plan, records = self._plan(prepared), self._records(prepared)
    return attention_maps(self.task, self.variables, self.mesh, plan, records, written)

  def _read(self, pictures: list[np.ndarray]) -> list[Answer]:
    if not pictures:
      return []
    plan = self._plan(pictures)
    disable = None if len(plan) > 1 else True
    records = self._records(pictures)
    tokens: list = [[[]] if splits.has_captions(self.config) else []] * len(pictures)
    load = LoadBatch(records, tokens, 0, 1, plan)
    answers = [Answer()] * len(pictures)
    for step in tqdm(range(len(plan)), desc="reading", unit="batch", leave=False, disable=disable):
      batch = sharding.place_batch(load.map(plan[step]), self.mesh)
      decoded = jax.device_get(self.task.predict(self.variables, batch))
      for row, record in enumerate(plan[step].records):
        if record >= 0:
          hypotheses = self.task.outputs(decoded, row)
          words, score = hypotheses[0]
          others = tuple((self.task.text(w), s) for w, s in hypotheses[1:])
          answers[record] = Answer(self.task.text(words), score, tuple(words), others=others)
    return answers

  @property
  def photographs(self) -> bool:
    """Whether pictures are taken as they are, in colour, not as formulas."""
    return splits.has_captions(self.config) or self._resize is not None

  @property
  def _resize(self) -> Resize | None:
    """How a model of the hub wants its pictures; None: as the config says."""
    return pretrained.resize(self.vocabulary) if pretrained.chosen(self.config) else None

  def _records(self, pictures: Sequence[np.ndarray]) -> Records:
    ids = [str(i) for i in range(len(pictures))]
    return Records(None, ids, held=list(pictures), channels=3 if self.photographs else 1)

  def prepared(self, picture: Any) -> np.ndarray:
    """Pixels as in training.

    Raises:
      PictureError: it cannot be used.
    """
    if self.photographs:
      return load_picture(picture, channels=3, polarity="as_is")
    return self._at_most(crop_to_ink(load_picture(picture))[..., 0])

  def _at_most(self, picture: np.ndarray) -> np.ndarray:
    """The picture shrunk to the largest area that training let through, as photographs need."""
    height, width = picture.shape
    factor = (self.config.data.max_area / (height * width)) ** 0.5
    if factor >= 1:
      return picture
    return resize(picture, max(1, round(height * factor)), max(1, round(width * factor)))

  def _plan(self, pictures: Sequence[np.ndarray]) -> Plan:
    """Few coarse shapes, so that a service compiles seldom; padding does not change an answer."""
    d = self.config.data
    shards = sharding.batch_shards(self.mesh)
    sizes = np.array([p.shape[:2] for p in pictures], np.int32)
    if splits.has_captions(self.config):
      options = experiment.data_options(self.config, self.mesh, train=False)
      if self._resize:
        options = dataclasses.replace(options, resize=self._resize, align=1)
      few = round_up(min(len(pictures), options.batch), shards)
      options = dataclasses.replace(options, batch=few, max_area=int(1e9), texts="each")
      return Plan(sizes, np.zeros((len(sizes), 1), np.int32), options, train=False)
    options = Options(
        batch=round_up(min(len(pictures), self.config.evaluate.batch), shards),
        max_pixels=d.max_pixels,
        multiple=shards,
        max_buckets=4,
        align=1 if self._resize else 64,
        scale=d.scale,
        low=tuple(d.low),
        high=tuple(d.high),
        max_area=int(sizes.astype(np.int64).prod(-1).max()),
        resize=self._resize or FIT,
    )
    return Plan(sizes, np.zeros(len(sizes), np.int32), options, train=False)
