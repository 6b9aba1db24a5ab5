"""The road to captions without pairs: all stages on a small data set, and what they may not see."""

import json

import captions_set
import jax
import numpy as np
import pytest

from configs.flickr8k.unsupervised import full
from configs.tiny import tiny
from data_pipelines import datasets
from mmjax import api, chain
from mmjax import config as configs
from mmjax.checkpoint import read_run
from mmjax.config import ConfigError
from mmjax.infer import pseudo_captions
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet

ADJECTIVES = ("small", "big", "green", "old", "young", "brown")
CONFIG = """
from configs.flickr8k.unsupervised import {stage}
from configs.tiny import tiny


def get_config(language):
  c = tiny({stage}.get_config(language))
  c.encoder_from = ""
  c.model.encoder_name = "small"
  c.data.name, c.data.dir = "captioned", {data_dir!r}
  c.data.min_count = 1
  c.data.sentence_words = (4, 12)
  if c.data.canvas != (1, 1):
    c.data.canvas = (32, 48)
  c.data.max_area = 10_000
  c.train.epochs = {epochs}
  c.evaluate.metrics = ("bleu", "cider")
  return c
"""
EPOCHS = {"concept_to_sentence": 12}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with a data set, a corpus, detections and configs of the stages."""
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1, 1), "width": 8}))
  folder = tmp_path_factory.mktemp("unpaired")
  captions_set.Captioned(data_dir=folder, file_format="array_record").download_and_prepare()
  sentences = [
      f"a {a} {n} runs over the {b} grass"
      for n in captions_set.NOUNS for a in ADJECTIVES for b in ADJECTIVES
  ]  # fmt: skip
  order = np.random.default_rng(0).permutation(len(sentences))
  (folder / "corpus.txt").write_text("\n".join(sentences[i] for i in order) + "\n")
  with open(folder / "detections.jsonl", "w") as lines:
    for split, count in captions_set.COUNTS.items():
      for number in range(count):
        noun = number % 4
        objects = [{"label": captions_set.NOUNS[noun], "score": 0.9, "class": noun}]
        if number == 3:
          objects = []
        lines.write(json.dumps({"id": f"{split}-{number}", "objects": objects}) + "\n")
  (folder / "configs").mkdir()
  for stage in chain.STAGES:
    text = CONFIG.format(stage=stage, data_dir=str(folder), epochs=EPOCHS.get(stage, 1))
    (folder / "configs" / f"{stage}.py").write_text(text)
  yield folder
  patch.undo()


def command(place, workdir, *more):
  return [f"--workdir={workdir}", f"--corpus={place / 'corpus.txt'}",
          f"--concepts={place / 'detections.jsonl'}", f"--configs={place / 'configs'}", *more]  # fmt: skip


@pytest.fixture(scope="module")
def chained(place):
  workdir = place / "w"
  assert chain.main(command(place, workdir)) == 0
  return workdir


def stage_config(chained, stage, **changes):
  return configs.override(api.stored_config(chained / stage), changes)


def test_captions_are_made_up_from_detections(place, chained):
  rows = [json.loads(x) for x in (chained / chain.CAPTIONS).read_text().splitlines()]
  assert len(rows) == 31 and sum(not row["words"] for row in rows) == 2
  named = [captions_set.NOUNS[int(r["id"].split("-")[1]) % 4] in r["words"] for r in rows]
  assert sum(named) > 20  # of 29; a noun at random is right in a quarter
