"""Writing splits of any size in the order in which their records come, without TensorFlow."""

import contextlib
import struct
import tempfile
from collections.abc import Iterator

from tensorflow_datasets.core import writer
from tensorflow_datasets.proto import tf_example_pb2

IN_MEMORY = 64_000_000  # bytes of a split, above which it waits on the disk


class Spool:
  """Records that wait until their number and size, hence the number of files, are known.

  Takes the place of tfds's `Shuffler` where nothing is shuffled. That one sorts the whole split in
  memory, and when it has taken in 1 GB asks for TensorFlow.
  """

  def __init__(self, directory):
    # Without a name: nothing is left of it, however the process ends.
    self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=directory)  # noqa: SIM115
    self._last = -1
    self.size = self.num_examples = 0

  @property
  def bucket_lengths(self) -> list[int]:
    return [self.num_examples]

  def add(self, key: int, data: bytes) -> None:
    """Takes the next record; keys rise.

    Raises:
      ValueError: a key that does not.
    """
    if key <= self._last:
      raise ValueError(f"record {key} comes behind record {self._last}: keys must rise")
    self._last = key
    # The fields of a record have no order of their own: left alone, every process has another.
    data = tf_example_pb2.Example.FromString(data).SerializeToString(deterministic=True)
    self._file.write(struct.pack("<qq", key, len(data)) + data)
    self.size += len(data)
    self.num_examples += 1

  def __iter__(self) -> Iterator[tuple[int, bytes]]:
    self._file.seek(0)
    for _ in range(self.num_examples):
      key, length = struct.unpack("<qq", self._file.read(16))
      yield key, self._file.read(length)

  def close(self) -> None:
    self._file.close()


@contextlib.contextmanager
def in_given_order() -> Iterator[None]:
  """Within the block tfds writes data sets with `disable_shuffling` by way of `Spool`."""
  theirs = writer.shuffle.Shuffler
  with contextlib.ExitStack() as end:

    def make(dirpath, hash_salt, disable_shuffling=False, ignore_duplicates=False):
      if disable_shuffling:
        return end.enter_context(contextlib.closing(Spool(dirpath)))
      return theirs(dirpath, hash_salt, disable_shuffling, ignore_duplicates)

    end.callback(setattr, writer.shuffle, "Shuffler", theirs)
    writer.shuffle.Shuffler = make
    yield
