"""A run that is stopped, in whatever way, ends as if it had not been."""

import json
import signal

import pytest

from tests import tiny_runs
from tests.tiny_runs import (
    STEPS,
    all_ended,
    assert_same_state,
    finish,
    signal_at,
    start,
    whole_run,
)

# The rate leaves all bounds after the validation at step 12; step 13 still is finite. Nobody looks
# at a loss before the checkpoint that is due at step 16.
DIVERGING = [
    "--config.optim.plateau_factor=1e35", "--config.train.epochs=3", "--config.log.every_steps=100",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(formulas):
  return whole_run(formulas)


@pytest.fixture(scope="module")
def broken_off(formulas, whole, tmp_path_factory):
  """Runs that end early, side by side: name -> (workdir, what it said)."""
  folder = tmp_path_factory.mktemp("runs")
  codes = {"killed": -signal.SIGKILL, "stopped": 75, "diverged": 1}
  flags = {"diverged": DIVERGING}
  runs = {name: start(formulas, folder / name, *flags.get(name, ())) for name in codes}
  with all_ended(runs.values()):
    # The newest checkpoint is of step 6 then.
    signals = (("killed", signal.SIGKILL), ("stopped", signal.SIGTERM))
    signal_at(7, [(runs[name], folder / name, number) for name, number in signals])
    return {n: (folder / n, finish(runs[n], folder / n, code)) for n, code in codes.items()}


@pytest.fixture(scope="module")
def gone_on(formulas, broken_off):
  """The killed and the stopped run, started again: name -> (workdir, what it said)."""
  workdirs = {name: broken_off[name][0] for name in ("killed", "stopped")}
  runs = {name: start(formulas, workdir) for name, workdir in workdirs.items()}
  with all_ended(runs.values()):
    return {name: (w, finish(runs[name], w, 0)) for name, w in workdirs.items()}


def test_the_run_exercises_what_a_state_holds(whole):
  """Else the comparisons below would prove little."""
  first, last = tiny_runs.saved(whole, 4), tiny_runs.saved(whole, STEPS)
  for part in ("params", "ema", "opt_state", "model_state", "plateau", "step"):
    names = [n for n in last if n.startswith(f"['{part}']")]
    assert any((first[n] != last[n]).any() for n in names), part
  config = json.loads((whole / "run.json").read_text())["config"]
  assert config["model"]["dropout"] > 0 and config["model"]["encoder_dropout"] > 0


def test_told_to_stop_it_saves(broken_off):
  workdir, said = broken_off["stopped"]
  newest = max(int(p.name) for p in (workdir / "checkpoints").iterdir())
  assert 7 <= newest < STEPS
  assert f"stopped at step {newest}, saved; run the same command to go on" in said


def test_a_run_that_diverges_stops_and_names_the_step_and_its_records(broken_off):
  workdir, said = broken_off["diverged"]
  told = json.loads((workdir / "diverged.json").read_text())
  assert told["step"] == 14 and told["last_good"] == 12
  assert len(told["records"]) == 8 and all(r.startswith("synthetic-") for r in told["records"])
  assert "error: step 14 gave a loss or gradient that is not finite" in said
  assert ", ".join(told["records"]) in said
  assert "the last good checkpoint is step 12; lower optim.lr" in said
  assert max(int(p.name) for p in (workdir / "checkpoints").iterdir()) == 12


@pytest.mark.parametrize("name", ["killed", "stopped"])
def test_it_ends_the_same_to_the_bit(gone_on, whole, name):
  workdir, said = gone_on[name]
  assert "going on from step" in said
  assert_same_state(workdir, whole, STEPS, 0)


def test_a_finished_run_has_nothing_to_do(formulas, whole):
  before = tiny_runs.saved(whole, tiny_runs.LONG_STEPS)
  said = finish(start(formulas, whole, tiny_runs.LONG), whole, 0)
  assert f"already trained to step {tiny_runs.LONG_STEPS}; nothing to do" in said
  after = tiny_runs.saved(whole, tiny_runs.LONG_STEPS)
  assert all((before[n] == after[n]).all() for n in before)
