"""From a plan to arrays: Grain reads, decodes, resizes and pads ahead of the training step."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import grain
import numpy as np
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from data_pipelines import transforms
from data_pipelines.augment import augmented
from data_pipelines.batching import Batch, Plan
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass
class Records:
  """A split's pictures by record number, decoded on demand or all held in memory."""

  source: Any  # random access to {"image": bytes, ...}
  ids: list[str]
  held: list[UInt8[np.ndarray, "H W *C"]] | None = None
  channels: int = 1  # 1: grey values [H, W]; 3: RGB [H, W, 3]
  features: Float[np.ndarray, "N h w D"] | None = None  # of an encoder, to load in their place
  judged: Float[np.ndarray, "N h w D"] | None = None  # of a judge's encoder, to load beside them

  def hold(self) -> None:
    """Decodes every picture into memory."""
    numbers = tqdm(range(len(self.ids)), desc="decoding", unit="picture", leave=False, disable=None)
    self.held = [self._decode(i) for i in numbers]

  def picture(self, record: int) -> UInt8[np.ndarray, "H W *C"]:
    return self._decode(record) if self.held is None else self.held[record]

  def _decode(self, record: int) -> UInt8[np.ndarray, "H W *C"]:
    return transforms.decode(self.source[record]["image"], self.ids[record], self.channels)


class LoadBatch(grain.transforms.Map):
  """Batch of a plan -> this process's rows as arrays.

  image uint8 [b, H, W, C], size int32 [b, 2] (height, width of the picture on its canvas),
  tokens int32 [b, T] (no specials, 0 behind the end; [b, T, n] where a token has n numbers),
  length int32 [b], record int32 [b], real bool [b] (False on filler). Records with features give
  features [b, h, w, D] and no image; those that a judge looked at give judged [b, h, w, D], too.
  Where pictures carry references, also references int32
  [b, R, T] and reference_length int32 [b, R] (0 where there is none); tokens are then the first
  one.
  """

  def __init__(
      self,
      records: Records,
      tokens: Sequence[Any],
      process_index: int,
      process_count: int,
      plan: Plan | None = None,
  ):
    """`tokens` are of each record, or of each text of each record if `plan` says so.

    None stands at records that the plan drops.

    Without a plan pictures are resized to the planned sizes and not augmented.

    Raises:
      ValueError: grey pictures (formulas) are to be mirrored or cropped.
    """
    self._records, self._tokens = records, tokens
    self._process = process_index, process_count
    self._resize = plan.options.resize if plan else transforms.FIT
    self._augment = plan.options.augment if plan and plan.train else None
    self._texts, self._seed = (plan.options.texts, plan.seed) if plan else ("", 0)
    self._most = max((len(t) for t in tokens), default=0) if self._texts == "references" else 0
    numbers = () if self._texts else (t for t in tokens if t is not None)
    self._token_shape = np.shape(next(iter(numbers), ()))[1:]
    if self._augment and not self._augment.any:
      self._augment = None
    if self._augment and records.channels == 1 and (self._augment.flip or self._augment.crop):
      raise ValueError("augment.flip and augment.crop are for photographs: a formula would read"
                       " otherwise; set them to 0")  # fmt: skip

  def map(self, batch: Batch) -> dict[str, np.ndarray]:
    index, count = self._process
    rows = len(batch.records) // count
    mine = slice(index * rows, (index + 1) * rows)
    bucket, records, sizes = batch.bucket, batch.records[mine], batch.sizes[mine]
    features = self._records.features
    pixels = np.zeros((rows, bucket.height, bucket.width, self._records.channels), np.uint8)
    seen = pixels if features is None else np.zeros((rows, *features.shape[1:]), features.dtype)
    tokens = np.zeros((rows, bucket.length, *self._token_shape), np.int32)
    length = np.zeros(rows, np.int32)
    references = np.zeros((rows, self._most, bucket.length), np.int32)
    reference_length = np.zeros((rows, self._most), np.int32)
    for i, (record, (h, w), text) in enumerate(zip(records, sizes, batch.texts[mine])):
      if record < 0:
        continue
      if features is None:
        picture = self._picture(batch.epoch, int(record), int(text), int(h), int(w))
        seen[i, :h, :w] = picture.reshape(h, w, -1)
      else:
        seen[i] = features[record]
      words = self._tokens[record][text] if self._texts else self._tokens[record]
      tokens[i, : len(words)] = words
      length[i] = len(words)
      for r, words in enumerate(self._tokens[record] if self._most else ()):
        if len(words) <= bucket.length:
          references[i, r, : len(words)] = words
          reference_length[i, r] = len(words)
    loaded: dict[str, np.ndarray] = {
        "image" if features is None else "features": seen,
        "size": sizes.astype(np.int32),
        "tokens": tokens,
        "length": length,
        "record": records.astype(np.int32),
        "real": records >= 0,
    }
    if self._records.judged is not None:
      there = (records >= 0)[:, None, None, None]
      loaded["judged"] = np.where(there, self._records.judged[records], 0)
    if self._most:
      loaded |= {"references": references, "reference_length": reference_length}
    return loaded

  def _picture(
      self, epoch: int, record: int, text: int, h: int, w: int
  ) -> UInt8[np.ndarray, "h w *C"]:
    picture = self._records.picture(record)
    if self._augment:
      draw = np.random.default_rng((self._seed, epoch, 4, record, text))
      return augmented(picture, h, w, self._resize, self._augment, draw)
    return transforms.bring_to_size(picture, h, w, self._resize)


def encode_texts(texts: list[str], vocabulary: Vocabulary) -> list[list[int]]:
  """Token numbers of texts whose words stand apart."""
  return [vocabulary.encode(text.split()) for text in texts]


def encode_captions(
    texts: Sequence[Sequence[str]],
    tokenize: Callable[[str], Sequence[str]],
    vocabulary: Vocabulary,
) -> list[list[list[int]]]:
  """Token numbers of each text of each picture, by the words that `tokenize` makes of it."""
  return [[vocabulary.encode(tokenize(text)) for text in of_picture] for of_picture in texts]


def caption_lengths(tokens: Sequence[Sequence[Sequence[int]]]) -> Int[np.ndarray, "N R"]:
  """Tokens of each text, for a plan; -1 where a picture has fewer texts, or one without a word."""
  lengths = np.full((len(tokens), max(map(len, tokens), default=0)), -1)
  for i, of_picture in enumerate(tokens):
    lengths[i, : len(of_picture)] = [len(words) or -1 for words in of_picture]
  return lengths


def batches(
    plan: Plan,
    records: Records,
    tokens: Sequence[Any],
    *,
    start: int = 0,
    threads: int = 2,
    prefetch: int = 4,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
  """Batches of `plan` from step `start` on, loaded ahead by `threads`; see `LoadBatch`."""
  cv2.setNumThreads(1)
  load = LoadBatch(records, tokens, process_index, process_count, plan)
  steps = grain.MapDataset.source(plan)[start:].map(load)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
  return iter(steps.to_iter_dataset(options))
