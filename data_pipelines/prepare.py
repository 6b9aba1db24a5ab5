"""Makes a data set ready to be read: python -m data_pipelines.prepare NAME."""

import argparse
import contextlib
import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import pathlib
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from concurrent.futures.process import BrokenProcessPool

import tensorflow_datasets as tfds

from data_pipelines import datasets
from data_pipelines.builders import parts
from data_pipelines.datasets import DATASETS, Dataset, SourceError
from data_pipelines.spool import in_given_order

LISTED = 20  # deviations printed
CODE = pathlib.Path(__file__).parent.parent
# What, beside the source, the bytes of a record may depend on.
SOURCES = ("data_pipelines/**/*.py", "mmjax/text/**/*.py")
PACKAGES = ("matplotlib", "numpy", "opencv-python-headless", "pillow", "tensorflow-datasets")

MOST_PROCESSES = 16  # unless asked for: one process writes what all of them make


class BusyError(RuntimeError):
  """Another process prepares into the same directory."""


class BeamError(RuntimeError):
  """Apache Beam is asked for, but not installed."""


class Terminated(KeyboardInterrupt):
  """SIGTERM came."""


def prepare(
    name: str,
    data_dir: str | os.PathLike,
    manual_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    allow_partial: bool = False,
    options: Collection[str] = (),
    processes: int = 1,
    beam: str | None = None,
) -> tuple[tfds.core.DatasetBuilder, bool]:
  """Prepares `name` under `data_dir`, completely or not at all.

  It is built in a hidden directory beside the final one and renamed at the end, so neither a
  failure nor a kill leaves anything that can be loaded, and an older one stays until then. What
  was made before a kill or an interrupt stays hidden there, and the next preparation from the same
  files by the same code goes on from it, to the same bytes.

  Args:
    name: a row of the index.
    data_dir: where prepared data sets live.
    manual_dir: the files that the user supplies.
    overwrite: prepare again what is there.
    allow_partial: prepare what differs from what was published, and store how.
    options: switches of the data set, see its row.
    processes: that make records at the same time.
    beam: options of the Apache Beam pipeline that makes them instead, as on a command line
      ("--runner=DirectRunner"); nothing of it is kept if it ends early.

  Returns:
    The prepared data set, and whether it was made now (False: it was there).

  Raises:
    UnknownDatasetError, BusyError, BeamError: say so.
    SourceError: what it is made from is missing or damaged; names all of it.
  """
  row, root = datasets.find(name), pathlib.Path(data_dir).expanduser()
  switches = _switches(row, allow_partial, options)
  version = str(row.builder_class().VERSION)
  final, staging = root / name / version, root / f".preparing_{name}"
  if (final / "dataset_info.json").exists() and not overwrite:
    return datasets.load(name, root), False
  _check_manual_dir(row, manual_dir)
  if beam is not None and importlib.util.find_spec("apache_beam") is None:
    raise BeamError(
        "--beam needs Apache Beam, which asks for older packages than the tested ones: pip install"
        " -e '.[beam]' without constraints.txt, in an environment of its own"
    )
  root.mkdir(parents=True, exist_ok=True)
  with _only_one(root):
    if (staging / "old").exists() and not final.exists():  # killed between the two renames below
      (staging / "old").rename(final)
    made = staging / f"parts_{_fingerprint(name, version, manual_dir)}"
    _clear(staging, keep=made)  # left by a run that was killed
    kept = None
    try:
      with parts.working(made, processes) if beam is None else parts.on_beam():
        _build(row, staging / "new", manual_dir, switches, beam)
      final.parent.mkdir(exist_ok=True)
      if final.exists():
        final.rename(staging / "old")
      (staging / "new" / name / version).rename(final)
    except (KeyboardInterrupt, BrokenProcessPool):
      kept = made
      raise
    finally:
      _clear(staging, keep=kept)
  return datasets.load(name, root), True


def _fingerprint(name: str, version: str, manual_dir: str | os.PathLike | None) -> str:
  """Changes with the files that a data set is made from, and with the code that makes it."""
  digest = hashlib.sha256(f"{name} {version} {sys.version}".encode())
  for package in PACKAGES:
    digest.update(f"{package} {importlib.metadata.version(package)}".encode())
  for path in sorted(p for pattern in SOURCES for p in CODE.glob(pattern)):
    digest.update(f"{path.relative_to(CODE)} ".encode() + path.read_bytes())
  if manual_dir is not None:
    for path in sorted(p for p in pathlib.Path(manual_dir).rglob("*") if p.exists()):
      found = path.stat()
      digest.update(f"{path} {found.st_size} {found.st_mtime_ns}".encode())
  return digest.hexdigest()[:16]


def _clear(staging: pathlib.Path, keep: pathlib.Path | None) -> None:
  """Removes all that is in `staging`, and itself, but for `keep` if there is anything in it."""
  for path in staging.iterdir() if staging.exists() else ():
    if path != keep or not any(path.glob("*.part")):
      shutil.rmtree(path, ignore_errors=True)
  with contextlib.suppress(OSError):  # not empty, or not there
    staging.rmdir()


def _switches(row: Dataset, allow_partial: bool, options: Collection[str]) -> dict[str, bool]:
  """Arguments of the builder."""
  if allow_partial and not row.manual:
    raise SourceError(f"{row.name} is generated: leave --allow_partial out")
  for option in options:
    if option not in row.options:
      known = f"only {', '.join(row.options)}" if row.options else "it has none"
      raise SourceError(f"{row.name} has no option {option!r}: {known}")
  return dict.fromkeys(options, True) | ({"allow_partial": True} if allow_partial else {})


def _check_manual_dir(row: Dataset, manual_dir: str | os.PathLike | None) -> None:
  if not row.manual:
    if manual_dir is not None:
      raise SourceError(f"{row.name} is generated: leave --manual_dir out")
    return
  if manual_dir is None:
    wrong = f"{row.name} needs --manual_dir=DIRECTORY"
  elif not pathlib.Path(manual_dir).is_dir():
    wrong = f"--manual_dir={manual_dir} is not a directory"
  elif not any(pathlib.Path(manual_dir).iterdir()):
    wrong = f"--manual_dir={manual_dir} is empty"
  else:
    return
  raise SourceError(f"{wrong}\n\n{row.builder_class().MANUAL_DOWNLOAD_INSTRUCTIONS}")


@contextlib.contextmanager
def _only_one(root: pathlib.Path) -> Iterator[None]:
  """Locks `root` until the end of the block or of the process, however it ends."""
  directory = os.open(root, os.O_RDONLY)
  try:
    fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  except BlockingIOError as error:
    raise BusyError(f"another preparation into {root} is running: wait for its end") from error
  finally:
    os.close(directory)


def _build(
    row: Dataset,
    data_dir: pathlib.Path,
    manual_dir: str | os.PathLike | None,
    switches: dict[str, bool],
    beam: str | None,
) -> None:
  config = tfds.download.DownloadConfig(
      manual_dir=None if manual_dir is None else os.fspath(manual_dir), try_download_gcs=False
  )
  if beam is not None:
    from apache_beam.options.pipeline_options import PipelineOptions

    config = config.replace(beam_options=PipelineOptions(shlex.split(beam)))
  # tfds announces a download on stdout; bars are on stderr.
  with contextlib.redirect_stdout(io.StringIO()), in_given_order():
    row.builder_class()(data_dir=data_dir, **switches).download_and_prepare(
        download_config=config, file_format="array_record"
    )


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; returns the exit code: 0 done, 1 could not be written, 2 bad input."""
  options = _parser().parse_args(arguments)
  try:
    with _terminable():
      builder, made = prepare(
          options.name,
          options.data_dir,
          options.manual_dir,
          options.overwrite,
          options.allow_partial,
          options.option,
          options.processes,
          options.beam,
      )
  except (datasets.UnknownDatasetError, SourceError) as error:
    print(f"prepare: {error}", file=sys.stderr)
    return 2
  except (OSError, RuntimeError) as error:  # array_record says so, too, when the disk is full
    full = _full(error, options.data_dir)
    print(f"prepare: {error}{full}\n{_unchanged(options)}", file=sys.stderr)
    return 1
  except KeyboardInterrupt as stop:
    print(f"\nprepare: stopped; {_unchanged(options)}", file=sys.stderr)
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
  print(f"{options.name} {'prepared in' if made else 'was prepared before, in'} {builder.data_dir}")
  if not made:
    print("(--overwrite prepares it again)")
  print(f"\n{'split':<12}{'records':>9}{'MB':>8}")
  for split in builder.info.splits.values():
    print(f"{split.name:<12}{split.num_examples:>9,}{split.num_bytes / 1e6:>8.1f}")
  for title in ("deviations", "notes"):
    lines = builder.info.metadata.get(title, ())
    for line in lines[:LISTED]:
      print(f"{title}: {line}")
    if len(lines) > LISTED:
      print(f"{title}: and {len(lines) - LISTED:,} more, all in dataset_info's metadata.json")
  print(f"\nnext: python -m data_pipelines.verify {options.name} --data_dir={options.data_dir}")
  return 0


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
  """Within the block SIGTERM raises Terminated, so that it ends as tidily as Ctrl-C."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return

  def end(*_):
    raise Terminated

  before = signal.signal(signal.SIGTERM, end)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _unchanged(options: argparse.Namespace) -> str:
  kept = pathlib.Path(options.data_dir).expanduser() / f".preparing_{options.name}"
  said = f"nothing was changed in {options.data_dir}"
  if not any(kept.glob("parts_*/*.part")):
    return said
  return f"{said}; what was made is kept: the same command goes on from there (or delete {kept})"


def _full(error: Exception, data_dir: str | os.PathLike) -> str:
  """What to do about a full disk, if that is what `error` says."""
  # array_record has the system's words, but not its number.
  words = [os.strerror(n) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
  if not any(w in str(error) for w in words):
    return ""
  return (
      f"\nthe disk of {data_dir} is full: free some space or give another --data_dir"
      " (up to three times the size of the data set is needed while it is made)"
  )


def _parser() -> argparse.ArgumentParser:
  rows = "\n".join(
      f"  {d.name:<21} splits {', '.join(d.splits)}; {d.licence}"
      f"{'; needs --manual_dir' if d.manual else ''}"
      + "".join(f"\n{'':24}--option={name}: {what}" for name, what in d.options.items())
      for d in DATASETS.values()
  )
  parser = argparse.ArgumentParser(
      prog="python -m data_pipelines.prepare",
      description="Checks the source of a data set and writes it as ArrayRecord files.",
      epilog=f"data sets:\n{rows}\n\nexit code: 0 done, 1 could not be written, 2 bad input",
      formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("name", help="data set, see below")
  parser.add_argument("--manual_dir", help="directory with the files that the user supplies")
  parser.add_argument(
      "--data_dir",
      default=datasets.default_data_dir(),
      help="where prepared data sets live (%(default)s; $TFDS_DATA_DIR changes it)",
  )
  parser.add_argument("--overwrite", action="store_true", help="prepare again what is there")
  parser.add_argument(
      "--processes",
      type=_count,
      default=min(len(os.sched_getaffinity(0)), MOST_PROCESSES),
      help="that make records at the same time (%(default)s); the records do not depend on it",
  )
  parser.add_argument(
      "--beam",
      nargs="?",
      const="--runner=DirectRunner",
      metavar="OPTIONS",
      help="make them by an Apache Beam pipeline with these options instead (%(const)s)",
  )
  parser.add_argument(
      "--allow_partial",
      action="store_true",
      help="prepare what differs from what was published; how it differs is printed and stored",
  )
  parser.add_argument(
      "--option", action="append", default=[], metavar="NAME", help="a switch of the data set"
  )
  return parser


def _count(text: str) -> int:
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"{number} is less than 1")
  return number


if __name__ == "__main__":
  sys.exit(main())
