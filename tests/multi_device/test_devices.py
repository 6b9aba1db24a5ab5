"""Eight devices (data 4 x fsdp 2) train as one does, and their states fit other meshes."""

import json
import os
import subprocess
import sys

import pytest

from tests import tiny_runs


@pytest.fixture(scope="module")
def trained(formulas):
  """(workdir of one epoch on eight devices, what the script reported)."""
  workdir = formulas.parent / "eight"
  flags = os.environ.get("XLA_FLAGS", "")
  run = subprocess.run(
      [sys.executable, "-m", "tests.multi_device.on_devices",
       str(tiny_runs.config_file(formulas)), str(workdir)],
      cwd=tiny_runs.ROOT,
      env=os.environ
      | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=8"},
      capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert run.returncode == 0, run.stderr[-3000:]
  assert "8 cpu device(s), 1 process(es)" in run.stderr
  return workdir, json.loads(run.stdout.splitlines()[-1])


def test_eight_devices_train_as_one(formulas, trained):
  whole = tiny_runs.whole_run(formulas)
  for step in (4, 6):
    tiny_runs.assert_same_state(trained[0], whole, step, 1e-5)


@pytest.mark.parametrize(
    ("mesh", "devices", "rows"), [("4x2", 8, 8), ("2x2", 4, 8), ("1x1", 1, 16)]
)
def test_states_are_spread_over_fsdp(trained, mesh, devices, rows):
  """A [16, 32] kernel and what follows its shape: rows over fsdp, copies over data."""
  for when in ("born", "restored"):
    assert set(trained[1][mesh][when]) == {"params", "ema", "mu"}
    for shape_and_devices in trained[1][mesh][when].values():
      assert shape_and_devices == [rows, 32, devices]


@pytest.mark.parametrize("mesh", ["4x2", "2x2", "1x1"])
def test_a_state_saved_on_eight_is_whole_on_any_mesh(trained, mesh):
  workdir = trained[0]
  tiny_runs.assert_same_state(workdir.parent / f"{workdir.name}.{mesh}", workdir, 6, 0)
