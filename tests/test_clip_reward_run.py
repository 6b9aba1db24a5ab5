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
from mmjax.infer import judge
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


def test_captions_of_runs_are_judged(small, runs, capsys):
  """Against the judge's own numbers: the cosines that its evaluation wrote of people's captions."""
  api.evaluate(small(clip.get_config()), runs / "clip")
  config = small(clip_reward_mle.get_config())
  api.evaluate(config, runs / "mle")
  lines = runs / "mle" / "evaluate" / "validation" / "predictions.jsonl"
  rows = [json.loads(line) for line in lines.read_text().splitlines()]
  for row in rows:  # a captioner that writes what the first of people wrote
    row["hypothesis"] = row["references"][0]
  lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
  command = [str(runs / "mle"), f"--judge={runs / 'clip'}", "--split=validation"]
  assert judge.main(command) == 0
  head, people, ours = capsys.readouterr().out.splitlines()
  assert people.split()[3:] == ours.split()[1:] and "clip_s" in head
  found = json.loads(lines.with_name("judged.json").read_text())
  own = (runs / "clip" / "evaluate" / "validation" / "predictions.jsonl").read_text().splitlines()
  cosines = [json.loads(line)["cosines"][0] for line in own]
  fit = [2.5 * max(c, 0) for c in cosines]
  assert found["clip_s"] == pytest.approx(sum(fit) / len(fit), abs=1e-5)
  assert 0 < found["grammar"] < 1 and found["picture_recall_10"] == 100  # of 7 pictures


def test_a_run_that_was_not_evaluated_is_not_judged(runs, capsys):
  assert judge.main([str(runs / "mle"), f"--judge={runs / 'clip'}", "--split=train"]) == 2
  assert "is missing; evaluate again" in capsys.readouterr().err
  assert judge.main([str(runs / "mle"), f"--judge={runs / 'mle'}", "--split=validation"]) == 2
  assert "of the task captioning, not of contrastive" in capsys.readouterr().err


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
