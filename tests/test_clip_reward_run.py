"""The road of CLIP rewards from a data set to scores: likelihood, a judge, then rewards."""

import json

import captions_set
import jax
import numpy as np
import pytest

from configs.flickr8k import clip, clip_grammar, clip_reward_cider, clip_reward_mle
from configs.tiny import tiny
from data_pipelines import datasets, pipeline
from mmjax import api, experiment, rewarding, splits
from mmjax import config as configs
from mmjax.checkpoint import read_run
from mmjax.config import ConfigError
from mmjax.convert import word_clip
from mmjax.infer import judge
from mmjax.infer.embed import Embedder, square
from mmjax.metrics import clipscore
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet
from mmjax.tasks.self_critical import Drawn
from mmjax.text.vocabulary import EOS, PAD, Vocabulary
from tests.made_clip import write_clip


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
    if "encoder_name" in c.model:
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


@pytest.fixture(scope="module")
def published(shared, tmp_path_factory):
  """A folder of small published CLIPs."""
  return write_clip(shared, tmp_path_factory.mktemp("published"))


def by_published(small, judge, **changes):
  weights = {"cider_d": 0.0, "clip_s": 2.0, "ref_clip_s": 1.0, "grammar": 1.0}
  weights = {f"reward.weights.{name}": weight for name, weight in weights.items()}
  config = small(clip_reward_cider.get_config())
  return configs.override(config, weights | {"reward.judge": str(judge)} | changes)


@pytest.mark.parametrize("prompt", [True, False])
def test_a_published_judge_gives_the_scores_of_that_clip(small, published, prompt):
  """Against CLIPScore of the written captions, by the network as it was converted."""
  config = by_published(small, published / "tuned.npz", **{"reward.prompt": prompt})
  builder, mesh = splits.open_dataset(config), experiment.make_mesh(config)
  vocabulary = splits.vocabulary_of(config, builder)
  task = experiment.make_task(config, vocabulary)
  split = splits.load_split(config, builder, "train", task)
  task = rewarding.attach(config, task, split, mesh)
  assert "encoder" not in task.judge.variables["params"]
  plan = split.plan(experiment.data_options(config, mesh, train=False), train=False)
  batch = next(pipeline.batches(plan, split.records, split.tokens))
  said = ["a dog runs", "grass", "over the green cat"]
  tokens = np.full((len(batch["real"]), len(said), 6), PAD, np.int32)
  for row, text in zip(tokens.swapaxes(0, 1), said):
    words = [*vocabulary.encode(text.split()), EOS]
    row[:, : len(words)] = words
  drawn = Drawn(tokens, (tokens != PAD).sum(-1))
  values = jax.device_get(jax.jit(task.judged)(batch, drawn))

  embedder = Embedder(published / "plain.npz", published / "merges.txt")
  side, read = embedder.side, embedder.captions
  if not prompt:
    without = embedder._tokenizer
    read = lambda texts: np.asarray(
        embedder._text(embedder._variables, without.rows(texts, 40)))
  for i in range(4):
    record = int(batch["record"][i])
    pixels = square(split.records.picture(record), side)[None]
    picture = np.asarray(embedder._image(embedder._variables, pixels))[0]
    references = read([" ".join(vocabulary.decode(words)) for words in split.tokens[record]])
    for j, caption in enumerate(read(said)):
      expected = clipscore.scores(picture, caption, references)
      assert values["clip_s"][i, j] == pytest.approx(expected["clipscore"], abs=2e-3)
      assert values["ref_clip_s"][i, j] == pytest.approx(
          expected["refclipscore_reward"], abs=2e-3)
  assert np.ptp(values["clip_s"]) > 0.05 and np.ptp(values["grammar"]) > 0.05


def test_a_published_judge_reaches_the_loop(small, published, tmp_path):
  api.train(by_published(small, published / "tuned.npz"), tmp_path / "w")
  rows = map(json.loads, (tmp_path / "w" / "metrics.jsonl").read_text().splitlines())
  first = next(row for row in rows if "train/reward" in row)
  parts = (2 * first["train/reward_clip_s"] + first["train/reward_ref_clip_s"]
           + first["train/reward_grammar"])  # fmt: skip
  assert first["train/reward"] == pytest.approx(parts, rel=1e-4)


def test_tuning_a_published_clip(small, published, tmp_path):
  sizes = {"features": 32, "picture_size": 32, "image_width": 64, "image_layers": 2, "patch": 8,
           "text_words": 516, "text_layers": 2, "text_length": 40}  # fmt: skip
  changes = {f"model.{name}": size for name, size in sizes.items()}
  changes |= {"data.canvas": (32, 32), "init_from": str(published / "plain.npz")}
  config = configs.override(small(clip_grammar.get_config()), changes)
  scores = api.train(config, tmp_path / "tuned")
  assert {"recall_mean", "grammar_sound", "grammar_shuffle"} <= scores.keys()
  vocabulary = splits.vocabulary_of(config, splits.open_dataset(config))
  start = word_clip.read(published / "plain.npz", vocabulary)
  given = by_published(small, tmp_path / "tuned")
  judge = rewarding.load_judge(given, vocabulary, experiment.make_mesh(config))
  assert judge.model.prompt and not config.model.prompt
  params = judge.variables["params"]
  jax.tree.map(np.testing.assert_array_equal, params["encoder"], start["params"]["encoder"])
  for name in ("textual", "text_proj"):
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params[name], start["params"][name])
    assert max(jax.tree.leaves(moved)) > 1e-5
  table, room = start["constants"]["pieces"], config.model.pieces
  ours = judge.variables["constants"]["pieces"]
  assert ours.shape[1] == room and (ours[:, : table.shape[1]] == table).all()
  assert read_run(tmp_path / "tuned")["config"]["model"]["name"] == "word_clip"


def test_a_published_judge_must_have_what_it_is_asked_for(small, published, tmp_path):
  for given, changes, message in (
      ("plain.npz", {}, "plain.npz has no head for grammar: train one with configs/flickr8k"),
      ("tuned.npz", {"data.language": "zh"}, "reads English, config.data.language is 'zh'"),
      ("none.npz", {}, "none.npz'; give the workdir of a run"),
  ):
    config = by_published(small, published / given, **changes)
    with pytest.raises(ConfigError, match=message):
      rewarding.load_judge(config, Vocabulary.from_words(["dog"]), experiment.make_mesh(config))
