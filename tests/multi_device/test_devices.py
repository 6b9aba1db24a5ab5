"""Eight devices (data 4 x fsdp 2) train as one does, and their states fit other meshes."""

import json
import os
import subprocess
import sys

import jax
import orbax.checkpoint as ocp
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


def test_the_state_is_spread_over_fsdp(trained):
  """Parameters and what follows them: a side of each kernel over fsdp, copies over data."""
  tree = ocp.PyTreeCheckpointer().metadata(trained[0] / "checkpoints" / "6" / "state")
  spread = {
      jax.tree_util.keystr(path): tuple(a.sharding.partition_spec)
      for path, a in jax.tree_util.tree_leaves_with_path(tree.item_metadata.tree)
  }
  kernels = {n: s for n, s in spread.items() if "['decoder_0']['linear1']['kernel']" in n}
  assert len(kernels) == 4 and set(kernels.values()) == {("fsdp", "model")}, kernels
  assert sum(s[-1:] == ("fsdp",) for n, s in spread.items() if "['encoder']" in n) >= 20
  assert spread["['step']"] == ()


@pytest.mark.parametrize(("mesh", "rows", "devices"), [("2x2", 8, 4), ("1x1", 16, 1)])
def test_a_state_saved_on_eight_is_whole_on_another_mesh(trained, mesh, rows, devices):
  workdir, report = trained
  new, restored = report[mesh]
  assert new == restored == [rows, 32, devices]
  tiny_runs.assert_same_state(workdir.parent / f"{workdir.name}.{mesh}", workdir, 6, 0)
