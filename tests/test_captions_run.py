"""Captions from a data set to scores: a small run over cached features, and what it leaves."""

import json
import shutil

import captions_set
import jax
import numpy as np
import pytest
from flax import linen as nn

from configs.flickr8k import sat_en, transformer_en
from configs.tiny import tiny
from data_pipelines import datasets
from mmjax import api, experiment, features, splits
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet
from mmjax.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def config(tmp_path_factory):
  """Show, Attend and Tell at its smallest on 24 captioned pictures."""
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1, 1), "width": 8}))
  folder = tmp_path_factory.mktemp("captions")
  captions_set.Captioned(data_dir=folder, file_format="array_record").download_and_prepare()
  c = tiny(sat_en.get_config())
  c.encoder_from = ""
  c.model.encoder_name = "small"
  c.data.name, c.data.dir = "captioned", str(folder)
  c.data.min_count = 1
  c.data.canvas = (32, 48)
  c.data.max_area = 10_000
  c.optim.lr, c.optim.ema = 0.02, 0.9
  c.train.epochs = 30
  c.evaluate.every_epochs = 15
  c.evaluate.metrics = ("bleu", "cider")
  yield c.lock()
  patch.undo()


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("captioner") / "run"
  api.train(config, workdir)
  return workdir


def numbers(workdir, name):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [row[name] for row in map(json.loads, lines) if name in row]


def test_it_learns_and_leaves_the_encoder_alone(config, trained):
  losses = numbers(trained, "train/loss")
  assert losses[0] > 2 and losses[-1] < 0.6 * losses[0]
  assert numbers(trained, "train/attention_penalty")
  predictor = api.load_predictor(trained, config)
  fresh = predictor.task.init(_key(config))
  before, after = fresh["params"]["encoder"], predictor.variables["params"]["encoder"]
  flat = lambda tree: np.concatenate([np.ravel(x) for x in _leaves(tree)])
  np.testing.assert_array_equal(flat(before), flat(after))


def test_scores_and_predictions_of_a_split(config, trained):
  scores = api.evaluate(config, trained)
  assert {"bleu_1", "bleu_4", "cider", "loss"} < scores.keys() and scores["pictures"] == 7
  lines = (trained / "evaluate" / "validation" / "predictions.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  assert len(rows) == 7 and rows[0]["references"] == list(captions_set.texts_of(0))
  assert all(row["hypothesis"] and row["cider"] >= 0 for row in rows)
  assert np.isclose(np.mean([row["cider"] for row in rows]), scores["cider"])
  page = (trained / "evaluate" / "validation" / "report.html").read_text()
  assert all(row["hypothesis"] in page for row in rows)
  assert page.count('<details class="attention"') == 7 and "validation" in page


def test_pictures_and_cached_features_give_the_same_caption(config, trained):
  predictor = api.load_predictor(trained, config)
  pixels = [captions_set.pixels(40 + n % 5 * 8, 60 - n % 3 * 16, n + 100) for n in range(1, 7)]
  answers = predictor.predict([*map(_jpeg, pixels), b"no picture"])
  lines = (trained / "evaluate" / "validation" / "predictions.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines][1:]
  assert [a.text for a in answers[:-1]] == [row["hypothesis"] for row in rows]
  np.testing.assert_allclose(
      [a.score for a in answers[:-1]], [row["score"] for row in rows], atol=5e-3)  # float16
  assert answers[0].others and answers[-1].error


def test_features_are_computed_once_and_go_on_where_they_stopped(config, trained, monkeypatch):
  folder = splits.data_dir(config) / "features" / "captioned"
  (file,) = folder.glob("validation-*.npy")
  whole = np.load(file)
  assert whole.shape == (7, 4, 6, 64) and whole.dtype == np.float16 and whole.any((1, 2, 3)).all()

  def no_compute(*_):
    raise AssertionError("computed again")

  with monkeypatch.context() as patch:
    patch.setattr(features, "_compute", no_compute)
    api.evaluate(config, trained)
    squeezed = configs.override(config, {"data.canvas": (32, 32)})
    with pytest.raises(AssertionError):
      api.evaluate(squeezed, trained)
  partial = file.with_suffix(".partial")
  np.save(partial.with_suffix(".npy"), whole * (np.arange(7) > 3)[:, None, None, None])
  file.rename(partial)
  file.with_suffix(".done").write_text("0")
  api.evaluate(config, trained)
  np.testing.assert_array_equal(np.load(file), whole)
  assert sorted(p.suffix for p in folder.glob("validation-*")) == [".npy"]


def test_a_full_disk_is_said_before_anything_is_written(config, trained, monkeypatch):
  usage = shutil.disk_usage("/")._replace(free=10)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
  small = configs.override(config, {"data.canvas": (48, 48)})
  with pytest.raises(OSError, match=r"features of validation need .* make room"):
    api.evaluate(small, trained)


def test_a_run_starts_from_another(config, trained, tmp_path):
  tuned = configs.override(
      config,
      {"init_from": str(trained), "data.cache_features": False, "train.epochs": 1,
       "optim.lr": 1e-6, "optim.factors": (("encoder/conv|encoder/norm|encoder/stage1", 0.0),)},
  )  # fmt: skip
  api.train(tuned, tmp_path / "tuned")
  first, last = numbers(tmp_path / "tuned", "train/loss")[0], numbers(trained, "train/loss")[-1]
  assert abs(first - last) < 0.3


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data.language": "zh"}, "captioned has no captions in config.data.language='zh'"),
        ({"data.language": "fr"}, "no language 'fr'; there are: en, zh"),
        ({"data.min_count": 1000}, "config.data.min_count is 1000: no word stands"),
        ({"encoder_from": "package"}, "no package has weights of small"),
        ({"optim.factors": (("nothing/", 0.0),)}, "no parameter is left for nothing/"),
        ({"optim.factors": (("encoder/", -1.0),)}, "give pairs like"),
        ({"optim.factors": ()}, "is for a frozen encoder"),
        ({"data.resize": "fit"}, "cache_features needs one canvas"),
        ({"data.augment.flip": True}, "keeps no augmented pictures"),
        ({"evaluate.metrics": ("exprate",)}, "exprate does not score captions"),
    ],
)
def test_wrong_settings_are_named(config, tmp_path, changes, message):
  with pytest.raises((ConfigError, *api.ERRORS), match=message):
    api.train(configs.override(config, changes), tmp_path / "w")


def test_the_transformer_learns(config, tmp_path):
  c = tiny(transformer_en.get_config())
  c.encoder_from, c.model.encoder_name = "", "small"
  c.data, c.evaluate = config.data, config.evaluate
  c.optim.lr, c.train.epochs = 0.01, 15
  api.train(c.lock(), tmp_path / "w")
  losses = numbers(tmp_path / "w", "train/loss")
  assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("drift", [False, True])
def test_running_statistics_move_only_where_they_are_let(config, drift):
  words = Vocabulary.from_words(["<unk>", "a", "dog"])
  drifting = config.copy_and_resolve_references().unlock()
  drifting.model.encoder_drift = drift
  task = experiment.make_task(drifting.lock(), words)
  variables = nn.unbox(task.init(jax.random.key(0)))
  batch = {
      "image": np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8),
      "size": np.full((2, 2), 32),
      "tokens": np.array([[4, 5], [5, 0]]),
      "length": np.array([2, 1]),
      "real": np.ones(2, bool),
  }
  before = variables.pop("batch_stats")
  loss = jax.jit(task.loss)
  _, (_, _, after) = loss(variables["params"], {"batch_stats": before}, batch, jax.random.key(1))
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after["batch_stats"])
  assert any(jax.tree.leaves(moved)) == drift


def _jpeg(pixels):
  return captions_set.jpeg(pixels)


def _key(config):
  return jax.random.key(config.seed)


def _leaves(tree):
  return jax.tree.leaves(nn.unbox(tree))
