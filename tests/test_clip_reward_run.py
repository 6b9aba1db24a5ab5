"""The road of CLIP rewards from a data set to scores: likelihood, a judge, then rewards."""

import json

import captions_set
import pytest

from configs.flickr8k import clip, clip_reward_cider, clip_reward_mle
from configs.tiny import tiny
from data_pipelines import datasets
from mmjax import api
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet


@pytest.fixture(scope="module")
def small(tmp_path_factory):
  """Makes a config small, on 24 captioned pictures."""
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1, 1), "width": 8}))
  folder = tmp_path_factory.mktemp("captions")
  captions_set.Captioned(data_dir=folder, file_format="array_record").download_and_prepare()

  def make(config):
    c = tiny(config)
    c.encoder_from = ""
    c.model.encoder_name = "small"
    c.data.name, c.data.dir = "captioned", str(folder)
    c.data.min_count = 1
    c.data.canvas = (32, 48)
    c.data.max_area = 10_000
    c.train.epochs = 1
    if "metrics" in c.evaluate:
      c.evaluate.metrics = ("bleu", "cider")
    return c.lock()

  yield make
  patch.undo()


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
  """Workdirs of a captioner and of a judge."""
  folder = tmp_path_factory.mktemp("clip_reward")
  api.train(small(clip_reward_mle.get_config()), folder / "mle")
  api.train(small(clip.get_config()), folder / "clip")
  return folder


def rewarded(small, runs, **changes):
  config = small(clip_reward_cider.get_config())
  weights = {"reward.weights.clip_s": 2.0, "reward.weights.grammar": 1.0}
  found = {"init_from": str(runs / "mle"), "reward.judge": str(runs / "clip"), "reward.kl": 0.1}
  return configs.override(config, weights | found | changes)


def test_a_judge_has_recalls(small, runs):
  scores = api.evaluate(small(clip.get_config()), runs / "clip")
  assert scores["pictures"] == 7 and 0 < scores["text_recall_10"] <= 100
  assert {"picture_recall_1", "recall_mean", "grammar_sound", "grammar_swap"} <= scores.keys()
  lines = (runs / "clip" / "evaluate" / "validation" / "predictions.jsonl").read_text()
  assert all(len(json.loads(line)["cosines"]) for line in lines.splitlines())


def test_rewards_reach_the_loop(small, runs):
  config = rewarded(small, runs)
  scores = api.train(config, runs / "rewarded")
  assert "cider" in scores
  lines = (runs / "rewarded" / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  first = next(row for row in rows if "train/reward" in row)
  names = {"baseline", "entropy", "length", "repetition", "kl", "reward_cider_d", "reward_clip_s",
           "reward_grammar"}  # fmt: skip
  assert {f"train/{name}" for name in names} <= first.keys()
  assert first["train/kl"] < 1e-4  # it began where likelihood ended
  parts = (first["train/reward_cider_d"] + 2 * first["train/reward_clip_s"]
           + first["train/reward_grammar"])  # fmt: skip
  assert first["train/reward"] == pytest.approx(parts, rel=1e-4)
  assert api.evaluate(config, runs / "rewarded")["pictures"] == 7


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"reward.judge": ""}, "config.reward.judge is ''; give the workdir of a run"),
        ({"init_from": ""}, "config.reward.kl needs config.init_from"),
        ({"data.min_count": 2}, "config.reward.judge: .* has other words"),
        ({"reward.baseline": "mean"}, "no baseline 'mean'"),
    ],
)
def test_wrong_settings_are_named(small, runs, tmp_path, changes, message):
  with pytest.raises(ConfigError, match=message):
    api.train(rewarded(small, runs, **changes), tmp_path / "w")


def test_a_captioner_is_no_judge(small, runs, tmp_path):
  with pytest.raises(ConfigError, match="is a run of the task captioning, not of contrastive"):
    api.train(rewarded(small, runs, **{"reward.judge": str(runs / "mle")}), tmp_path / "w")
