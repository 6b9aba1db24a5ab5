"""The command line, in processes of its own: what a user types, sees and gets as exit code."""

import json
import pathlib
import subprocess
import sys

import pytest
from PIL import Image, ImageDraw

from mmjax import api

ROOT = pathlib.Path(__file__).parent.parent
BTTR = "--config=configs/crohme/bttr.py"


def mmjax(*arguments) -> subprocess.CompletedProcess:
  command = [sys.executable, "-m", "mmjax.main", *map(str, arguments)]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def refused(code: int, *arguments) -> str:
  """The one message of a command that ends with `code`."""
  done = mmjax(*arguments)
  assert done.returncode == code, done.stderr
  assert done.stdout == "" and done.stderr.startswith("error: "), done.stderr
  assert "Traceback" not in done.stderr and "W1" not in done.stderr
  return done.stderr


@pytest.fixture(scope="module")
def config_file(tiny_config, tmp_path_factory) -> pathlib.Path:
  """`tiny_config` as a user's own file."""
  path = tmp_path_factory.mktemp("config") / "mine.py"
  path.write_text(
      "from configs.crohme import bttr\n"
      "from configs.tiny import tiny\n"
      "def get_config():\n"
      "  c = tiny(bttr.get_config())\n"
      "  c.data.name = 'synthetic'\n"
      f"  c.data.dir = {tiny_config.data.dir!r}\n"
      "  c.data.max_tokens = 10\n"
      "  return c\n"
  )
  return path


@pytest.fixture(scope="module")
def ink(tmp_path_factory) -> pathlib.Path:
  """A picture: a cross, dark on light."""
  image = Image.new("L", (96, 48), 255)
  draw = ImageDraw.Draw(image)
  draw.line((10, 10, 30, 38), fill=0, width=3)
  draw.line((30, 10, 10, 38), fill=0, width=3)
  path = tmp_path_factory.mktemp("ink") / "cross.png"
  image.save(path)
  return path


def test_help_tells_the_modes_the_flags_and_the_exit_codes():
  done = mmjax("--help")
  assert done.returncode == 0 and done.stderr == ""
  for word in ("--mode=evaluate", "--config.KEY=VALUE", "Exit codes", "--workdir ", "--input "):
    assert word in done.stdout
  assert max(map(len, done.stdout.splitlines())) <= 100 and "absl" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ((BTTR,), ("--workdir is missing",)),
        ((BTTR, "--config.optim.lrr=1", "--workdir=W"), ("'optim.lrr'", "nearest: optim.lr")),
        ((BTTR, "--noconfig.data.in_memry", "--workdir=W"), ("nearest: data.in_memory",)),
        ((BTTR, "--config.train.epochs=abc", "--workdir=W"), ("train.epochs=abc", "like 300")),
        ((BTTR, "--config.optim=1", "--workdir=W"), ("group of keys", "optim.lr")),
        (("--config=configs/crohme/btr.py", "--workdir=W"), ("did you mean", "crohme/bttr.py")),
        (("--config=setup.py", "--workdir=W"), ("config file setup.py fails",)),
        ((BTTR, "--workdir=setup.py"), ("setup.py is a file",)),
        ((BTTR, "--workdir=W", "--wrokdir=W"), ("wrokdir", "workdir")),
        ((BTTR, "--workdir=W", "--mode=tran"), ("--mode=tran", "train")),
        ((BTTR, "--workdir=W", "--checkpoint=last"), ("--checkpoint=last",)),
        ((BTTR, "--workdir=W", "a.png"), ("what is 'a.png'?",)),
        ((BTTR, "--workdir=W", "--input=a.png"), ("--input goes with --mode=predict",)),
        ((BTTR, "--workdir=W", "--mode=predict"), ("needs --input",)),
        ((BTTR, "--workdir=W", "--output=F"), ("--output goes with --mode=predict",)),
    ],
    ids=lambda x: " ".join(x)[:40],
)
def test_wrong_usage_is_named_and_ends_with_2(arguments, messages):
  said = refused(2, *arguments)
  assert all(m in said for m in messages), said
  assert not (ROOT / "W").exists()


def test_what_cannot_work_is_named_at_the_start(tmp_path, config_file):
  new = f"--workdir={tmp_path / 'new'}"
  said = refused(1, BTTR, f"--config.data.dir={tmp_path}", new)
  assert "python -m data_pipelines.prepare crohme --manual_dir=" in said and str(tmp_path) in said
  assert "give --config=FILE" in refused(2, new)
  said = refused(2, f"--config={config_file}", new, "--config.data.train_split=trian")
  assert "has no split 'trian', only train" in said
  assert "use 6 or 9" in refused(2, f"--config={config_file}", new, "--config.cpu_devices=3")
  assert not (tmp_path / "new").exists()


def test_train_evaluate_predict(tmp_path, trained, config_file, ink):
  """The whole road; training and predicting give what `mmjax.api` gives."""
  work = f"--workdir={tmp_path / 'run'}"
  done = mmjax(f"--config={config_file}", work)
  assert done.returncode == 0, done.stderr
  assert done.stdout == "" and "validation at step" in done.stderr and "ETA" in done.stderr
  losses = lambda folder: [
      json.loads(line)["train/loss"]
      for line in (folder / "metrics.jsonl").read_text().splitlines()
      if "train/loss" in line
  ]
  assert losses(tmp_path / "run") == losses(trained)

  done = mmjax(work, "--mode=evaluate", "--config.evaluate.report_samples=4")
  assert done.returncode == 0, done.stderr
  assert done.stderr == ""  # no chatter of libraries
  scored, shown, report = done.stdout.rstrip("\n").split("\n\n")
  printed = dict(line.split() for line in scored.splitlines())
  assert 8 <= len(shown.splitlines()) <= 16 and shown.startswith(("right", "WRONG"))
  folder = tmp_path / "run" / "evaluate" / "validation"
  assert report == f"report: {folder / 'report.html'}" and (folder / "report.html").is_file()
  scores = json.loads((folder / "scores.json").read_text())
  assert printed.keys() == scores.keys()
  assert all(abs(float(printed[k]) - v) < 1e-4 for k, v in scores.items())

  missing = tmp_path / "missing.png"
  done = mmjax(work, "--mode=predict", f"--input={ink},{missing}")
  assert done.returncode == 1
  files = tmp_path / "run" / "predict"
  assert done.stderr.splitlines() == [
      f"error: {missing}: no such file; check the path",
      f"predictions: {files / 'predictions.jsonl'}",
      f"page: {files / 'index.html'}",
  ]
  assert (files / "predictions.jsonl").is_file() and (files / "index.html").is_file()
  path, score, text = done.stdout.rstrip("\n").split("\t")
  (answer,) = api.load_predictor(trained).predict([ink])
  assert (path, text) == (str(ink), answer.text) and abs(float(score) - answer.score) < 1e-3


def test_a_run_is_never_harmed_by_another_config(trained):
  before = sorted(str(p) for p in trained.rglob("*"))
  for mode in ("train", "evaluate"):
    said = refused(2, f"--workdir={trained}", f"--mode={mode}", "--config.model.width=32")
    assert "model.width: 16 there, 32 now" in said and "use another --workdir" in said
  assert sorted(str(p) for p in trained.rglob("*")) == before
