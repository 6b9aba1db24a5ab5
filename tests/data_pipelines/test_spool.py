"""Splits written in the order given, however large."""

import pytest
from test_parts import files, slow_set

from data_pipelines import datasets, prepare, spool
from data_pipelines.index import load_index


@pytest.fixture
def root(tmp_path, monkeypatch):
  monkeypatch.setitem(datasets.DATASETS, "slow", slow_set.ROW)
  return tmp_path


def test_on_disk_it_is_the_same_and_in_order(root, monkeypatch):
  builder, _ = prepare.prepare("slow", root / "a")
  numbers = [n for n in range(slow_set.COUNTS["train"]) if n != slow_set.BAD]
  assert load_index(builder, "train").ids == [f"train-{n}" for n in numbers]
  monkeypatch.setattr(spool, "IN_MEMORY", 500)
  prepare.prepare("slow", root / "b")
  assert files(root / "a") == files(root / "b")


def test_without_it_a_split_beyond_memory_needs_tensorflow(root, monkeypatch):
  """Why it exists; when this fails, tfds has mended it."""
  monkeypatch.setattr("tensorflow_datasets.core.shuffle.MAX_MEM_BUFFER_SIZE", 500)
  prepare.prepare("slow", root / "a")
  builder = slow_set.Slow(data_dir=root / "b")
  with pytest.raises(Exception, match="tensorflow"):
    builder.download_and_prepare(file_format="array_record")


def test_keys_must_rise(tmp_path):
  waiting = spool.Spool(tmp_path)
  waiting.add(3, b"")
  with pytest.raises(ValueError, match="record 3 comes behind record 3"):
    waiting.add(3, b"")
  waiting.add(4, b"")
  assert list(waiting) == [(3, b""), (4, b"")] and waiting.num_examples == 2
  waiting.close()
