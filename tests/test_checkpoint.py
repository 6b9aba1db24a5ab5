"""Checkpoints: what is kept, what damage and a full disk do, what a workdir refuses."""

import logging
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import tiny
from configs.crohme import bttr_small
from mmjax import config as configs
from mmjax import splits
from mmjax.checkpoint import CheckpointError, Checkpoints, only_trainer, read_run, write_run
from mmjax.config import ConfigError
from mmjax.optim import new_plateau
from mmjax.train import train
from mmjax.train_state import TrainState


def state_of(step: int, ema: bool = True) -> TrainState:
  """A small state whose every number tells its step."""
  params = {"kernel": jnp.full((64, 64), float(step)), "bias": jnp.arange(64.0) + step}
  return TrainState(
      step=jnp.int32(step),
      params=params,
      model_state={"batch_stats": {"mean": jnp.full(8, float(step))}},
      opt_state=(jnp.int32(step), jax.tree.map(lambda x: -x, params)),
      ema=jax.tree.map(lambda x: x / 2, params) if ema else None,
      plateau=new_plateau(),
  )


def same(a, b) -> bool:
  return jax.tree.structure(a) == jax.tree.structure(b) and all(
      np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
  )


@pytest.fixture
def workdir(tmp_path):
  """States of steps 1, 2 and 3, the newest two kept; scores that are best at step 1."""
  checkpoints = Checkpoints(tmp_path, keep=2, keep_best=2)
  for step, score in ((1, 0.9), (2, 0.2), (3, 0.5)):
    state = state_of(step)
    checkpoints.save(step, state, {"step": step})
    checkpoints.save_best(step, state.variables, {}, score)
  checkpoints.close()
  return tmp_path


def truncate(folder) -> None:
  """Cuts the largest file of a checkpoint in half."""
  largest = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
  with open(largest, "r+b") as f:
    f.truncate(largest.stat().st_size // 2)


def delete(folder) -> None:
  next((folder / "state").glob("manifest.ocdbt")).unlink()


def test_the_newest_come_back_as_they_were(workdir):
  assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["2", "3"]
  checkpoints = Checkpoints(workdir)
  state, step = checkpoints.restore(state_of(0))
  assert step == 3 == checkpoints.latest_step() and same(state, state_of(3))
  checkpoints.save(3, state_of(7), {})  # it is there already: left as it is
  assert same(checkpoints.restore(state_of(0))[0], state_of(3))
  checkpoints.close()


def test_a_new_workdir_has_none(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  assert checkpoints.restore(state_of(0)) is None and checkpoints.latest_step() is None
  with pytest.raises(CheckpointError, match=r"no checkpoint in .*: train first"):
    checkpoints.restore_variables(state_of(0))
  checkpoints.close()


@pytest.mark.parametrize("damage", [truncate, delete])
def test_a_damaged_newest_gives_way_to_the_one_before(workdir, damage, caplog):
  damage(workdir / "checkpoints" / "3")
  checkpoints = Checkpoints(workdir)
  with caplog.at_level(logging.WARNING):
    state, step = checkpoints.restore(state_of(0))
  assert step == 2 and same(state, state_of(2))
  message = f"moved to {workdir / 'broken'}; going on from checkpoint 2"
  assert "checkpoint 3 is damaged" in caplog.text and message in caplog.text
  assert (workdir / "broken" / "3").is_dir()
  checkpoints.save(3, state_of(3), {})  # training writes it anew
  checkpoints.close()
  again = Checkpoints(workdir)
  assert same(again.restore(state_of(0))[0], state_of(3))
  again.close()


def test_where_all_are_damaged_nothing_is_moved(workdir):
  for step in (2, 3):
    truncate(workdir / "checkpoints" / str(step))
  checkpoints = Checkpoints(workdir)
  with pytest.raises(CheckpointError, match=r"none of the checkpoints \[3, 2\] in .* can be read"):
    checkpoints.restore(state_of(0))
  checkpoints.close()
  assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["2", "3"]


def test_another_model_is_no_damage(workdir):
  """Evaluating with the wrong config must not cost a run its checkpoints."""
  other = state_of(0).replace(params={"kernel": jnp.zeros((3, 3))}, ema=None, opt_state=())
  checkpoints = Checkpoints(workdir)
  with pytest.raises(CheckpointError, match="with these settings"):
    checkpoints.restore(other)
  with pytest.raises(CheckpointError, match="can be read"):
    checkpoints.restore_variables(other)
  assert same(checkpoints.restore(state_of(0))[0], state_of(3))
  checkpoints.close()


def test_the_best_by_score_are_kept(workdir):
  checkpoints = Checkpoints(workdir, keep_best=2)
  assert sorted(p.name for p in (workdir / "best").iterdir()) == ["1", "3"]
  checkpoints.save_best(4, state_of(4).variables, {}, 0.7)
  assert sorted(p.name for p in (workdir / "best").iterdir()) == ["1", "4"]
  checkpoints.save_best(5, state_of(5).variables, {}, 0.1)  # not among the best
  assert sorted(p.name for p in (workdir / "best").iterdir()) == ["1", "4"]
  checkpoints.close()


@pytest.mark.parametrize(("asked", "given"), [(None, 1), (1, 1), (3, 3), (2, 2)])
def test_variables_are_those_of_the_best_or_of_the_step(workdir, asked, given):
  checkpoints = Checkpoints(workdir)
  variables, step = checkpoints.restore_variables(state_of(0), asked)
  assert step == given and same(variables, state_of(given).variables)
  assert float(variables["params"]["kernel"][0, 0]) == given / 2  # the averaged parameters
  checkpoints.close()


def test_without_a_best_the_newest_serves(workdir, caplog):
  for folder in (workdir / "best").iterdir():
    truncate(folder)
  checkpoints = Checkpoints(workdir)
  assert checkpoints.restore_variables(state_of(0))[1] == 3
  assert "checkpoint 1 cannot be read" in caplog.text
  truncate(workdir / "checkpoints" / "2")
  with pytest.raises(CheckpointError, match=r"none of the checkpoints .* can be read"):
    checkpoints.restore_variables(state_of(0), 2)
  checkpoints.close()
  shutil.rmtree(workdir / "best")
  checkpoints = Checkpoints(workdir)
  assert checkpoints.restore_variables(state_of(0))[1] == 3
  checkpoints.close()


def test_a_step_that_is_not_there_names_those_that_are(workdir):
  checkpoints = Checkpoints(workdir)
  with pytest.raises(CheckpointError, match=r"no checkpoint of step 9 .*; there are \[1, 2, 3\]"):
    checkpoints.restore_variables(state_of(0), 9)
  checkpoints.close()


FULL = """if True:
  import pathlib, resource, sys
  import numpy as np
  from mmjax.checkpoint import CheckpointError, Checkpoints
  checkpoints = Checkpoints(pathlib.Path(sys.argv[1]))
  numbers = np.random.default_rng(0).random((256, 256))
  checkpoints.save(1, {"a": numbers}, {})
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
  try:
    checkpoints.save(2, {"a": numbers + 1}, {})
  except CheckpointError as e:
    print(e)
  resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
  again = Checkpoints(pathlib.Path(sys.argv[1]))
  state, step = again.restore({"a": numbers})
  assert step == 1 and np.array_equal(state["a"], numbers)
  again.save(2, {"a": numbers + 1}, {})  # room was made
  assert again.restore({"a": numbers})[1] == 2
"""


def test_a_full_disk_leaves_the_older_ones_whole(tmp_path):
  """No file may grow beyond 20 kB, as on a disk with no more room."""
  run = subprocess.run(
      [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
  )
  assert run.returncode == 0, run.stderr[-2000:]
  assert f"checkpoint 2 could not be written to {tmp_path / 'checkpoints'}" in run.stdout
  assert "older ones are intact; see that there is room" in run.stdout


def test_a_lack_of_room_is_seen_before_writing(tmp_path, monkeypatch):
  checkpoints = Checkpoints(tmp_path)
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3 << 20))
  big = state_of(1).replace(opt_state=jnp.zeros(1 << 20))
  with pytest.raises(CheckpointError, match=r"takes about 4 MiB, 3 MiB are free; see that"):
    checkpoints.save(1, big, {})
  assert checkpoints.latest_step() is None
  checkpoints.close()


def test_run_json(tmp_path):
  workdir = tmp_path / "new" / "run"
  assert read_run(workdir) is None
  write_run(workdir, {"config": {"a": 1}})
  assert read_run(workdir) == {"config": {"a": 1}}
  assert [p.name for p in workdir.iterdir()] == ["run.json"]
  (workdir / "run.json").write_text('{"config": ')
  with pytest.raises(CheckpointError, match=r"run.json is damaged"):
    read_run(workdir)
  (tmp_path / "file").write_text("")
  with pytest.raises(CheckpointError, match=r"--workdir .*file/run cannot be written"):
    write_run(tmp_path / "file" / "run", {})


@pytest.fixture
def started(formulas, tmp_path):
  """The config and the workdir of a run that has begun."""
  config = tiny.tiny(bttr_small.get_config())
  config.data.name, config.data.dir = "synthetic", str(formulas)
  words = splits.vocabulary_of(config, splits.open_dataset(config)).words
  write_run(tmp_path, {"config": configs.to_dict(config), "vocabulary": list(words)})
  return config, tmp_path


def test_a_run_is_not_continued_with_other_settings(started):
  config, workdir = started
  config.optim.clip, config.model.width = 0.25, 32
  config.log.every_steps = 7  # may change
  with pytest.raises(ConfigError) as e:
    train(config, workdir)
  assert "model.width: 16 there, 32 now" in str(e.value)
  assert "optim.clip: 5.0 there, 0.25 now" in str(e.value)
  assert "log." not in str(e.value) and "use another --workdir" in str(e.value)


def test_a_run_is_not_continued_with_another_vocabulary(started):
  config, workdir = started
  run = read_run(workdir)
  run["vocabulary"][5] = "strange"
  write_run(workdir, run)
  with pytest.raises(CheckpointError, match=r"another vocabulary .*only there: \['strange'\]"):
    train(config, workdir)


def test_a_second_process_is_kept_out_of_a_workdir_until_the_first_ends(tmp_path):
  workdir = tmp_path / "run"
  hold = "import pathlib, sys\nfrom mmjax.checkpoint import only_trainer\n"
  hold += "with only_trainer(pathlib.Path(sys.argv[1])):\n  print('held', flush=True)\n  input()"
  other = subprocess.Popen(
      [sys.executable, "-c", hold, str(workdir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
  )
  try:
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(CheckpointError, match=f"another process trains in {workdir}"):
      train(bttr_small.get_config(), workdir)
  finally:
    other.kill()  # a lock that outlived its process would need a hand to remove it
    other.communicate()
  with only_trainer(workdir):
    assert workdir.is_dir()
  assert not workdir.exists()  # nothing was written: no empty folder stays
