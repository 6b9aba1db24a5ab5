"""Imports point one way, and none of them reaches TensorFlow."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Part of mmjax -> parts that it may import. Parts without a row build on these.
MAY_IMPORT = {
    "text": {"text"},
    "losses": {"text"},
    "metrics": {"metrics", "text"},
    "decode": {"decode", "text"},
    "modules": {"modules", "text"},
    "models": {"models", "modules", "decode", "text"},
    # A task may bring an update of its own, so the state and the rates are below it.
    "tasks": {"tasks", "models", "modules", "decode", "metrics", "losses", "text",
              "config", "optim", "train_state"},
    "sharding": set(),
    "optim": {"config"},
    "train_state": {"optim", "sharding"},
    "checkpoint": set(),
    "writers": set(),
    "progress": set(),
    "config": set(),
}
LINEN = {"modules", "models", "tasks", "sharding", "train_state"}
IMPORTERS = {"mmjax.main": set(), "mmjax.api": {"main", "stored", "chain"}, "mmjax.train": {"api"}}


def imports(path: pathlib.Path) -> set[str]:
  """Dotted names that a file imports, `from a import b` as a.b."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}: relative import"
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


NAMES = sorted(str(f.relative_to(ROOT / "mmjax")) for f in (ROOT / "mmjax").rglob("*.py"))


def part_of(name: str) -> str:
  return name.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name):
  part, names = part_of(name), imports(ROOT / "mmjax" / name)
  ours = {n.split(".")[1] for n in names if n.startswith("mmjax.")}
  allowed = MAY_IMPORT.get(part, ours)
  assert ours <= allowed, f"{name} imports {sorted(ours - allowed)}"
  for target, importers in IMPORTERS.items():
    reached = any(n == target or n.startswith(target + ".") for n in names)
    assert not reached or part in importers, f"{name} imports {target}"
  outside = {n for n in names if n.split(".")[0] == "configs"}
  outside |= {n for n in names if n.startswith("data_pipelines.builders")}
  assert not outside, f"{name} imports {outside}"
  if part != "checkpoint":
    assert not any(n.startswith("orbax") for n in names), f"{name} imports Orbax"
  if part not in LINEN:
    assert not any(n.startswith("flax.linen") for n in names), f"{name} imports linen"


def test_data_pipelines_know_no_model():
  for file in (ROOT / "data_pipelines").rglob("*.py"):
    ours = {n.split(".")[1] for n in imports(file) if n.startswith("mmjax.")}
    assert ours <= {"text"}, file


def test_every_rule_names_a_part():
  assert set(MAY_IMPORT) | LINEN <= {part_of(n) for n in NAMES}


def test_nothing_needs_tensorflow():
  code = """if True:
    import importlib.abc, sys
    class NoTensorFlow(importlib.abc.MetaPathFinder):
      def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "tensorflow":
          raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, NoTensorFlow())
    import mmjax.main, mmjax.train, mmjax.evaluate, mmjax.api, mmjax.checkpoint, mmjax.writers
    import mmjax.infer.predictor, mmjax.convert.parity
    import data_pipelines.prepare, data_pipelines.verify, data_pipelines.pipeline
  """
  subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
