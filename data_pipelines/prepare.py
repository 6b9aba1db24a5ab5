"""Makes a data set ready to be read: python -m data_pipelines.prepare NAME."""

import argparse
import contextlib
import fcntl
import inspect
import io
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

import tensorflow_datasets as tfds

from data_pipelines import datasets
from data_pipelines.datasets import DATASETS, Dataset, SourceError


class BusyError(RuntimeError):
  """Another process prepares into the same directory."""


def prepare(
    name: str,
    data_dir: str | os.PathLike,
    manual_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    allow_partial: bool = False,
) -> tuple[tfds.core.DatasetBuilder, bool]:
  """Prepares `name` under `data_dir`, completely or not at all.

  It is built in a hidden directory beside the final one and renamed at the end, so neither a
  failure nor a kill leaves anything that can be loaded, and an older one stays until then.

  Returns:
    The prepared data set, and whether it was made now (False: it was there).

  Raises:
    UnknownDatasetError, BusyError: say so.
    SourceError: what it is made from is missing or damaged; names all of it.
  """
  row, root = datasets.find(name), pathlib.Path(data_dir).expanduser()
  version = str(row.builder_class().VERSION)
  final, staging = root / name / version, root / f".preparing_{name}"
  if (final / "dataset_info.json").exists() and not overwrite:
    return datasets.load(name, root), False
  _check_manual_dir(row, manual_dir)
  if allow_partial and "allow_partial" not in inspect.signature(row.builder_class()).parameters:
    raise SourceError(f"{name} is prepared whole or not at all: leave --allow_partial out")
  root.mkdir(parents=True, exist_ok=True)
  with _only_one(root):
    shutil.rmtree(staging, ignore_errors=True)  # left by a run that was killed
    try:
      _build(row, staging / "new", manual_dir, allow_partial)
      final.parent.mkdir(exist_ok=True)
      if final.exists():
        final.rename(staging / "old")
      (staging / "new" / name / version).rename(final)
    finally:
      shutil.rmtree(staging, ignore_errors=True)
  return datasets.load(name, root), True


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
    allow_partial: bool,
) -> None:
  config = tfds.download.DownloadConfig(
      manual_dir=None if manual_dir is None else os.fspath(manual_dir), try_download_gcs=False
  )
  options = {"allow_partial": True} if allow_partial else {}
  with contextlib.redirect_stdout(io.StringIO()):  # tfds announces a download; bars are on stderr
    row.builder_class()(data_dir=data_dir, **options).download_and_prepare(
        download_config=config, file_format="array_record"
    )


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; returns the exit code: 0 done, 1 could not be written, 2 bad input."""
  options = _parser().parse_args(arguments)
  try:
    builder, made = prepare(
        options.name,
        options.data_dir,
        options.manual_dir,
        options.overwrite,
        options.allow_partial,
    )
  except (datasets.UnknownDatasetError, SourceError) as error:
    print(f"prepare: {error}", file=sys.stderr)
    return 2
  except (OSError, RuntimeError) as error:  # array_record says so, too, when the disk is full
    print(f"prepare: {error}\nnothing was changed in {options.data_dir}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print(f"\nprepare: stopped; nothing was changed in {options.data_dir}", file=sys.stderr)
    return 130
  print(f"{options.name} {'prepared in' if made else 'was prepared before, in'} {builder.data_dir}")
  if not made:
    print("(--overwrite prepares it again)")
  print(f"\n{'split':<12}{'records':>9}{'MB':>8}")
  for split in builder.info.splits.values():
    print(f"{split.name:<12}{split.num_examples:>9,}{split.num_bytes / 1e6:>8.1f}")
  for title in ("deviations", "notes"):
    for line in builder.info.metadata.get(title, ()):
      print(f"{title}: {line}")
  print(f"\nnext: python -m data_pipelines.verify {options.name} --data_dir={options.data_dir}")
  return 0


def _parser() -> argparse.ArgumentParser:
  rows = "\n".join(
      f"  {d.name:<10} splits {', '.join(d.splits)}; {d.licence}"
      f"{'; needs --manual_dir' if d.manual else ''}"
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
      "--allow_partial",
      action="store_true",
      help="prepare what is sound of a source with gaps, and say and store what it lacks",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
