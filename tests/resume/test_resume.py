"""A run that is stopped, in whatever way, ends as if it had not been."""

import json
import signal

import pytest

from tests import tiny_runs
from tests.tiny_runs import STEPS, assert_same_state, finish, start, wait_for_step, whole_run


@pytest.fixture(scope="module")
def whole(formulas):
  return whole_run(formulas)


def test_the_run_exercises_what_a_state_holds(whole):
  """Else the comparisons below would prove little."""
  first, last = tiny_runs.saved(whole, 4), tiny_runs.saved(whole, STEPS)
  for part in ("params", "ema", "opt_state", "model_state", "plateau", "step"):
    names = [n for n in last if n.startswith(f"['{part}']")]
    assert any((first[n] != last[n]).any() for n in names), part
  config = json.loads((whole / "run.json").read_text())["config"]
  assert config["model"]["dropout"] > 0 and config["model"]["encoder_dropout"] > 0


def test_killed_at_any_step_it_ends_the_same_to_the_bit(formulas, whole, tmp_path):
  workdir = tmp_path / "killed"
  process = start(formulas, workdir)
  wait_for_step(process, workdir, 7)  # the newest checkpoint is of step 6
  process.kill()
  finish(process, workdir, -signal.SIGKILL)
  said = finish(start(formulas, workdir), workdir, 0)
  assert "going on from step" in said
  assert_same_state(workdir, whole, STEPS, 0)


def test_told_to_stop_it_saves_and_goes_on(formulas, whole, tmp_path):
  workdir = tmp_path / "stopped"
  process = start(formulas, workdir)
  wait_for_step(process, workdir, 7)
  process.terminate()
  said = finish(process, workdir, 75)
  newest = max(int(p.name) for p in (workdir / "checkpoints").iterdir())
  assert 7 <= newest < STEPS
  assert f"stopped at step {newest}, saved; run the same command to go on" in said
  said = finish(start(formulas, workdir), workdir, 0)
  assert f"going on from step {newest}" in said
  assert_same_state(workdir, whole, STEPS, 0)


def test_a_finished_run_has_nothing_to_do(formulas, whole):
  before = tiny_runs.saved(whole, STEPS)
  said = finish(start(formulas, whole), whole, 0)
  assert f"already trained to step {STEPS}; nothing to do" in said
  after = tiny_runs.saved(whole, STEPS)
  assert all((before[n] == after[n]).all() for n in before)


def test_a_run_that_diverges_stops_and_names_the_step_and_its_records(formulas, tmp_path):
  """The rate grows out of all bounds after the validation at step 12; step 13 still is finite."""
  workdir = tmp_path / "diverged"
  flags = ["--config.optim.plateau_factor=1e35", "--config.train.epochs=3"]
  said = finish(start(formulas, workdir, *flags), workdir, 1)
  told = json.loads((workdir / "diverged.json").read_text())
  assert told["step"] == 14 and told["last_good"] == 12
  assert len(told["records"]) == 8 and all(r.startswith("synthetic-") for r in told["records"])
  assert "error: step 14 gave a loss or gradient that is not finite" in said
  assert ", ".join(told["records"]) in said
  assert "the last good checkpoint is step 12; lower optim.lr or set optim.clip" in said
  assert max(int(p.name) for p in (workdir / "checkpoints").iterdir()) == 12
