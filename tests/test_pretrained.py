"""A tiny model of the hub: predicts from its folder, learns formulas, and is written back."""

import dataclasses
import json
import shutil

import captions_set
import jax
import numpy as np
import pytest

from configs import hub as hub_config
from data_pipelines import datasets
from mmjax import api, experiment, pretrained, splits
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.convert import hub
from mmjax.convert.hub import export
from mmjax.convert.hub.folder import read_state
from tests.convert import made_hub

pytest.importorskip("tokenizers", reason="pip install 'mmjax[hub]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return made_hub.make_folder(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture(scope="module")
def config(folder, formulas):
  changes = {
      "init_from": str(folder), "data.dir": str(formulas), "data.batch": 16, "data.max_tokens": 48,
      "optim.lr": 1e-2, "optim.warmup_steps": 1, "train.epochs": 12, "evaluate.batch": 16,
      "evaluate.max_buckets": 1, "evaluate.every_epochs": 12, "log.every_steps": 4,
      "checkpoint.every_steps": 20, "checkpoint.keep": 5,
  }  # fmt: skip
  return configs.override(hub_config.get_config("synthetic").lock(), changes)


@pytest.fixture(scope="module")
def run(config, folder, tmp_path_factory):
  """The workdir of a finished run, whose folder is gone."""
  workdir = tmp_path_factory.mktemp("run") / "run"
  copy = shutil.copytree(folder, workdir.parent / "source")
  api.train(configs.override(config, {"init_from": str(copy)}), workdir)
  shutil.rmtree(copy)
  return workdir


def picture():
  draw = np.random.default_rng(1)
  return draw.integers(0, 256, (5, 7, 3), dtype=np.uint8).repeat(9, 0).repeat(9, 1)


def test_a_folder_predicts_without_data_or_run(config, folder, tmp_path):
  """What the pipeline finds is what the model and its search find on the processor's pixels."""
  plain = configs.override(config, {"data.name": "", "data.dir": str(tmp_path)})
  predictor = api.load_predictor(tmp_path / "none", plain)
  (answer,) = predictor.predict([picture()])
  assert not answer.error and not (tmp_path / "none").exists()

  found = hub.read(folder)
  pixels = found.preprocessing.picture(picture())[None]
  variables = found.variables()
  numbers = predictor.task.predict(
      variables,
      {"image": pixels, "size": np.array([[32, 32]]), "real": np.ones(1, bool)},
  )
  best = np.asarray(numbers.tokens)[0, 0, : int(numbers.lengths[0, 0])]
  assert found.vocabulary.text(best) == answer.text
  assert numbers.scores[0, 0] == pytest.approx(answer.score, abs=1e-5)
  assert 0 < len(best) <= found.vocabulary.generation.words


def test_training_learns_and_the_workdir_does_without_the_folder(run, formulas):
  lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
  losses = [line["train/loss"] for line in lines if "train/loss" in line]
  assert losses[-1] < 0.8 * losses[0]
  stored = api.stored_config(run)
  scores = api.evaluate(stored, run)
  assert scores["pictures"] == 16 and np.isfinite(scores["loss"])
  rows = (run / "evaluate" / "validation" / "predictions.jsonl").read_text().splitlines()
  references = [json.loads(row)["reference"] for row in rows]
  words = pretrained.vocabulary(stored, run)
  task = experiment.make_task(stored, words)
  split = splits.load_split(stored, splits.open_dataset(stored), "validation", task)
  assert words.folder == run / "hub"
  assert [" ".join(words.decode(numbers)) for numbers in split.tokens] == references
  assert split.records.picture(0).ndim == 3


def test_resumed_equals_uninterrupted(run, tmp_path):
  again = tmp_path / "copy" / "again"
  shutil.copytree(run, again)
  steps = sorted(int(p.name) for p in (again / "checkpoints").iterdir() if p.name.isdigit())
  shutil.rmtree(again / "checkpoints" / str(steps[-1]))
  shutil.rmtree(again / "best")
  api.train(api.stored_config(again), again)
  states = []
  for workdir in (run, again):
    flags = [f"--workdir={workdir}", f"--output={tmp_path / workdir.name}"]
    assert export.main([*flags, f"--checkpoint={steps[-1]}"]) == 0
    states.append(read_state(tmp_path / workdir.name))
  assert steps[-1] > steps[-2] > 0
  for name, array in states[0].items():
    np.testing.assert_allclose(states[1][name], array, atol=1e-6, err_msg=name)


def test_a_run_written_back_is_the_same_model(run, config, folder, tmp_path):
  assert export.main([f"--workdir={run}", f"--output={tmp_path / 'out'}"]) == 0
  before, after = read_state(folder), read_state(tmp_path / "out")
  assert before.keys() == after.keys()
  assert any((before[name] != after[name]).any() for name in before)  # it has been trained
  plain = configs.override(config, {"data.name": "", "init_from": str(tmp_path / "out")})
  (there,) = api.load_predictor(tmp_path / "none", plain).predict([picture()])
  (here,) = api.load_predictor(run).predict([picture()])
  assert there.score == pytest.approx(here.score, abs=1e-5)
  assert there.text.replace(" ", "") == here.text.replace(" ", "")


def test_only_runs_of_the_hub_are_written(trained, tmp_path, capsys):
  assert export.main([f"--workdir={trained}", f"--output={tmp_path / 'out'}"]) == 1
  assert "only models that came from a folder of the hub" in capsys.readouterr().err


def test_settings_that_cannot_work(config, tmp_path):
  with pytest.raises(ConfigError, match=r"max_tokens is 500, the model has room for 56 tokens"):
    api.train(configs.override(config, {"data.max_tokens": 500}), tmp_path / "run")
  with pytest.raises(ConfigError, match=r"name it by --config\.init_from=FOLDER"):
    api.train(configs.override(config, {"init_from": ""}), tmp_path / "run")


def test_the_search_follows_the_folder_unless_the_config_says_otherwise(config, tmp_path):
  task = lambda **changes: experiment.make_task(
      configs.override(config, changes), pretrained.vocabulary(config, tmp_path)
  )
  given = task().generation
  assert (given.beam, given.words) == (2, 11)
  changed = task(**{"decode.beam": 4, "decode.max_length": 5, "decode.length_penalty": 0.5})
  rules = changed.generation
  assert (rules.beam, rules.words, rules.length_penalty) == (4, 5, 0.5)
  assert rules.stop == given.stop


def test_zero_is_a_token_and_padding_has_no_loss(config, tmp_path):
  task = experiment.make_task(config, pretrained.vocabulary(config, tmp_path))
  batch = {
      "tokens": np.array([[0, 5, 0, 0], [6, 7, 8, 9]]),
      "length": np.array([3, 4]),
      "real": np.array([True, False]),
  }
  tokens_in, tokens_out = jax.device_get(task.targets(batch))
  assert tokens_in[0, 0, :4].tolist() == [2, 0, 5, 0]
  assert tokens_out[:, 0].tolist() == [[0, 5, 0, 2, -1], [-1] * 5]

  several = batch | {"references": np.array([[[0, 5], [9, 0], [0, 0]], [[1, 1]] * 3]),
                     "reference_length": np.array([[2, 1, 0], [2, 2, 2]])}  # fmt: skip
  _, tokens_out = jax.device_get(task.targets(several))
  assert tokens_out.tolist() == [[[0, 5, 2], [9, 2, -1], [-1] * 3], [[-1] * 3] * 3]


def test_captions_are_learnt_in_the_tokens_of_the_folder(folder, tmp_path, monkeypatch):
  monkeypatch.setitem(
      datasets.DATASETS, "captioned", dataclasses.replace(captions_set.ROW, kind="captions")
  )
  captions_set.Captioned(data_dir=tmp_path, file_format="array_record").download_and_prepare()
  changes = {
      "init_from": str(folder), "data.dir": str(tmp_path), "data.batch": 8, "data.max_tokens": 48,
      "optim.lr": 1e-2, "optim.warmup_steps": 1, "train.epochs": 8, "evaluate.every_epochs": 8,
      "evaluate.batch": 8, "evaluate.max_buckets": 1, "log.every_steps": 1,
  }  # fmt: skip
  config = configs.override(hub_config.get_config("captioned").lock(), changes)
  config = configs.override(config, {"evaluate.metrics": ("bleu", "cider")})
  scores = api.train(config, tmp_path / "run")
  assert {"bleu_4", "cider", "loss"} <= scores.keys()
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  losses = [row["train/loss"] for row in map(json.loads, lines) if "train/loss" in row]
  assert losses[-1] < 0.8 * losses[0]
  api.evaluate(config, tmp_path / "run")
  rows = (tmp_path / "run" / "evaluate" / "validation" / "predictions.jsonl").read_text()
  assert json.loads(rows.splitlines()[0])["references"] == list(captions_set.texts_of(0))
  assert (tmp_path / "run" / "evaluate" / "validation" / "report.html").exists()
  (answer,) = api.load_predictor(tmp_path / "run", config).predict([picture()])
  assert not answer.error
