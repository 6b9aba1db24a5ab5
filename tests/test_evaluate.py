import json
import re
import shutil

import numpy as np
import pytest

from data_pipelines import datasets
from mmjax import api, experiment
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.evaluate import Evaluator, load_trained
from mmjax.metrics.__main__ import main as metrics
from mmjax.metrics.exprate import exprate
from mmjax.metrics.registry import METRICS
from mmjax.report.evaluation import attention_maps


@pytest.fixture(scope="module")
def evaluated(trained, tiny_config):
  """(scores, folder) of an evaluation of the validation split."""
  return api.evaluate(tiny_config, trained), trained / "evaluate" / "validation"


@pytest.fixture(scope="module")
def rows(evaluated) -> list[dict]:
  lines = (evaluated[1] / "predictions.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_the_files_agree(evaluated, rows, formulas, trained):
  scores, folder = evaluated
  assert json.loads((folder / "scores.json").read_text()) == scores
  split = datasets.load("synthetic", formulas).info.splits["validation"]
  assert len(rows) == len({r["id"] for r in rows}) == split.num_examples == scores["pictures"]
  words = [None if r["hypothesis"] is None else r["hypothesis"].split() for r in rows]
  again = exprate(words, [r["reference"].split() for r in rows])
  assert {k: scores[k] for k in again} == again
  assert (trained / "best" / str(scores["step"])).is_dir() and scores["ser"] > 0


def test_the_command_of_metrics_agrees(evaluated, capsys):
  scores, folder = evaluated
  file = folder / "predictions.jsonl"
  assert metrics([f"--refs={file}", f"--hyps={file}", "--metrics=exprate", "--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  names = METRICS["exprate"].scores
  assert {k: found[k] for k in names} == pytest.approx({k: scores[k] for k in names})


def test_dropped_samples_are_listed_and_wrong(evaluated, rows, tiny_config):
  long = [r for r in rows if len(r["reference"].split()) > tiny_config.data.max_tokens]
  assert 0 < len(long) < len(rows) and evaluated[0]["dropped"] == len(long)
  for r in rows:
    if r in long:
      assert r["hypothesis"] is None and r["score"] is None and not r["exact"]
      assert r["distance"] == len(r["reference"].split())
    else:
      assert isinstance(r["hypothesis"], str) and np.isfinite(r["score"])


def test_the_report_shows_samples_attention_and_curves(evaluated, rows):
  scores, folder = evaluated
  page = (folder / "report.html").read_text()
  shown = re.findall(r"synthetic-\d+", page)
  assert set(shown) == {r["id"] for r in rows}
  assert page.count('<details class="attention"') == len(rows) - scores["dropped"]
  assert "over the size limits" in page and "train/loss" in page
  assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_attention_is_a_distribution_over_the_cells_of_the_picture(trained, tiny_config):
  mesh = experiment.make_mesh(tiny_config)
  task, variables, *_ = load_trained(tiny_config, trained, None, mesh)
  builder = experiment.open_dataset(tiny_config)
  evaluator = Evaluator(tiny_config, builder, "validation", task, mesh)
  written = {i: p for i, p in enumerate(evaluator.run(variables)[1]) if p}
  seen = attention_maps(evaluator, variables, written)
  assert seen.keys() == written.keys()
  for record, (picture, cells) in seen.items():
    assert len(cells) == len(written[record].words) + 1
    assert cells.shape[1:] == tuple(-(-side // 16) for side in picture.shape)
    assert cells.min() >= 0
    np.testing.assert_allclose(cells.sum((1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("metric", ["foo", "ser"])
def test_the_metric_that_selects_must_rise_with_quality(trained, tiny_config, metric):
  before = (trained / "run.json").read_text()
  config = configs.override(tiny_config, {"evaluate.metric": metric})
  with pytest.raises(ConfigError, match=f"{metric}.*use one of exprate, exprate_1"):
    api.train(config, trained)
  assert (trained / "run.json").read_text() == before  # evaluation reads its config from there


def test_the_config_names_the_metrics(trained, tiny_config, evaluated):
  config = configs.override(tiny_config, {"evaluate.metrics": ("exprate_1", "im2latex")})
  config = configs.override(config, {"evaluate.metric": "exprate_1"})
  mesh = experiment.make_mesh(config)
  task, *_ = load_trained(config, trained, None, mesh)
  reference = [["x", "+", "1"], ["y"]]
  assert task.score([["x", "-", "1"], None], reference).keys() == {
      "exprate_1", "bleu_multi", "edit", "exact"}  # fmt: skip
  assert task.score(reference, reference)["edit"] == 1
  for name, message in (("exprte", "no metric 'exprte'; did you mean exprate"),
                        ("clipscore", "'clipscore'.*give --clip_embeddings=FILE")):  # fmt: skip
    wrong = configs.override(tiny_config, {"evaluate.metrics": (name,)})
    with pytest.raises(ConfigError, match=message):
      api.evaluate(wrong, trained)


def test_a_run_from_before_metrics_had_names_scores_as_ever(trained, tiny_config, tmp_path):
  shutil.copytree(trained, tmp_path / "run")
  stored = json.loads((trained / "run.json").read_text())
  del stored["config"]["evaluate"]["metrics"]
  (tmp_path / "run" / "run.json").write_text(json.dumps(stored))
  config = api.stored_config(tmp_path / "run")
  task, *_ = load_trained(config, tmp_path / "run", None, experiment.make_mesh(config))
  assert task.metrics == ("exprate",)


def test_unknown_split_and_too_small_limits(trained, tiny_config):
  with pytest.raises(ConfigError, match="no split 'tset', only train, validation, test"):
    api.evaluate(tiny_config, trained, "tset")
  with pytest.raises(ConfigError, match="validation: no records"):
    api.evaluate(configs.override(tiny_config, {"data.max_tokens": 0}), trained)
  with pytest.raises(ConfigError, match=r"config\.data\.high is \(3,\); give two numbers"):
    api.evaluate(configs.override(tiny_config, {"data.high": (3,)}), trained)


def test_another_model_is_refused_and_harms_nothing(trained, tiny_config):
  before = sorted(trained.rglob("*"))
  for change in ({"model.width": 32}, {"model.layers": 2}):
    with pytest.raises(ConfigError, match="use another --workdir"):
      api.evaluate(configs.override(tiny_config, change), trained)
  assert sorted(trained.rglob("*")) == before


def test_the_newest_state_serves_where_no_best_is_left(trained, tiny_config, tmp_path):
  """Also with another optimizer in the config: a whole state is read as the run made it."""
  shutil.copytree(trained, tmp_path / "run")
  shutil.rmtree(tmp_path / "run" / "best")
  config = configs.override(tiny_config, {"optim.name": "adamw", "optim.ema": 0.9})
  *_, step = load_trained(config, tmp_path / "run", None, experiment.make_mesh(config))
  newest = max(int(p.name) for p in (trained / "checkpoints").iterdir() if p.name.isdigit())
  assert step == newest and not (tmp_path / "run" / "broken").exists()
