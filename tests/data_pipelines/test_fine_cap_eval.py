import pytest
import tensorflow_datasets as tfds
from made_captions import picture, write_folder, write_zip

from data_pipelines.builders.captions import Findings
from data_pipelines.builders.fine_cap_eval import source
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_caption_index
from data_pipelines.prepare import prepare

SKIP = {"image": tfds.decode.SkipDecoding()}
NAMES = ("b.new.jpg", "a.jpg")
HEADER = ",".join(source.COLUMNS)


def write_table(directory, names=NAMES, rows=5, header=HEADER, more="") -> None:
  # The rows of a picture need not be neighbours.
  lines = [f'{n},"A man {i}, here.",a park\\;the sky,man\\;hat,man wears hat\n'
           for i in range(rows) for n in names]  # fmt: skip
  (directory / "FineCapEval.csv").write_text(f"{header}\n{''.join(lines)}{more}")


@pytest.fixture
def directory(tmp_path):
  directory = tmp_path / "source"
  write_folder(directory / "images", {n: picture(seed=i) for i, n in enumerate(NAMES)})
  write_table(directory)
  return directory


def partly(tmp_path, directory):
  return prepare("fine_cap_eval", tmp_path / "data", directory, allow_partial=True)[0]


def problems(directory) -> str:
  findings = Findings("FineCapEval", source.LAYOUT)
  source.read_source(directory, findings)
  with pytest.raises(SourceError) as caught:
    findings.problems.raise_any(directory)
  return str(caught.value)


COUNTS = [
    "FineCapEval.csv: 2 pictures, published are 1,000",
    "FineCapEval.csv: 10 rows, published are 5,000",
]


def test_pictures_and_their_captions(directory, tmp_path):
  builder = partly(tmp_path, directory)
  index = load_caption_index(builder, "test")
  assert index.ids == ["b", "a"] and list(builder.info.splits) == ["test"]
  assert index.texts[1] == tuple(f"A man {i}, here." for i in range(5))
  assert index.languages[0] == ("en",) * 5
  assert builder.as_data_source("test", decoders=SKIP)[1]["image"] == picture(seed=1)
  assert list(builder.info.metadata["deviations"]) == COUNTS
  assert list(builder.info.metadata["notes"]) == []
  with pytest.raises(SourceError, match="published are 1,000"):
    prepare("fine_cap_eval", tmp_path / "whole", directory)


def test_an_archive_and_what_is_lacking(directory, tmp_path):
  more = "a.jpg,,x,y,z\nc.jpg,A dog.,x,,z\n"
  write_table(directory, more=more)
  for file in (directory / "images").iterdir():
    file.unlink()
  (directory / "images").rmdir()
  write_zip(directory / "images.zip", {"images/a.jpg": picture(), "x.jpg": picture(seed=2)})
  builder = partly(tmp_path, directory)
  assert load_caption_index(builder, "test").ids == ["a"]
  assert list(builder.info.metadata["deviations"])[2:] == [
      "images.zip: picture without texts (1): x.jpg",
      "FineCapEval.csv: picture without 5 rows (2): a.jpg, c.jpg",
      "FineCapEval.csv: texts without a picture (2): b.new.jpg, c.jpg",
  ]
  assert list(builder.info.metadata["notes"]) == [
      "FineCapEval.csv: rows with an empty cell, which the published scorer skips (2)",
      "FineCapEval.csv: empty captions, skipped (1)",
  ]


def test_what_is_damaged_is_named(directory, tmp_path):
  write_table(directory, header="image,caption,object")
  assert "its columns are image, caption, object; they must be image, cap" in problems(directory)
  write_table(directory, more="a.jpg,x\n,A man.,x,y,z\n")
  assert "row without 5 cells or without a name (2): line 12, line 13" in problems(directory)
  write_table(directory, more='a.jpg,"A man')
  assert "FineCapEval.csv: is not CSV" in problems(directory)
  (tmp_path / "x").mkdir()
  found = problems(tmp_path / "x")
  assert "FineCapEval.csv: is missing" in found and "images/: is missing, and so" in found
