"""Where numbers of a run go: TensorBoard files, `metrics.jsonl` and the terminal."""

import io
import json
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams_summary
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util


class SummaryWriter:
  """Stands where clu looks for its TensorFlow writer; ours is `EventWriter`."""


# clu.metric_writers imports its TensorFlow writer at once; an entry in sys.modules stands for it.
_stand_in = types.ModuleType("clu.metric_writers.summary_writer")
_stand_in.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
sys.modules.setdefault(_stand_in.__name__, _stand_in)

from clu.metric_writers import interface  # noqa: E402


class EventWriter(interface.MetricWriter):
  """clu's MetricWriter over TensorBoard event files; no TensorFlow."""

  def __init__(self, folder: Path):
    self._writer = EventFileWriter(str(folder))

  def write_summaries(self, step, values, metadata=None):
    for tag, value in values.items():
      meta = metadata[tag] if metadata else None
      self._add(step, tag, tensor=tensor_util.make_tensor_proto(value), metadata=meta)

  def write_scalars(self, step: int, scalars: Mapping[str, float]):
    for tag, value in scalars.items():
      self._add(step, tag, simple_value=float(value))

  def write_images(self, step: int, images: Mapping[str, Any]):
    for tag, batch in images.items():
      pictures: list[np.ndarray] = list(np.asarray(batch))
      for i, picture in enumerate(pictures):
        if picture.dtype != np.uint8:
          picture = (255 * picture.clip(0, 1)).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(data, "PNG")
        image = summary_pb2.Summary.Image(
            height=picture.shape[0],
            width=picture.shape[1],
            colorspace=picture.shape[2],
            encoded_image_string=data.getvalue(),
        )
        self._add(step, f"{tag}/{i}", image=image)

  def write_texts(self, step: int, texts: Mapping[str, str]):
    for tag, text in texts.items():
      meta = text_metadata.create_summary_metadata(display_name=tag, description="")
      self._add(step, tag, tensor=tensor_util.make_tensor_proto([text.encode()]), metadata=meta)

  def write_histograms(self, step: int, arrays, num_buckets=None):
    for tag, array in arrays.items():
      n = (num_buckets or {}).get(tag) or 30
      counts, edges = np.histogram(np.asarray(array, np.float64), n)
      rows = np.stack([edges[:-1], edges[1:], counts], 1)
      meta = histogram_metadata.create_summary_metadata(display_name=tag, description="")
      self._add(step, tag, tensor=tensor_util.make_tensor_proto(rows), metadata=meta)

  def write_audios(self, step, audios, *, sample_rate):
    raise ValueError("mmjax writes no audio")

  def write_videos(self, step, videos):
    raise ValueError("mmjax writes no videos")

  def write_pointcloud(self, step, point_clouds, *, point_colors=None, configs=None):
    raise ValueError("mmjax writes no point clouds")

  def write_hparams(self, hparams: Mapping[str, Any]):
    plain = bool | int | float | str
    simple = {k: v if isinstance(v, plain) else str(v) for k, v in hparams.items()}
    summary = hparams_summary.hparams_pb(simple)
    self._writer.add_event(event_pb2.Event(wall_time=time.time(), summary=summary))

  def flush(self):
    self._writer.flush()

  def close(self):
    self._writer.close()

  def _add(self, step: int, tag: str, **value):
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, **value)])
    event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary)
    self._writer.add_event(event)


class Writer:
  """Scalars of a run to event files and to `metrics.jsonl`; a no-op away from process 0."""

  def __init__(self, workdir: Path, *, active: bool = True):
    self._active = active
    if active:
      workdir.mkdir(parents=True, exist_ok=True)
      self._events = EventWriter(workdir / "tensorboard")
      self._lines = open(workdir / "metrics.jsonl", "a")  # noqa: SIM115 (open for the run's time)

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    if not self._active:
      return
    self._events.write_scalars(step, values)
    self._lines.write(json.dumps({"step": step, **{k: float(v) for k, v in values.items()}}) + "\n")
    self._lines.flush()

  def hparams(self, values: Mapping[str, Any]) -> None:
    if self._active:
      self._events.write_hparams(values)

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *_) -> None:
    if self._active:
      self._events.close()
      self._lines.close()
