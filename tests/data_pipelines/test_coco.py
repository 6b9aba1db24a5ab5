import json

import pytest
import tensorflow_datasets as tfds
from made_captions import picture, write_folder, write_json, write_zip

from data_pipelines.builders.captions import Findings
from data_pipelines.builders.coco_captions import source
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_caption_index
from data_pipelines.prepare import prepare

SKIP = {"image": tfds.decode.SkipDecoding()}
KARPATHY = {  # number: folder, split
    5: ("train2014", "train"),
    9: ("train2014", "train"),
    12: ("val2014", "restval"),
    31: ("val2014", "val"),
    44: ("val2014", "test"),
}


def old_name(number: int, folder: str) -> str:
  return f"COCO_{folder}_{number:012d}.jpg"


def karpathy_entry(number: int, folder: str, split: str) -> dict:
  texts = [f"A man {i} and\n {number}. " for i in range(5)]
  return {
      "filepath": folder,
      "filename": old_name(number, folder),
      "cocoid": number,
      "split": split,
      "sentences": [{"raw": t, "tokens": t.lower().split()} for t in texts],
  }


@pytest.fixture
def karpathy(tmp_path):
  directory = tmp_path / "karpathy"
  for number, (folder, _) in KARPATHY.items():
    write_folder(directory / folder, {old_name(number, folder): picture(seed=number)})
  entries = [karpathy_entry(n, *where) for n, where in KARPATHY.items()]
  write_json(directory / "dataset_coco.json", {"dataset": "coco", "images": entries})
  return directory


def write_official(directory, part: str, numbers: list[int], name="{:012d}.jpg") -> None:
  names = {n: name.format(n) for n in numbers}
  annotations = [
      {"image_id": n, "id": 10 * n + i, "caption": f"A cat {i} of {n}."}
      for i in range(5)
      for n in reversed(numbers)
  ]
  images = [{"id": n, "file_name": f} for n, f in names.items()]
  document = {"info": {}, "images": images, "annotations": annotations}
  write_json(directory / "annotations" / f"captions_{part}.json", document)
  files = {f"{part}/{f}": picture(seed=n) for n, f in names.items()}
  write_zip(directory / f"{part}.zip", files)


@pytest.fixture
def official(tmp_path):
  directory = tmp_path / "official"
  write_official(directory, "train2017", [7, 3])
  write_official(directory, "val2017", [8])
  return directory


def partly(tmp_path, directory):
  return prepare("coco_captions", tmp_path / "data", directory, allow_partial=True)[0]


def lacking(builder) -> list[str]:
  return [line for line in builder.info.metadata["deviations"] if ", published are" not in line]


def problems(directory) -> str:
  findings = Findings("COCO", source.LAYOUT)
  source.read_source(directory, findings)
  with pytest.raises(SourceError) as caught:
    findings.problems.raise_any(directory)
  return str(caught.value)


def test_karpathys_splits(karpathy, tmp_path):
  builder = partly(tmp_path, karpathy)
  ids = {split: load_caption_index(builder, split).ids for split in builder.info.splits}
  assert ids == {"train": ["5", "9"], "restval": ["12"], "validation": ["31"], "test": ["44"]}
  index = load_caption_index(builder, "restval")
  assert index.texts == [tuple(f"A man {i} and  12." for i in range(5))]
  assert index.languages == [("en",) * 5]
  assert builder.as_data_source("test", decoders=SKIP)[0]["image"] == picture(seed=44)
  assert lacking(builder) == []
  counts = list(builder.info.metadata["deviations"])
  assert "dataset_coco.json restval: 1 pictures, published are 30,504" in counts
  assert len(counts) == 4
  with pytest.raises(SourceError, match="published are 82,783"):
    prepare("coco_captions", tmp_path / "whole", karpathy)


def test_karpathys_splits_of_the_pictures_of_2017(karpathy, tmp_path):
  """They are the same pictures, in other folders and without the prefix."""
  expected = partly(tmp_path / "a", karpathy)
  files = {f"{number:012d}.jpg": picture(seed=number) for number in KARPATHY}
  other = tmp_path / "other"
  write_folder(other / "images" / "train2017", dict(list(files.items())[:3]))
  write_folder(other / "images" / "val2017", dict(list(files.items())[3:]))
  write_json(other / "dataset_coco.json", json.loads((karpathy / "dataset_coco.json").read_text()))
  builder = partly(tmp_path / "b", other)
  for split in expected.info.splits:
    ours, theirs = (list(b.as_data_source(split, decoders=SKIP)) for b in (builder, expected))
    assert ours == theirs


def test_the_official_splits(official, tmp_path):
  builder = partly(tmp_path, official)
  index = load_caption_index(builder, "train")
  assert index.ids == ["7", "3"]
  assert index.texts[1] == tuple(f"A cat {i} of 3." for i in range(5))
  assert builder.as_data_source("train", decoders=SKIP)[1]["image"] == picture(seed=3)
  assert load_caption_index(builder, "validation").ids == ["8"]
  assert set(builder.info.splits) == {"train", "validation"} and lacking(builder) == []


def test_both_years_at_once_are_refused_and_one_part_is_partial(official, tmp_path):
  (official / "annotations" / "captions_val2017.json").unlink()
  builder = partly(tmp_path, official)
  assert lacking(builder) == [
      "captions_val2017.json: is missing",
      "val2017.zip: picture without texts (1): 000000000008.jpg",
  ]
  write_official(official, "train2014", [7])
  assert "captions_train*.json: is there of 2014 and 2017: leave one" in problems(official)


def test_what_lacks_one_of_both_is_named(official, tmp_path):
  path = official / "annotations" / "captions_train2017.json"
  document = json.loads(path.read_text())
  document["images"].append({"id": 99, "file_name": "000000000099.jpg"})
  document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 3]
  document["annotations"].append({"image_id": 99, "caption": "x"})
  write_json(path, document)
  builder = partly(tmp_path, official)
  assert lacking(builder) == [
      "captions_train2017.json: picture without texts (1): 000000000003.jpg",
      "captions_train2017.json: texts without a picture (1): 000000000099.jpg",
      "train2017.zip: picture without texts (1): 000000000003.jpg",
  ]


def test_fields_that_are_missing_or_wrong_are_named(official, karpathy):
  path = official / "annotations" / "captions_train2017.json"
  document = json.loads(path.read_text())
  document["images"] += [{"id": 3, "file_name": "x.jpg"}, {"id": "4", "file_name": "y.jpg"}]
  document["annotations"] += [{"image_id": 3}, {"image_id": 1000, "caption": "x"}]
  write_json(path, document)
  write_json(official / "annotations" / "captions_val2017.json", {"images": []})
  found = problems(official)
  assert "captions_train2017.json: repeated id (1): 3" in found
  assert 'entry of "images" without a sound id (1): number 4 y.jpg' in found
  assert 'entry of "annotations" without a sound caption (1): number 11' in found
  assert "captions_train2017.json: caption of an unknown image_id (1): 1000" in found
  assert 'captions_val2017.json: has no list "images"' in found

  document = json.loads((karpathy / "dataset_coco.json").read_text())
  document["images"][0]["split"] = "dev"
  document["images"][1]["sentences"][2] = {"tokens": ["x"]}
  del document["images"][2]["cocoid"]
  write_json(karpathy / "dataset_coco.json", document)
  found = problems(karpathy)
  assert f"dataset_coco.json: unknown split 'dev' (1): {old_name(5, 'train2014')}" in found
  assert f'no "sentences" with "raw" texts (1): {old_name(9, "train2014")}' in found
  assert f"a sound cocoid (1): number 3 {old_name(12, 'val2014')}" in found


def test_files_that_are_damaged_or_missing_are_named(karpathy, tmp_path):
  (tmp_path / "x").mkdir()
  assert "dataset_coco.json: is missing, and so is captions_train2017.json" in problems(
      tmp_path / "x"
  )
  data = (karpathy / "dataset_coco.json").read_bytes()
  (karpathy / "dataset_coco.json").write_bytes(data[:-9])
  assert "dataset_coco.json: is not JSON or cut short" in problems(karpathy)
  write_json(tmp_path / "x" / "dataset_coco.json", json.loads(data))
  assert "no folder or archive with pictures" in problems(tmp_path / "x")


def test_the_shared_sample_is_read(shared, tmp_path):
  builder = partly(tmp_path, shared / "data" / "coco")
  assert {n: s.num_examples for n, s in builder.info.splits.items()} == {
      "train": 80, "validation": 191
  }
  assert lacking(builder) == []
  index = load_caption_index(builder, "validation")
  assert index.ids[0] == "139" and len(index.texts[0]) == 5
