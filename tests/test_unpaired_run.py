"""The road to captions without pairs: all stages on a small data set, and what they may not see."""

import json
import pathlib

import captions_set
import jax
import numpy as np
import pytest

from data_pipelines import datasets
from mmjax import api, chain, experiment, splits
from mmjax import config as configs
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
  c.optim.lr, c.model.dropout = 0.03, 0.0
  c.evaluate.every_epochs = {epochs}
  c.evaluate.metrics = ("bleu", "cider")
  c.log.every_steps = 6
  return c
"""
EPOCHS = {"concept_to_sentence": 14}


def prepare(folder):
  """A data set, a corpus, detections and configs of the stages."""
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
        row = {"id": f"{split}-{number}", "objects": objects if number != 3 else []}
        lines.write(json.dumps(row) + "\n")
  (folder / "configs").mkdir()
  for stage in chain.STAGES:
    text = CONFIG.format(stage=stage, data_dir=str(folder), epochs=EPOCHS.get(stage, 1))
    (folder / "configs" / f"{stage}.py").write_text(text)
  return folder


@pytest.fixture(scope="module")
def patch():
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1, 1), "width": 8}))
  yield patch
  patch.undo()


@pytest.fixture(scope="module")
def place(patch, tmp_path_factory):
  return prepare(tmp_path_factory.mktemp("unpaired"))


def command(place, workdir, *more):
  files = [f"--corpus={place / 'corpus.txt'}", f"--concepts={place / 'detections.jsonl'}"]
  return [f"--workdir={workdir}", *files, f"--configs={place / 'configs'}", *more]


@pytest.fixture(scope="module")
def chained(place):
  workdir = place / "w"
  assert chain.main(command(place, workdir)) == 0
  return workdir


def stage_config(place, stage, **changes):
  config = configs.load(f"{place / 'configs' / stage}.py:en")
  files = {"corpus": "corpus.txt", "concepts": "detections.jsonl"}
  found = {f"data.{key}": str(place / name) for key, name in files.items()}
  return configs.override(config, found | changes)


def numbers(workdir, name):
  rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  return [row[name] for row in rows if name in row]


def test_captions_are_made_up_from_detections(chained):
  rows = [json.loads(x) for x in (chained / chain.CAPTIONS).read_text().splitlines()]
  told = [r for r in rows if r["words"]]
  silent = [r["id"] for r in rows if not r["words"]]
  assert len(told) == 29 and silent == ["train-3", "validation-3"]
  named = [captions_set.NOUNS[int(r["id"].split("-")[1]) % 4] in r["words"] for r in told]
  assert sum(named) > 20  # of 29, where a noun at random is right in a quarter


def test_players_begin_with_the_stages_before(chained):
  load = lambda stage: api.load_predictor(chained / stage).variables["params"]
  early, late = load("concept_to_sentence"), load("feature_to_sentence")
  change = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), early, late)
  assert 0 < change["generator"]["embedding"] < 0.02  # three steps at a tenth of the rate
  assert max(jax.tree.leaves(change["discriminator"])) > 0.05  # it is not that of the first stage
  assert numbers(chained / "full", "train/discriminator_loss")
  assert numbers(chained / "full", "train/sentence") and numbers(chained / "full", "train/reward")


def test_a_stage_of_pictures_is_scored_by_its_true_captions(chained):
  scores = api.evaluate(api.stored_config(chained / "full"), chained / "full")
  assert scores["pictures"] == 7 and {"bleu_4", "cider"} < scores.keys()
  folder = chained / "full" / "evaluate" / "validation"
  rows = [json.loads(x) for x in (folder / "predictions.jsonl").read_text().splitlines()]
  assert rows[0]["references"] == list(captions_set.texts_of(0))
  page = (folder / "report.html").read_text()
  assert all(row["id"] in page for row in rows) and '<details class="attention"' not in page
  scores = api.evaluate(
      api.stored_config(chained / "concept_to_sentence"), chained / "concept_to_sentence")
  assert scores["pictures"] == 3 and scores["token_accuracy"] > 0.3  # two of each hundred sentences


def test_a_chain_goes_on_where_it_stopped(place, chained, capfd):
  (chained / "full" / chain.DONE).unlink()
  assert chain.main(command(place, chained)) == 0
  said = capfd.readouterr().err
  assert said.count(": done") == 4 and "already trained to step 3; nothing to do" in said
  assert chain.main(command(place, chained, "--set=concept_to_sentence.optim.b1=0.8")) == 2
  assert "optim.b1: 0.9 there, 0.8 now" in capfd.readouterr().err


def test_captions_of_the_training_pictures_are_never_seen(patch, place, chained, tmp_path):
  """Other captions in the data set, the same parameters behind a stage."""
  with patch.context() as inside:
    inside.setattr(captions_set, "texts_of", lambda number: ("the secret words",) * 2)
    other = prepare(tmp_path / "other")
  trained = []
  for data, name in ((place, "one"), (other, "two")):
    config = stage_config(data, "full")
    api.train(config, tmp_path / name)
    trained.append(api.load_predictor(tmp_path / name))
  one, two = trained
  assert one.vocabulary == two.vocabulary and "secret" not in two.vocabulary.words
  jax.tree.map(np.testing.assert_array_equal, one.variables, two.variables)

  made_up = stage_config(
      other, "feature_to_sentence", **{"data.captions": str(chained / chain.CAPTIONS)}
  )
  builder = splits.open_dataset(made_up)
  task = experiment.make_task(made_up, two.vocabulary)
  split = splits.load_training_split(made_up, builder, task)
  rows = map(json.loads, (chained / chain.CAPTIONS).read_text().splitlines())
  captions = [row["caption"] or "" for row in rows if row["id"].startswith("train-")]
  assert [texts for texts in split.references] == [[c] for c in captions]


@pytest.mark.parametrize(
    "stage, changes, message",
    [
        ("full", {"data.corpus": ""}, "config.data.corpus is '': name the file"),
        ("full", {"data.concepts": "none.jsonl"}, "config.data: none.jsonl: cannot be read"),
        ("full", {"data.sentence_words": (9, 12)}, "no sentence of 9 words"),
        ("full", {"players_from.generator": "nowhere"}, "generator is 'nowhere', which holds no"),
        ("feature_to_sentence", {}, "config.data.captions is ''"),
        ("feature_to_sentence", {"data.captions": "none.jsonl"}, "no file of made-up captions"),
        ("sentence_gan", {"unpaired.concept": 1.0}, "noise shows nothing"),
        ("sentence_gan", {"data.train_split": "test"}, "no split 'test', only: train, validation"),
    ],
)
def test_wrong_settings_are_named(place, tmp_path, stage, changes, message):
  with pytest.raises(ConfigError, match=message):
    api.train(stage_config(place, stage, **changes), tmp_path / "w")


def test_stages_with_other_words_do_not_go_together(place, chained, tmp_path, capsys):
  lines = (place / "corpus.txt").read_text()
  (tmp_path / "corpus.txt").write_text(lines.replace("brown", "white"))
  config = stage_config(place, "full", **{
      "data.corpus": str(tmp_path / "corpus.txt"),
      "players_from.generator": str(chained / "feature_to_sentence"),
  })  # fmt: skip
  with pytest.raises(api.ERRORS, match=r"config.players_from.generator: .* with other words"):
    api.train(config, tmp_path / "w")
  detections = tmp_path / "detections.jsonl"
  objects = [{"label": "unicorn", "score": 1.0, "class": 9}]
  detections.write_text(json.dumps({"id": "a", "objects": objects}))
  arguments = [f"--concepts={detections}", f"--out={tmp_path / 'out.jsonl'}"]
  stage = lambda name: [f"--workdir={chained / name}", *arguments]
  assert pseudo_captions.main(stage("full")) == 2
  assert "no run that writes sentences from concepts" in capsys.readouterr().err
  assert pseudo_captions.main(stage("nowhere")) == 2
  assert pseudo_captions.main(stage("concept_to_sentence")) == 2
  assert "does not know unicorn" in capsys.readouterr().err
  assert not (tmp_path / "out.jsonl").exists()


def test_changes_of_configs_are_checked(place, tmp_path, capsys):
  assert chain.main(command(place, tmp_path / "w", "--set=optim.leer=1")) == 2
  assert "nearest: optim.lr" in capsys.readouterr().err
  folder = pathlib.Path(chain.__file__).parents[1] / "configs" / "flickr8k" / "unsupervised"
  made = chain.stage_configs(folder, "zh", {}, ["full.optim.lr=0.5", "data.batch=64"])
  assert made["full"].optim.lr == 0.5 and made["sentence_gan"].optim.lr == 1e-4
  assert all(c.data.batch == 64 and c.data.language == "zh" for c in made.values())
