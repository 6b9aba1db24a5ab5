"""Hosts load their rows of each batch: together what one host has, however many they are."""

import json
import os
import subprocess
import sys

import pytest

from tests.multi_device import load_rows


def host(formulas, index: int, count: int, start: int = 0) -> subprocess.Popen:
  """A process that loads the rows of host `index` and prints a digest of each."""
  arguments = [str(formulas), str(index), str(count), str(start)]
  return subprocess.Popen(
      [sys.executable, "-m", "tests.multi_device.load_rows", *arguments],
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ | {"PYTHONHASHSEED": str(index + 1)},  # nothing may depend on it
  )


def digests(processes) -> list[list[list[str]]]:
  """[host][step][row]."""
  out = []
  for process in processes:
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    out.append(json.loads(text))
  return out


@pytest.fixture(scope="module")
def alone(formulas):
  """Digests of the rows of each step, loaded by this process as the only host."""
  return load_rows.rows(formulas, 0, 1)


def test_two_processes_have_the_rows_of_one(formulas, alone):
  first, second = digests([host(formulas, i, 2) for i in range(2)])
  assert len(alone) > 8 and len({d for rows in alone for d in rows}) > 60
  assert [a + b for a, b in zip(first, second, strict=True)] == alone
  assert all(len(a) == len(b) for a, b in zip(first, second))


def test_four_hosts_take_over_from_two_at_any_step(formulas, alone):
  at = 5
  parts = [load_rows.rows(formulas, i, 4, start=at) for i in range(4)]
  joined = [[d for rows in hosts for d in rows] for hosts in zip(*parts, strict=True)]
  assert joined == alone[at:]


def test_the_rows_tell_hosts_apart(formulas, alone):
  """The comparison above would notice another seed, another order, another picture."""
  assert load_rows.rows(formulas, 0, 1, seed=1) != alone
  assert load_rows.rows(formulas, 1, 2)[0] != load_rows.rows(formulas, 0, 2)[0]
