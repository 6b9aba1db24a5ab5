"""What the writers write is what TensorBoard reads, without TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from mmjax.writers import EventWriter, Writer


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> EventAccumulator:
  folder = tmp_path_factory.mktemp("events")
  writer = EventWriter(folder)
  for step in (1, 2):
    writer.write_scalars(step, {"train/loss": 2.0 / step, "rate": np.float32(0.5)})
  grey = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
  writer.write_images(2, {"grey": grey, "colour": np.full((2, 3, 4, 3), 0.5, np.float32)})
  writer.write_texts(2, {"sample": "\\frac { a } { b } é"})
  writer.write_histograms(2, {"weights": np.array([0.0, 0.1, 0.9, 1.0])}, {"weights": 2})
  writer.write_hparams({"lr": 0.1, "name": "adamw", "mask": True, "layers": (1, 2)})
  writer.flush()
  writer.close()
  return EventAccumulator(str(folder), {"tensors": 0, "images": 0, "scalars": 0}).Reload()


def test_scalars(events):
  assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 2.0), (2, 1.0)]
  assert [e.value for e in events.Scalars("rate")] == [0.5, 0.5]
  assert abs(events.Scalars("rate")[0].wall_time - events.Scalars("rate")[1].wall_time) < 60


def test_images(events):
  import cv2

  assert sorted(events.Tags()["images"]) == ["colour/0", "colour/1", "grey/0"]
  (grey,), (colour,) = events.Images("grey/0"), events.Images("colour/1")
  assert (grey.step, grey.height, grey.width) == (2, 3, 4)
  decode = lambda e: cv2.imdecode(
      np.frombuffer(e.encoded_image_string, np.uint8), cv2.IMREAD_UNCHANGED
  )
  np.testing.assert_array_equal(decode(grey), np.arange(12).reshape(3, 4))
  np.testing.assert_array_equal(decode(colour), np.full((3, 4, 3), 127))


def test_texts(events):
  (event,) = events.Tensors("sample")
  assert tensor_util.make_ndarray(event.tensor_proto)[0].decode() == "\\frac { a } { b } é"
  assert events.SummaryMetadata("sample").plugin_data.plugin_name == "text"


def test_histograms(events):
  (event,) = events.Tensors("weights")
  rows = tensor_util.make_ndarray(event.tensor_proto)  # left edge, right edge, count
  np.testing.assert_allclose(rows, [[0, 0.5, 2], [0.5, 1, 2]])
  assert events.SummaryMetadata("weights").plugin_data.plugin_name == "histograms"


def test_hparams(events):
  content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
  stored = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
  assert hparams_metadata.SESSION_START_INFO_TAG == "_hparams_/session_start_info"
  assert stored["lr"].number_value == 0.1
  assert stored["name"].string_value == "adamw"
  assert stored["mask"].bool_value is True
  assert stored["layers"].string_value == "(1, 2)"


@pytest.mark.parametrize("kind", ["audio", "video", "point cloud"])
def test_what_it_cannot_write_is_refused(tmp_path, kind):
  writer = EventWriter(tmp_path)
  calls = {
      "audio": lambda: writer.write_audios(0, {}, sample_rate=1),
      "video": lambda: writer.write_videos(0, {}),
      "point cloud": lambda: writer.write_pointcloud(0, {}),
  }
  with pytest.raises(ValueError, match=f"writes no {kind}"):
    calls[kind]()
  writer.close()


def test_a_run_appends_to_its_lines(tmp_path):
  for step in (1, 2):  # a run and its continuation
    with Writer(tmp_path / "run") as writer:
      writer.hparams({"lr": 0.1})
      writer.scalars(step, {"train/loss": np.float32(0.25), "epoch": step})
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
      {"step": 1, "train/loss": 0.25, "epoch": 1.0},
      {"step": 2, "train/loss": 0.25, "epoch": 2.0},
  ]
  events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
  assert {e.step for e in events.Scalars("epoch")} == {1, 2}


def test_other_processes_write_nothing(tmp_path):
  with Writer(tmp_path / "run", active=False) as writer:
    writer.hparams({"lr": 0.1})
    writer.scalars(1, {"loss": 1.0})
  assert not (tmp_path / "run").exists()


def test_writing_needs_no_tensorflow(tmp_path):
  code = """if True:
    import pathlib, sys
    sys.modules["tensorflow"] = None  # an import of it raises
    from mmjax.writers import Writer
    with Writer(pathlib.Path(sys.argv[1])) as writer:
      writer.hparams({"lr": 0.1})
      writer.scalars(1, {"loss": 1.0})
    from clu import metric_writers  # clu's own writers work beside ours
  """
  subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True)
