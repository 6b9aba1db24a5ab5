"""Flickr8k-CN in the layout of AI Challenger: python -m data_pipelines.export_aic."""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

from tqdm import tqdm

from data_pipelines.builders.captions import Captioned, Findings
from data_pipelines.builders.files import read_stored
from data_pipelines.builders.flickr8k import source
from data_pipelines.builders.parts import ItemError
from data_pipelines.datasets import SourceError

# The names of the organizers' files, with their dates.
SPLITS = {
    "train": ("train", "20170902"),
    "validation": ("validation", "20170910"),
    "test": ("test_a", "20180103"),
}
LANGUAGE = "zh"


def export(
    manual_dir: str | os.PathLike, output: str | os.PathLike, allow_partial: bool = False
) -> dict[str, int]:
  """Writes the pictures and Chinese captions of Flickr8k, all of them or nothing.

  Pictures are named as AI Challenger's are, by 40 hexadecimal digits (of SHA-1 of their name in
  Flickr8k, which "url" keeps). The test split becomes `test_a`, with its captions.

  Args:
    manual_dir: Flickr8k with Chinese captions, as its builder reads it.
    output: a directory that is not there yet.
    allow_partial: whether Flickr8k may have gaps; what has them is left out.

  Returns:
    Pictures written of each split, by its name in AI Challenger.

  Raises:
    SourceError: Flickr8k is missing or damaged or has no Chinese captions; `output` is there.
  """
  directory, output = pathlib.Path(manual_dir), pathlib.Path(output)
  if output.exists():
    raise SourceError(f"--output={output} is there: give a new directory, or remove it")
  findings = Findings("Flickr8k", source.LAYOUT)
  splits = source.read_source(directory, findings)
  if splits and not any(LANGUAGE in i.captions.languages for i in splits["train"]):
    findings.problems.add(source.CHINESE[1], "is missing, and so are Chinese captions")
  findings.problems.raise_any(directory)
  if not allow_partial:
    findings.gaps.raise_any(directory)
  output.parent.mkdir(parents=True, exist_ok=True)
  staging = pathlib.Path(tempfile.mkdtemp(prefix=".exporting_", dir=output.parent))
  try:
    for name, items in splits.items():
      _write_split(staging, *SPLITS[name], items)
    staging.chmod(0o755)  # mkdtemp keeps others out
    staging.rename(output)
  finally:
    shutil.rmtree(staging, ignore_errors=True)
  return {SPLITS[name][0]: len(items) for name, items in splits.items()}


def _write_split(root: pathlib.Path, name: str, date: str, items: list[Captioned]) -> None:
  folder = root / f"caption_{name}_images_{date}"
  folder.mkdir()
  entries = []
  for item in tqdm(items, desc=name, unit="picture"):
    c = item.captions
    image_id = hashlib.sha1(c.file.encode()).hexdigest() + ".jpg"
    try:
      (folder / image_id).write_bytes(read_stored(item.picture))
    except ItemError as error:
      raise SourceError(f"{item.picture.place}: {c.file}: {error}") from error
    texts = [t for t, language in zip(c.texts, c.languages) if language == LANGUAGE]
    entries.append({"url": c.file, "image_id": image_id, "caption": texts})
  text = json.dumps(entries, ensure_ascii=False, indent=1)
  (root / f"caption_{name}_annotations_{date}.json").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; returns the exit code: 0 done, 1 could not be written, 2 bad input."""
  options = _parser().parse_args(arguments)
  try:
    counts = export(options.manual_dir, options.output, options.allow_partial)
  except SourceError as error:
    print(f"export_aic: {error}", file=sys.stderr)
    return 2
  except OSError as error:
    print(f"export_aic: {error}\nnothing was left in {options.output}", file=sys.stderr)
    return 1
  print(f"{', '.join(f'{n} {count:,}' for n, count in counts.items())} pictures: {options.output}")
  print(
      "\nnext: python -m data_pipelines.prepare ai_challenger_caption --allow_partial"
      f" --manual_dir={options.output}"
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
      prog="python -m data_pipelines.export_aic",
      description="Writes Flickr8k with Chinese captions in the layout of AI Challenger 2017, so"
      " that what is trained on the one is trained on the other by the same commands.",
      epilog="exit code: 0 done, 1 could not be written, 2 bad input",
  )
  parser.add_argument("--manual_dir", required=True, help="Flickr8k with its Chinese captions")
  parser.add_argument("--output", required=True, help="a directory that is not there yet")
  parser.add_argument(
      "--allow_partial", action="store_true", help="leave out what Flickr8k lacks or has damaged"
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
