"""From a plan to arrays: Grain reads, decodes, resizes and pads ahead of the training step."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import cv2
import grain
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from data_pipelines.batching import Batch, Plan
from data_pipelines.transforms import decode_grey, resize
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass
class Records:
  """A split's pictures by record number, decoded on demand or all held in memory."""

  source: Any  # random access to {"image": bytes, ...}
  ids: list[str]
  held: list[UInt8[np.ndarray, "H W"]] | None = None

  def hold(self) -> None:
    """Decodes every picture into memory."""
    numbers = tqdm(range(len(self.ids)), desc="decoding", unit="picture", leave=False, disable=None)
    self.held = [self._decode(i) for i in numbers]

  def picture(self, record: int) -> UInt8[np.ndarray, "H W"]:
    return self._decode(record) if self.held is None else self.held[record]

  def _decode(self, record: int) -> UInt8[np.ndarray, "H W"]:
    return decode_grey(self.source[record]["image"], self.ids[record])


class LoadBatch(grain.transforms.Map):
  """Batch of a plan -> this process's rows as arrays.

  image uint8 [b, H, W, 1], size int32 [b, 2] (height, width of the picture on its canvas),
  tokens int32 [b, T] (no specials, 0 behind the end), length int32 [b], record int32 [b],
  real bool [b] (False on filler).
  """

  def __init__(
      self, records: Records, tokens: list[list[int]], process_index: int, process_count: int
  ):
    self._records, self._tokens = records, tokens
    self._process = process_index, process_count

  def map(self, batch: Batch) -> dict[str, np.ndarray]:
    index, count = self._process
    rows = len(batch.records) // count
    mine = slice(index * rows, (index + 1) * rows)
    bucket, records, sizes = batch.bucket, batch.records[mine], batch.sizes[mine]
    image = np.zeros((rows, bucket.height, bucket.width, 1), np.uint8)
    tokens = np.zeros((rows, bucket.length), np.int32)
    length = np.zeros(rows, np.int32)
    for i, (record, (h, w)) in enumerate(zip(records, sizes)):
      if record < 0:
        continue
      image[i, :h, :w, 0] = resize(self._records.picture(record), int(h), int(w))
      words = self._tokens[record]
      tokens[i, : len(words)] = words
      length[i] = len(words)
    return {
        "image": image,
        "size": sizes.astype(np.int32),
        "tokens": tokens,
        "length": length,
        "record": records.astype(np.int32),
        "real": records >= 0,
    }


def encode_texts(texts: list[str], vocabulary: Vocabulary) -> list[list[int]]:
  """Token numbers of texts whose words stand apart."""
  return [vocabulary.encode(text.split()) for text in texts]


def batches(
    plan: Plan,
    records: Records,
    tokens: list[list[int]],
    *,
    start: int = 0,
    threads: int = 2,
    prefetch: int = 4,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
  """Batches of `plan` from step `start` on, loaded ahead by `threads`; see `LoadBatch`."""
  cv2.setNumThreads(1)
  load = LoadBatch(records, tokens, process_index, process_count)
  steps = grain.MapDataset.source(plan)[start:].map(load)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
  return iter(steps.to_iter_dataset(options))
