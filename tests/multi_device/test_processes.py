"""Two processes that train one model do what one process does, and stop and go on together."""

import pytest

from tests.tiny_runs import (
    STEPS,
    assert_same_state,
    finish,
    free_port,
    start,
    wait_for_step,
    whole_run,
)


def start_both(formulas, workdir):
  flags = [f"--coordinator=localhost:{free_port()}", "--processes=2"]
  return [start(formulas, workdir, *flags, f"--process={i}", name=str(i)) for i in range(2)]


@pytest.fixture(scope="module")
def both(formulas, tmp_path_factory):
  """(workdir, what each said when told to stop, what each said when it went on to the end)."""
  workdir = tmp_path_factory.mktemp("both") / "run"
  processes = start_both(formulas, workdir)
  try:
    wait_for_step(processes[0], workdir, 5)
    for process in processes:
      process.terminate()
    stopped = [finish(p, workdir, 75, str(i)) for i, p in enumerate(processes)]
    processes = start_both(formulas, workdir)
    ended = [finish(p, workdir, 0, str(i)) for i, p in enumerate(processes)]
  finally:
    for process in processes:
      process.kill()
  return workdir, stopped, ended


def test_told_to_stop_both_stop_at_one_step(both):
  _, stopped, ended = both
  (at,) = {said.split("stopped at step ")[1].split(",")[0] for said in stopped}
  assert 5 <= int(at) < STEPS
  assert f"2 process(es); going on from step {at}" in ended[0]


def test_they_train_as_one_process(both, formulas):
  for step in (4, STEPS):
    assert_same_state(both[0], whole_run(formulas), step, 1e-5)


def test_only_the_first_reports(both):
  workdir, _, ended = both
  assert "validation at step 12" in ended[0] and "validation" not in ended[1]
  assert len(list((workdir / "tensorboard").iterdir())) == 2  # one a start
