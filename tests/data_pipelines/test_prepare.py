import fcntl
import os
import shutil
import signal
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from etils import epath
from made_crohme import png, write_source

from data_pipelines import datasets, index, prepare, verify
from data_pipelines.builders.formulas import formula_features


@pytest.fixture
def made_source(tmp_path):
  return write_source(tmp_path / "source")


@pytest.fixture
def root(tmp_path):
  return tmp_path / "data"


def run(*arguments, **environment):
  """The interpreter in a process of its own, with this repository importable."""
  paths = os.pathsep.join(p for p in sys.path if p)
  return subprocess.run(
      [sys.executable, *map(str, arguments)],
      env={**os.environ, "PYTHONPATH": paths, **environment},
      capture_output=True,
      text=True,
      timeout=100,
  )


def leftovers(root):
  return [p.name for p in root.iterdir()] if root.exists() else []


def prepared(root, source):
  arguments = ["crohme", f"--manual_dir={source}", f"--data_dir={root}"]
  return prepare.main(arguments)


def test_prepare_prints_counts_and_the_next_command(made_source, root, capsys):
  assert prepared(root, made_source) == 0
  out = capsys.readouterr().out
  assert "prepared in" in out and "test_2014" in out
  assert f"python -m data_pipelines.verify crohme --data_dir={root}" in out
  assert leftovers(root) == ["crohme"]
  assert prepare.main(["crohme", f"--data_dir={root}"]) == 0
  assert "was prepared before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chrome"], "did you mean crohme?"),
        (["crohme"], "needs --manual_dir=DIRECTORY"),
        (["crohme", "--manual_dir=nowhere"], "--manual_dir=nowhere is not a directory"),
        (["synthetic", "--manual_dir=nowhere"], "synthetic is generated: leave --manual_dir out"),
        (["synthetic", "--allow_partial"], "leave --allow_partial out"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what_to_do(root, capsys, arguments, said):
  assert prepare.main([*arguments, f"--data_dir={root}"]) == 2
  assert said in capsys.readouterr().err
  assert not root.exists()


def test_an_empty_manual_directory(tmp_path, root, capsys):
  (tmp_path / "empty").mkdir()
  assert prepared(root, tmp_path / "empty") == 2
  err = capsys.readouterr().err
  assert "is empty" in err and "dictionary.txt" in err


def test_the_command_ends_a_bad_source_with_2_and_no_traceback(made_source, root):
  (made_source / "dictionary.txt").unlink()
  arguments = ("crohme", f"--manual_dir={made_source}", f"--data_dir={root}")
  done = run("-m", "data_pipelines.prepare", *arguments)
  assert done.returncode == 2
  assert "dictionary.txt: is missing" in done.stderr
  assert "Traceback" not in done.stderr
  assert leftovers(root) == []
  assert run("-m", "data_pipelines.prepare").returncode == 2


def test_a_bad_source_leaves_the_older_data_set_alone(made_source, root, capsys):
  prepared(root, made_source)
  before = index.load_index(datasets.load("crohme", root), "test_2016")
  (made_source / "2016" / "images.zip").write_bytes(b"no archive")
  arguments = ["crohme", f"--manual_dir={made_source}", f"--data_dir={root}", "--overwrite"]
  assert prepare.main(arguments) == 2
  assert index.load_index(datasets.load("crohme", root), "test_2016").ids == before.ids
  assert leftovers(root) == ["crohme"]


def test_overwrite_prepares_again(made_source, root):
  prepared(root, made_source)
  shutil.rmtree(made_source)
  write_source(made_source, train=240)
  _, made = prepare.prepare("crohme", root, made_source)
  assert not made
  builder, made = prepare.prepare("crohme", root, made_source, overwrite=True)
  assert made
  assert builder.info.splits["train"].num_examples > 200
  assert leftovers(root) == ["crohme"]


# Kills the process at a moment that the test chooses; everything else is the real thing.
KILLED = """
import os, pathlib, signal, sys
from data_pipelines import prepare
from data_pipelines.builders.crohme.crohme_dataset_builder import Crohme

def die(*_):
  os.kill(os.getpid(), signal.SIGKILL)

moment, source, root = sys.argv[1:]
if moment == "writing":
  generate = Crohme._generate_examples
  Crohme._generate_examples = lambda self, records: (
      die() if r["id"] == "2016_2" else (n, r) for n, r in generate(self, records))
else:
  pathlib.Path.rename = die
prepare.prepare("crohme", root, source)
"""


@pytest.mark.parametrize("moment", ["writing", "renaming"])
def test_a_kill_leaves_nothing_that_loads_and_the_next_run_cleans_up(made_source, root, moment):
  killed = run("-c", KILLED, moment, made_source, root)
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert list(root.rglob("*train*")), "nothing was written before the kill"
  with pytest.raises(datasets.NotPreparedError):
    datasets.load("crohme", root)
  builder, made = prepare.prepare("crohme", root, made_source)
  assert made and builder.info.splits["test_2016"].num_examples == 5
  assert leftovers(root) == ["crohme"]


def test_a_full_disk_is_said_and_leaves_nothing(made_source, root):
  script = (
      "import resource, sys; from data_pipelines import prepare;"
      "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
      "sys.exit(prepare.main(sys.argv[1:]))"
  )
  done = run("-c", script, "crohme", f"--manual_dir={made_source}", f"--data_dir={root}")
  assert done.returncode == 1
  assert "File too large" in done.stderr and "nothing was changed" in done.stderr
  assert "Traceback" not in done.stderr
  assert leftovers(root) == []


def test_two_preparations_do_not_meet(made_source, root, capsys):
  root.mkdir()
  directory = os.open(root, os.O_RDONLY)
  fcntl.flock(directory, fcntl.LOCK_EX)
  assert prepared(root, made_source) == 1
  os.close(directory)
  assert "another preparation" in capsys.readouterr().err
  assert prepared(root, made_source) == 0


NO_TENSORFLOW = """
import sys
from data_pipelines import prepare, verify
source, root = sys.argv[1:]
assert prepare.main(["crohme", source, root]) == 0
assert verify.main(["crohme", root]) == 0
assert "tensorflow" not in sys.modules
"""


def test_nothing_needs_tensorflow(made_source, root):
  done = run("-c", NO_TENSORFLOW, f"--manual_dir={made_source}", f"--data_dir={root}")
  assert done.returncode == 0, done.stderr


def test_load_gives_the_command_for_what_is_not_prepared(root, monkeypatch):
  command = f"prepare crohme --manual_dir=DIRECTORY_WITH_THE_FILES --data_dir={root}"
  with pytest.raises(datasets.NotPreparedError, match=command):
    datasets.load("crohme", root)
  monkeypatch.setenv("TFDS_DATA_DIR", str(root))
  assert datasets.default_data_dir() == root
  with pytest.raises(datasets.NotPreparedError, match=r"prepare synthetic$"):
    datasets.load("synthetic")


def test_verify_prints_counts_sizes_and_overlaps(made_source, root, capsys):
  prepared(root, made_source)
  capsys.readouterr()
  assert verify.main(["crohme", f"--data_dir={root}"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert ["test_2014", "4", "2", "4"] in [line.split() for line in lines]
  assert any(line.startswith("height") for line in lines)
  overlaps = [line.split() for line in lines if line.startswith("test_2014, test_2016")]
  assert overlaps == [["test_2014,", "test_2016", "2", "4"]]  # the same formulas and dots
  assert "sound" in lines[-1]


def test_verify_of_what_is_not_there(root, capsys):
  assert verify.main(["crohme", f"--data_dir={root}"]) == 2
  assert "run\n  python -m data_pipelines.prepare crohme" in capsys.readouterr().err
  assert verify.main(["nothing", f"--data_dir={root}"]) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_verify_names_a_split_whose_file_is_damaged(made_source, root, capsys, damage):
  prepared(root, made_source)
  (file,) = root.rglob("*test_2014*")
  data = bytearray(file.read_bytes())
  if damage == "gone":
    file.unlink()
  else:
    file.write_bytes(data[:400] if damage == "cut" else data[:400] + b"x" * 20 + data[420:])
  assert verify.main(["crohme", f"--data_dir={root}"]) == 1
  assert "test_2014 cannot be read, prepare with --overwrite" in capsys.readouterr().out


class Unsound(tfds.core.GeneratorBasedBuilder):
  """Wrong in every way that `verify` looks for."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = epath.Path(__file__)

  def _info(self):
    words = tfds.core.MetadataDict(vocabulary=["x", "1"])
    return tfds.core.DatasetInfo(builder=self, features=formula_features(), metadata=words)

  def _split_generators(self, dl_manager):
    return {n: self._generate_examples(n) for n in ("train", "validation")}

  def _generate_examples(self, split):
    good = {"id": "a", "image": png(), "height": 20, "width": 30, "length": 2, "text": "x 1"}
    yield 0, good
    if split == "train":
      yield 1, {**good, "text": "x y"}
      yield 2, {**good, "id": "small", "height": 19}
      yield 3, {**good, "id": "long", "length": 3}
      yield 4, {**good, "id": "cut", "image": png()[:60]}


def test_verify_fails_on_each_fault(root, capsys):
  Unsound(data_dir=root).download_and_prepare(file_format="array_record")
  (root / "unsound").rename(root / "crohme")
  capsys.readouterr()
  assert verify.main(["crohme", f"--data_dir={root}"]) == 1
  out = capsys.readouterr().out
  for line in (
      "6 wrong:",
      "train: repeated id a",
      "train: word not in the vocabulary: y (1 times)",
      "train: small: picture of (20, 30) is stored as (19, 30)",
      "train: long: 2 tokens are stored as 3",
      "train: cut: picture does not decode",
      "1 formulas are in train and in validation: `x 1`",
  ):
    assert line in out
  assert ["train,", "validation", "1", "1"] in [line.split() for line in out.splitlines()]
