import json
import re
import shutil
from pathlib import Path

import pytest

from mmjax import api
from mmjax import config as configs
from mmjax.checkpoint import CheckpointError
from mmjax.config import ConfigError

ROOT = Path(__file__).parent.parent


def test_load_config_takes_dotted_keys():
  config = api.load_config(str(ROOT / "configs/crohme/bttr.py"), **{"optim.lr": 0.5})
  assert config.optim.lr == 0.5 and config.is_locked
  with pytest.raises(ConfigError, match=r"nearest: optim\.lr"):
    api.load_config(str(ROOT / "configs/crohme/bttr.py"), **{"optim.lrr": 0.5})


def test_a_workdir_remembers_its_config(trained, tiny_config, tmp_path):
  assert configs.flatten(api.stored_config(trained)) == configs.flatten(tiny_config)
  with pytest.raises(ConfigError, match="holds no run yet"):
    api.stored_config(tmp_path)
  with pytest.raises(ConfigError, match="holds no run yet"):
    api.load_predictor(tmp_path)


def test_a_finished_run_has_nothing_to_do(trained, tiny_config, capsys):
  before = (trained / "metrics.jsonl").read_text()
  assert api.train(tiny_config, trained) == {}
  assert "nothing to do" in capsys.readouterr().err
  assert (trained / "metrics.jsonl").read_text() == before


def test_nothing_trained_is_no_model(tiny_config, tmp_path):
  for use in (lambda: api.evaluate(tiny_config, tmp_path),
              lambda: api.load_predictor(tmp_path, tiny_config)):  # fmt: skip
    with pytest.raises(CheckpointError, match="train first"):
      use()
  assert list(tmp_path.iterdir()) == []


def test_processes_need_a_meeting_point(tiny_config):
  with pytest.raises(ConfigError, match="--processes=2 needs --coordinator"):
    api.set_up(tiny_config, processes=2)
  with pytest.raises(ConfigError, match="--process from 0 to 1"):
    api.set_up(tiny_config, "localhost:1", processes=2, process=2)


def test_a_mesh_that_does_not_fit_the_devices_is_refused(tiny_config, trained):
  config = configs.override(tiny_config, {"mesh.data": 3})
  with pytest.raises(ConfigError, match=r"mesh data=3 .* set config\.mesh"):
    api.load_predictor(trained, config)


def test_a_data_set_with_other_words_is_refused(trained, tiny_config, formulas, tmp_path):
  """As when a data set is prepared again with another vocabulary."""
  shutil.copytree(formulas, tmp_path / "data")
  (metadata,) = (tmp_path / "data" / "synthetic").glob("*/metadata.json")
  stored = json.loads(metadata.read_text())
  metadata.write_text(json.dumps(stored | {"vocabulary": [*stored["vocabulary"], r"\alpha"]}))
  config = configs.override(tiny_config, {"data.dir": str(tmp_path / "data")})
  for use in (api.train, api.evaluate):
    with pytest.raises(CheckpointError, match=r"words.*\\\\alpha.*use that data set|train on this"):
      use(config, trained)


def test_a_step_that_is_not_there_is_named_with_those_that_are(trained):
  there = sorted(int(p.name) for p in (trained / "checkpoints").iterdir() if p.name.isdigit())
  message = re.escape(f"no checkpoint of step 1 in {trained}; there are {there}")
  with pytest.raises(CheckpointError, match=message):
    api.load_predictor(trained, step=1)
