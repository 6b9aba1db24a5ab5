"""Two processes that train one model do what one does, stop together, and leave a run to others."""

import signal

import pytest

from tests.tiny_runs import (
    LONG,
    LONG_STEPS,
    all_ended,
    assert_same_state,
    finish,
    free_port,
    signal_at,
    start,
    whole_run,
)


def start_both(formulas, workdir):
  flags = [LONG, f"--coordinator=localhost:{free_port()}", "--processes=2"]
  return [start(formulas, workdir, *flags, f"--process={i}", name=str(i)) for i in range(2)]


def finish_both(processes, workdir, code) -> list[str]:
  with all_ended(processes):
    return [finish(p, workdir, code, str(i)) for i, p in enumerate(processes)]


@pytest.fixture(scope="module")
def stopped(formulas, tmp_path_factory):
  """(workdir, what each said, the step) of two processes that were told to stop."""
  workdir = tmp_path_factory.mktemp("both") / "run"
  processes = start_both(formulas, workdir)
  with all_ended(processes):
    signal_at(7, [(p, workdir, signal.SIGTERM) for p in processes])
    said = finish_both(processes, workdir, 75)
  (at,) = {s.split("stopped at step ")[1].split(",")[0] for s in said}  # both at the same
  return workdir, said, int(at)


def test_they_train_as_one_process(stopped, formulas):
  for step in (4, 6):  # 6 is behind a validation
    assert_same_state(stopped[0], whole_run(formulas), step, 1e-5)


def test_told_to_stop_they_save_and_the_first_reports(stopped):
  workdir, said, at = stopped
  assert 7 <= at < LONG_STEPS and (workdir / "checkpoints" / str(at)).is_dir()
  assert "2 process(es)" in said[0] and "validation at step 6" in said[0]
  assert "validation" not in said[1]
  assert len(list((workdir / "tensorboard").iterdir())) == 1


def test_one_process_ends_what_two_began(stopped, formulas):
  workdir, _, at = stopped
  said = finish(start(formulas, workdir, LONG), workdir, 0)
  assert f"1 process(es); going on from step {at}" in said
  assert_same_state(workdir, whole_run(formulas), LONG_STEPS, 1e-5)
  # And two take it up again, to find nothing to do.
  said = finish_both(start_both(formulas, workdir), workdir, 0)
  assert "nothing to do" in said[0]
