"""Records made by several processes, and preparations that end before their time."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import slow_set

from data_pipelines import datasets, index, prepare
from data_pipelines.builders import parts

# The command with the slow data set in the index, and small chunks that always go to processes.
COMMAND = """
import resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
import slow_set
from data_pipelines import datasets, prepare
from data_pipelines.builders import parts
datasets.DATASETS["slow"] = slow_set.ROW
parts.CHUNK, parts.START_SECONDS = 10, 0
if limit := int(sys.argv.pop(1)):
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(prepare.main())
"""


@pytest.fixture(autouse=True)
def slow(monkeypatch, tmp_path):
  monkeypatch.setitem(datasets.DATASETS, "slow", slow_set.ROW)
  monkeypatch.setattr(parts, "CHUNK", 10)
  monkeypatch.setenv("SLOW_LOG", str(tmp_path / "made"))


def start(root, seconds=0.0, processes=2, limit=0):
  paths = os.pathsep.join(p for p in sys.path if p)
  arguments = [str(limit), "slow", f"--data_dir={root}", f"--processes={processes}"]
  return subprocess.Popen(
      [sys.executable, "-c", COMMAND, *arguments],
      env={**os.environ, "PYTHONPATH": paths, "SLOW_SECONDS": str(seconds)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
  )


def chunks(root) -> list:
  return sorted(root.glob(".preparing_slow/parts_*/*.part"))


def wait_for(condition, process=None):
  until = time.monotonic() + 60
  while not condition():
    assert process is None or process.poll() is None, process.communicate()
    assert time.monotonic() < until, "took a minute"
    time.sleep(0.02)


def gone(pid: int) -> bool:
  try:
    with open(f"/proc/{pid}/stat") as stat:
      return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
  except FileNotFoundError:
    return True


def made(tmp_path) -> list[tuple[int, str]]:
  """(process, item) of each item made since the last call."""
  lines = (tmp_path / "made").read_text().splitlines()
  (tmp_path / "made").write_text("")
  return [(int(line.split()[0]), line.split(" ", 1)[1]) for line in lines]


def files(root) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in (root / "slow" / "1.0.0").iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The files of a preparation that nothing interrupted, in this process alone."""
  root = tmp_path_factory.mktemp("whole")
  with pytest.MonkeyPatch.context() as m:
    m.setitem(datasets.DATASETS, "slow", slow_set.ROW)
    prepare.prepare("slow", root)
  return files(root)


def test_records_keep_the_numbers_of_their_items_and_bad_ones_are_told(whole, tmp_path):
  told = []
  items = [("train", n) for n in range(12)]
  tell = lambda item, reason: told.append((item, reason))
  with parts.working(tmp_path / "parts", processes=1):
    kept = list(parts.examples(items, slow_set.make, name="train", rejected=tell))
  assert told == [(("train", slow_set.BAD), "is bad")]
  assert [n for n, _ in kept] == [n for n in range(12) if n != slow_set.BAD]
  assert [r["id"] for n, r in kept] == [f"train-{n}" for n, _ in kept]
  plain = list(parts.examples(items, slow_set.make, name="train", rejected=tell))
  assert plain == kept and told[0] == told[1]


def test_a_builder_may_refuse_what_was_rejected(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("SLOW_STRICT", "1")
  assert prepare.main(["slow", f"--data_dir={tmp_path / 'data'}", "--processes=1"]) == 2
  assert "train 7 is bad" in capsys.readouterr().err
  assert not list((tmp_path / "data").iterdir())


def test_killed_and_started_again_ends_with_the_same_bytes(whole, tmp_path):
  root = tmp_path / "data"
  process = start(root, seconds=0.05)
  wait_for(lambda: len(chunks(root)) >= 4, process)
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  workers = {pid for pid, _ in made(tmp_path)} - {process.pid}
  assert workers  # the first chunk is made by the command itself
  wait_for(lambda: all(map(gone, workers)))
  with pytest.raises(datasets.NotPreparedError):
    datasets.load("slow", root)
  kept = chunks(root)
  assert 4 <= len(kept) < 11
  data = bytearray(kept[1].read_bytes())
  data[len(data) // 2] ^= 0xFF
  kept[1].write_bytes(data)
  kept[2].write_bytes(b"")
  stale = root / ".preparing_slow" / "parts_of_other_code"
  stale.mkdir()
  (stale / "0123.part").write_bytes(b"")
  builder, _ = prepare.prepare("slow", root)
  assert files(root) == whole
  assert builder.info.splits["train"].num_examples == slow_set.COUNTS["train"] - 1
  again = len({item for _, item in made(tmp_path)})
  assert again == sum(slow_set.COUNTS.values()) - 10 * (len(kept) - 2)  # two were damaged
  assert [p.name for p in root.iterdir()] == ["slow"]


@pytest.mark.parametrize(
    ("number", "code", "at"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 3)],  # 1: while the workers start
)
def test_interrupted_it_says_so_and_goes_on_later(whole, tmp_path, number, code, at):
  root = tmp_path / "data"
  process = start(root, seconds=0.05)
  wait_for(lambda: len(chunks(root)) >= at, process)
  os.killpg(process.pid, number)  # as a terminal does, and a scheduler
  _, error = process.communicate(timeout=60)
  assert process.returncode == code
  assert "stopped; nothing was changed" in error and "goes on from there" in error
  assert "Traceback" not in error
  assert all(gone(pid) for pid, _ in made(tmp_path))
  kept = chunks(root)
  prepare.prepare("slow", root)
  assert files(root) == whole
  assert len(made(tmp_path)) == sum(slow_set.COUNTS.values()) - 10 * len(kept)


def test_a_signal_that_another_thread_takes_waits_for_the_worker():
  go, done = threading.Event(), []

  def take():  # begun outside, so that it does not mask signals
    go.wait()
    signal.raise_signal(signal.SIGINT)

  taker = threading.Thread(target=take)
  taker.start()
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt), parts._signals_held():
      go.set()
      taker.join()
      done.append("whole")
  finally:
    signal.signal(signal.SIGINT, before)
  assert done == ["whole"]


def test_a_worker_that_dies_ends_it_and_what_was_made_is_kept(tmp_path):
  root = tmp_path / "data"
  process = start(root, seconds=0.05)
  wait_for(lambda: len(chunks(root)) >= 3, process)
  worker = next(pid for pid, _ in made(tmp_path)[::-1] if pid != process.pid)
  os.kill(worker, signal.SIGKILL)  # as the system does when memory runs out
  _, error = process.communicate(timeout=60)
  assert process.returncode == 1
  assert "process" in error and "goes on from there" in error and "Traceback" not in error
  assert chunks(root)


def test_a_full_disk_while_chunks_are_made(tmp_path):
  process = start(tmp_path / "data", limit=1000)
  _, error = process.communicate(timeout=60)
  assert process.returncode == 1
  assert "File too large" in error and "is full: free some space" in error
  assert "nothing was changed" in error and "Traceback" not in error
  assert not list((tmp_path / "data").iterdir())


def test_other_source_files_or_other_code_make_other_chunks(tmp_path, monkeypatch):
  (tmp_path / "a").write_text("1")
  first = prepare._fingerprint("slow", "1.0.0", tmp_path)
  assert first == prepare._fingerprint("slow", "1.0.0", tmp_path)
  (tmp_path / "a").write_text("12")
  assert first != prepare._fingerprint("slow", "1.0.0", tmp_path)
  before = prepare._fingerprint("slow", "1.0.0", None)
  monkeypatch.setattr(prepare, "SOURCES", ("data_pipelines/prepare.py",))
  assert before != prepare._fingerprint("slow", "1.0.0", None)


def test_an_older_set_comes_back_after_a_kill_between_the_renames(tmp_path):
  prepare.prepare("slow", tmp_path)
  ids = index.load_index(datasets.load("slow", tmp_path), "test").ids
  (tmp_path / ".preparing_slow").mkdir()
  (tmp_path / "slow" / "1.0.0").rename(tmp_path / ".preparing_slow" / "old")
  builder, _ = prepare.prepare("slow", tmp_path)
  assert index.load_index(builder, "test").ids == ids
  assert [p.name for p in tmp_path.iterdir() if p.name != "made"] == ["slow"]


def test_what_cannot_go_to_another_process_is_refused(tmp_path):
  with parts.working(tmp_path, 1), pytest.raises(TypeError, match="at the top level of a module"):
    list(parts.examples([1], lambda item: {}, name="train", rejected=print))
  with pytest.raises(ValueError, match="0 processes"), parts.working(tmp_path, 0):
    pass


def test_a_number_of_processes_under_one_is_bad_usage(tmp_path, capsys):
  with pytest.raises(SystemExit) as caught:
    prepare.main(["slow", f"--data_dir={tmp_path}", "--processes=0"])
  assert caught.value.code == 2 and "0 is less than 1" in capsys.readouterr().err
