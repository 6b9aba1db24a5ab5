"""The records of a split, made item by item: by several processes, and not twice after a kill."""

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import multiprocessing
import os
import pathlib
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from typing import Any

import cv2
from tqdm import tqdm

CHUNK = 128  # items that are made, kept and found again together
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)
START_SECONDS = 3.0  # that processes take to start: less work than this is done without them

Make = Callable[[Any], dict]
Outcome = dict | str  # a record, or why there is none


class ItemError(ValueError):
  """One item of a source cannot be used; the text says why."""


def examples(
    items: Sequence[Any],
    make: Make,
    *,
    name: str,
    rejected: Callable[[Any, str], None],
) -> Iterator[tuple[int, dict]]:
  """(number, record) of each item in order, with a progress bar.

  Within `working`, several processes make the items, and chunks of them that an earlier run has
  finished are read instead of made. Within `on_beam` this is a transform of Apache Beam instead of
  an iterator, so `_generate_examples` has to return it as it is. The records are always the same.

  Args:
    items: small picklable descriptions (an archive and a member's name, a text, ...).
    make: a function at the top level of a module that does the heavy work of one item (reads,
      decodes to be sure, draws) and returns its features. Pure: the same item gives the same bytes.
      Raises ItemError for an item that cannot be used.
    name: of the split, for the bar.
    rejected: told (item, reason) for each item that raised; such an item gives no record.

  Raises:
    TypeError: within `working`, for items or a `make` that cannot be sent to another process.
  """
  if _beam:
    return _transform(items, make)
  return _examples(items, make, name, rejected)


def _examples(items, make, name, rejected) -> Iterator[tuple[int, dict]]:
  made = (_attempt(make, i) for i in items) if _work is None else _work.outcomes(items, make)
  for number, outcome in enumerate(tqdm(made, desc=name, total=len(items), unit="record")):
    if isinstance(outcome, str):
      rejected(items[number], outcome)
    else:
      yield number, outcome


@contextlib.contextmanager
def working(folder: pathlib.Path, processes: int) -> Iterator[None]:
  """Within the block `examples` uses `processes` processes and keeps finished chunks in `folder`.

  Raises:
    ValueError: fewer processes than one.
  """
  global _work
  if processes < 1:
    raise ValueError(f"{processes} processes cannot make anything: give 1 or more")
  folder.mkdir(parents=True, exist_ok=True)
  work = _work = _Work(folder, processes)
  try:
    yield
  finally:
    _work = None
    work.close()


@contextlib.contextmanager
def on_beam() -> Iterator[None]:
  """Within the block `examples` leaves the work to Apache Beam.

  Its workers cannot tell the builder of rejected items: the first one ends the preparation.
  """
  global _beam
  _beam = True
  try:
    yield
  finally:
    _beam = False


def _transform(items: Sequence[Any], make: Make) -> Any:
  import apache_beam as beam

  return beam.Create(list(enumerate(items))) | beam.MapTuple(functools.partial(_one, make))


def _one(make: Make, number: int, item: Any) -> tuple[int, dict]:
  outcome = _attempt(make, item)
  if isinstance(outcome, str):
    raise RuntimeError(f"item {number} cannot be used: {outcome} (without --beam all are named)")
  return number, outcome


class _Work:
  """Makes chunks of items; each becomes a file whose name tells what it was made from."""

  def __init__(self, folder: pathlib.Path, processes: int):
    self._folder, self._processes = folder, processes
    self._pool: concurrent.futures.ProcessPoolExecutor | None = None

  def outcomes(self, items: Sequence[Any], make: Make) -> Iterator[Outcome]:
    """What each item gave, in order; at most a few chunks are ahead of the reader."""
    ahead: collections.deque = collections.deque()
    seconds: list[float] = []  # that chunks took in this process
    for start in range(0, len(items), CHUNK):
      chunk = items[start : start + CHUNK]
      path = self._folder / f"{_fingerprint(make, chunk)}.part"
      pays = min(seconds, default=0.0) * (len(items) - start) / CHUNK > START_SECONDS
      shared = pays and self._processes > 1 and not path.exists()
      future = self._start(path, make, chunk) if shared else None
      ahead.append((path, make, chunk, future, seconds))
      if not pays or len(ahead) > 2 * self._processes:
        yield from self._finish(*ahead.popleft())
    while ahead:
      yield from self._finish(*ahead.popleft())

  def close(self) -> None:
    """Ends the processes, each at the end of its chunk."""
    if self._pool is not None:
      self._pool.shutdown(cancel_futures=True)

  def _start(self, path: pathlib.Path, make: Make, chunk: Sequence[Any]):
    if self._pool is None:
      # Spawned, since the caller may hold threads (jax does) that a fork would freeze.
      self._pool = concurrent.futures.ProcessPoolExecutor(
          self._processes, multiprocessing.get_context("spawn"), _begin_worker
      )
    # Workers inherit that they do not hear signals to the whole group: these are for the parent,
    # which ends them at the end of a chunk. (The tracker would let the signals through again.)
    resource_tracker.ensure_running()
    with _signals_held():
      return self._pool.submit(_make_chunk, path, make, chunk)

  @staticmethod
  def _finish(path, make, chunk, future, seconds) -> list[Outcome]:
    if future is not None:
      future.result()
    found = _read(path)
    if found is None:
      start = time.perf_counter()
      _make_chunk(path, make, chunk)
      seconds.append((time.perf_counter() - start) * CHUNK / len(chunk))
      found = _read(path)
    if found is None:
      raise OSError(f"{path} was written but does not read back: check the disk")
    return found


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
  """Interruptions wait for the end of the block: in the middle of it a worker would be half made.

  The mask is not enough: a signal that another thread takes interrupts the main thread, too.
  """
  held: list[int] = []
  main = threading.current_thread() is threading.main_thread()
  before = {s: signal.signal(s, lambda n, _: held.append(n)) for s in INTERRUPTIONS if main}
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for which, handler in before.items():
      signal.signal(which, handler)
    for number in held:
      signal.raise_signal(number)


_work: _Work | None = None
_beam = False


def _begin_worker() -> None:
  cv2.setNumThreads(1)
  parent = multiprocessing.parent_process()
  assert parent is not None

  def follow() -> None:
    parent.join()
    os._exit(1)  # a killed parent cannot ask for it

  threading.Thread(target=follow, daemon=True).start()


def _make_chunk(path: pathlib.Path, make: Make, chunk: Sequence[Any]) -> None:
  _write(path, [_attempt(make, item) for item in chunk])


def _attempt(make: Make, item: Any) -> Outcome:
  try:
    return make(item)
  except ItemError as error:
    return str(error)


def _fingerprint(make: Make, chunk: Sequence[Any]) -> str:
  try:
    data = pickle.dumps((make, chunk), protocol=5)
  except (pickle.PicklingError, AttributeError, TypeError) as error:
    raise TypeError(
        f"items and what makes them go to other processes, these cannot ({error}): use a function"
        " at the top level of a module and items of plain values"
    ) from error
  return hashlib.sha256(data).hexdigest()


def _write(path: pathlib.Path, outcomes: list[Outcome]) -> None:
  data = pickle.dumps(outcomes, protocol=5)
  partial = path.with_suffix(f".{os.getpid()}")
  partial.write_bytes(hashlib.sha256(data).digest() + data)
  partial.replace(path)


def _read(path: pathlib.Path) -> list[Outcome] | None:
  """The outcomes of a finished chunk; None where there is none or it is damaged."""
  try:
    stored = path.read_bytes()
  except FileNotFoundError:
    return None
  digest, data = stored[:32], stored[32:]
  return pickle.loads(data) if hashlib.sha256(data).digest() == digest else None
