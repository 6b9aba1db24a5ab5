"""The plan of an epoch: which records go into which batch, and at which shape.

Sizes are known before training, so a plan is a pure function of (sizes, options, seed, epoch):
every host computes the same one, and a position in the data is one integer.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.augment import UNCHANGED, Augment
from data_pipelines.transforms import FIT, Resize, scaled_sizes

TOKEN_COST = 64  # pixels whose encoding takes about as long as the decoding of one token


class Bucket(NamedTuple):
  """A compiled shape: canvas and number of tokens."""

  height: int
  width: int
  length: int

  @property
  def cost(self) -> int:
    return self.height * self.width + TOKEN_COST * self.length


class Batch(NamedTuple):
  """One step's records; rows of -1 are filler."""

  bucket: Bucket
  records: Int[np.ndarray, "B"]
  sizes: Int[np.ndarray, "B 2"]  # height and width to which each picture is resized
  texts: Int[np.ndarray, "B"]  # which text of its record each row has, where there are several
  epoch: int


@dataclasses.dataclass(frozen=True)
class Options:
  """How pictures are scaled and batched.

  Attributes:
    batch: pictures in a batch.
    max_pixels: most pixels of a batch's canvases; wide buckets get smaller batches. 0: no limit.
    multiple: divides every batch size (the number of parts a batch is cut into).
    max_buckets: most shapes to compile.
    align: canvases of the rule "fit" are multiples of this.
    scale: factor on every picture.
    scale_range: of the random factor in training; (1, 1) for none.
    low, high: limits of (height, width) after scaling.
    max_area, max_tokens: records beyond are dropped (area before scaling).
    resize: how a picture gets its size; `scale`, `scale_range`, `low` and `high` are of its rule
      "fit", under the other rules every picture has the size of the canvas.
    augment: random changes of pixels in training, which leave the planned sizes alone.
    texts: what a row of records that have several texts each gets (captions): "each" text is a row
      of its own, "one" of them is drawn every epoch, or a picture has all of them as "references".
      "": a record has one text (formulas).
  """

  batch: int
  max_pixels: int = 0
  multiple: int = 1
  max_buckets: int = 6
  align: int = 16
  scale: float = 1.0
  scale_range: tuple[float, float] = (1.0, 1.0)
  low: tuple[int, int] = (16, 16)
  high: tuple[int, int] = (256, 1024)
  max_area: int = 320_000
  max_tokens: int = 200
  resize: Resize = FIT
  augment: Augment = UNCHANGED
  texts: str = ""


TEXTS = ("", "each", "one", "references")


def usable(
    sizes: Int[np.ndarray, "N 2"], lengths: Int[np.ndarray, "N R"], o: Options
) -> Bool[np.ndarray, "N R"]:
  """True on texts within `max_tokens` of pictures within `max_area`."""
  small = sizes.astype(np.int64).prod(-1) <= o.max_area
  return small[:, None] & (lengths >= 0) & (lengths <= o.max_tokens)


def round_up(x, multiple: int):
  return -(-x // multiple) * multiple


def choose_buckets(
    sizes: Int[np.ndarray, "N 2"], lengths: Int[np.ndarray, "N"], most: int, align: int = 16
) -> list[Bucket]:
  """At most `most` shapes that hold all records with little padding, cheapest first.

  Coordinate descent: each side of each shape in turn takes the value that lowers the summed cost
  of all records, every record going to the cheapest shape that holds it.

  Raises:
    ValueError: no records.
  """
  if len(sizes) == 0:
    raise ValueError("no records to choose buckets for: all were dropped or the split is empty")
  rounded = np.concatenate([round_up(sizes, align), round_up(lengths, 8)[:, None]], 1)
  rounded = np.maximum(rounded, 8).astype(np.int64)
  shapes, counts = np.unique(rounded, axis=0, return_counts=True)
  coarse = align
  while len(shapes) > 800:  # the search is linear in the distinct shapes
    coarse *= 2
    grid = np.concatenate([round_up(rounded[:, :2], coarse), rounded[:, 2:]], 1)
    shapes, counts = np.unique(grid, axis=0, return_counts=True)
  values = [np.unique(shapes[:, d]) for d in range(3)]
  too_small = np.int64(1) << 50

  def costs(buckets: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "n shapes"]:
    fits = (shapes <= buckets[:, None]).all(-1)
    cost = buckets[:, 0] * buckets[:, 1] + TOKEN_COST * buckets[:, 2]
    return np.where(fits, cost[:, None], too_small)

  start = np.random.default_rng(0).choice(len(shapes), min(most, len(shapes)) - 1, replace=False)
  buckets = np.concatenate([shapes[start], shapes.max(0)[None]])  # the last one holds everything
  table = costs(buckets)
  total = None
  while total != (total := (table.min(0) * counts).sum()):
    for i, side in itertools.product(range(len(buckets) - 1), range(3)):
      tried = np.repeat(buckets[i][None], len(values[side]), 0)
      tried[:, side] = values[side]
      rows = costs(tried)
      best = (np.minimum(np.delete(table, i, 0).min(0), rows) * counts).sum(1).argmin()
      buckets[i], table[i] = tried[best], rows[best]

  # Shrink each shape to what falls into it: the grid may have been coarse, the last one generous.
  found = sorted((Bucket(*map(int, b)) for b in buckets), key=lambda b: b.cost)
  chosen = assign(sizes, lengths, found)
  tight = (rounded[chosen == i].max(0) for i in range(len(found)) if (chosen == i).any())
  return sorted({Bucket(*map(int, t)) for t in tight}, key=lambda b: b.cost)


def assign(
    sizes: Int[np.ndarray, "N 2"], lengths: Int[np.ndarray, "N"], buckets: Sequence[Bucket]
) -> Int[np.ndarray, "N"]:
  """Index of the cheapest bucket that holds each record; -1 where none does."""
  chosen = np.full(len(sizes), -1)
  for i in reversed(range(len(buckets))):
    b = buckets[i]
    fits = (sizes[:, 0] <= b.height) & (sizes[:, 1] <= b.width) & (lengths <= b.length)
    chosen[fits] = i
  return chosen


def batch_size(bucket: Bucket, o: Options) -> int:
  """Pictures in a batch of this bucket.

  Raises:
    ValueError: the batch is not a multiple of the parts it is cut into.
  """
  if o.batch % o.multiple:
    near = o.batch // o.multiple * o.multiple
    neighbours = f"{near} or {near + o.multiple}" if near else str(o.multiple)
    raise ValueError(
        f"batch {o.batch} is not a multiple of {o.multiple} (devices x accumulated parts);"
        f" use {neighbours}"
    )
  if not o.max_pixels:
    return o.batch
  fitting = o.max_pixels // (bucket.height * bucket.width) // o.multiple * o.multiple
  return int(np.clip(fitting, o.multiple, o.batch))


class Plan:
  """Batches of `epochs` epochs, addressed by step: `plan[step]`.

  Training plans are shuffled, scale pictures and draw texts at random, by (seed, epoch, record);
  evaluation plans (`train=False`) hold every kept record once, in order of size.
  """

  def __init__(
      self,
      sizes: Int[np.ndarray, "N 2"],
      lengths: Int[np.ndarray, "N"] | Int[np.ndarray, "N R"],
      options: Options,
      *,
      train: bool,
      seed: int = 0,
      epochs: int = 1,
      buckets: Sequence[Bucket] | None = None,
  ):
    """`lengths` are of each record's text, or of its up to R texts (-1: none) with `texts` set.

    Raises:
      ValueError: no records are left, or the options do not fit each other or `lengths`.
    """
    if options.texts not in TEXTS or (lengths.ndim == 2) != bool(options.texts):
      raise ValueError(
          f"texts is {options.texts!r} for lengths of shape {lengths.shape}: use"
          f" {', '.join(map(repr, TEXTS[1:]))} for [records, texts], '' for [records]"
      )
    self.options, self.train, self.seed, self.epochs = options, train, seed, epochs
    self._sizes = sizes
    self._lengths = lengths if lengths.ndim == 2 else lengths[:, None]
    self._usable = usable(sizes, self._lengths, options)
    kept = self._usable.any(1)
    self.dropped = np.flatnonzero(~kept)
    if options.texts in ("", "each"):  # a row for each text
      self.records, self._fixed_texts = np.nonzero(self._usable)
    else:
      self.records = np.flatnonzero(kept)
      self._fixed_texts = self._usable[self.records].argmax(1)  # the first that is usable
    # Shapes for the random sizes of a few epochs serve all of them: the rest goes to larger ones.
    drawn = [self._shapes(e) for e in range(4 if self._varies else 1)]
    self.buckets = self._choose(drawn) if buckets is None else self._enough(buckets, *drawn[0])
    if self._varies:
      lengths_of_epochs = [len(self._epoch_batches(e, count=True)) for e in range(epochs)]
    else:
      lengths_of_epochs = [len(self._epoch_batches(0, count=True))] * epochs
    self.starts = np.cumsum([0, *lengths_of_epochs])
    self._cached: tuple[int, list[Batch]] = (-1, [])

  @property
  def _scales(self) -> bool:
    o = self.options
    return self.train and o.resize.rule == "fit" and tuple(o.scale_range) != (1.0, 1.0)

  @property
  def _align(self) -> int:
    """A common canvas is as large as it was asked for."""
    return self.options.align if self.options.resize.rule == "fit" else 1

  @property
  def _varies(self) -> bool:
    """Whether epochs differ in more than their order."""
    return self._scales or (self.train and self.options.texts == "one")

  def __len__(self) -> int:
    return int(self.starts[-1])

  def __getitem__(self, step: int) -> Batch:
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} of a plan of {len(self)} steps")
    epoch = self.epoch(step)
    cached_epoch, batches = self._cached  # read once: loader threads share this object
    if cached_epoch != epoch:
      batches = self._epoch_batches(epoch)
      self._cached = (epoch, batches)
    return batches[step - int(self.starts[epoch])]

  def epoch(self, step: int) -> int:
    """The epoch that `step` belongs to."""
    return int(np.searchsorted(self.starts, step, side="right")) - 1

  def padding_waste(self, epoch: int = 0) -> float:
    """Share of an epoch's canvas pixels that show no picture (filler rows included)."""
    batches = self._epoch_batches(epoch)
    canvas = sum(b.bucket.height * b.bucket.width * len(b.records) for b in batches)
    return 1 - sum(int(b.sizes[b.records >= 0].prod(-1).sum()) for b in batches) / canvas

  def _enough(
      self,
      buckets: Sequence[Bucket],
      sizes: Int[np.ndarray, "n 2"],
      lengths: Int[np.ndarray, "n"],
  ) -> list[Bucket]:
    """`buckets`, and one for the records that they do not hold, if there are any."""
    out = assign(sizes, lengths, buckets) < 0
    if len(sizes) and not out.any():
      return list(buckets)
    more = choose_buckets(sizes[out], lengths[out], 1, self._align)
    return sorted([*buckets, *more], key=lambda b: b.cost)

  def _choose(
      self, drawn: list[tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n"]]]
  ) -> list[Bucket]:
    """Buckets for the shapes of some epochs; one of them holds whatever another epoch may draw."""
    o = self.options
    sizes, lengths = (np.concatenate(arrays) for arrays in zip(*drawn))
    buckets = choose_buckets(sizes, lengths, o.max_buckets, self._align)
    if not self._varies:
      return buckets
    top = np.full(len(self.records), o.scale * o.scale_range[1])
    sides = self._resized(top).max(0)
    if self._scales:
      sides = np.maximum(sides, o.low)  # thin pictures grow when drawn small
    longest = int(self._lengths[self._usable].max())
    height, width = map(int, round_up(sides, self._align))
    largest = Bucket(height, width, round_up(max(longest, 1), 8))
    if any(all(a >= b for a, b in zip(x, largest)) for x in buckets):
      return buckets
    if o.max_buckets == 1:
      return [largest]
    others = choose_buckets(sizes, lengths, o.max_buckets - 1, self._align)
    return sorted([*others, largest], key=lambda b: b.cost)

  def _shapes(self, epoch: int) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n"]]:
    """Sizes of pictures, and numbers of tokens that their rows must hold, in an epoch."""
    o = self.options
    factors = np.full(len(self.records), o.scale)
    if self._scales:
      draw = np.random.default_rng((self.seed, epoch, 1))
      # Drawn for all records, so that a record's factor does not depend on which others are kept.
      factors = factors * draw.uniform(*o.scale_range, len(self._sizes))[self.records]
    lengths = self._lengths[self.records, self._texts(epoch)]
    if o.texts == "references":
      lengths = np.where(self._usable, self._lengths, 0).max(1)[self.records]
    return self._resized(factors), lengths

  def _resized(self, factors: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n 2"]:
    o = self.options
    if o.resize.rule != "fit":
      return np.tile(np.array(o.resize.canvas, np.int32), (len(self.records), 1))
    return scaled_sizes(self._sizes[self.records], factors, low=o.low, high=o.high)

  def _texts(self, epoch: int) -> Int[np.ndarray, "n"]:
    """Which text each row has in an epoch."""
    if not self.train or self.options.texts != "one":
      return self._fixed_texts
    draw = np.random.default_rng((self.seed, epoch, 3)).random(len(self._sizes))[self.records]
    usable = self._usable[self.records]
    chosen = (draw * usable.sum(1)).astype(int)  # the n-th of the usable ones
    return (usable.cumsum(1) == chosen[:, None] + 1).argmax(1)

  def _epoch_batches(self, epoch: int, count: bool = False) -> list:
    sizes, lengths = self._shapes(epoch)
    texts = self._texts(epoch)
    chosen = assign(sizes, lengths, self.buckets)
    if (chosen < 0).any():
      row = int(np.flatnonzero(chosen < 0)[0])
      raise ValueError(
          f"record {self.records[row]} (size {sizes[row]}, {lengths[row]} tokens) fits none"
          f" of the buckets {self.buckets}"
      )
    draw = np.random.default_rng((self.seed, epoch, 2))
    batches: list = []
    for i, bucket in enumerate(self.buckets):
      members = np.flatnonzero(chosen == i)
      n = batch_size(bucket, self.options)
      if count:
        batches += [None] * -(-len(members) // n)
        continue
      members = draw.permutation(members) if self.train else members[self._by_size(sizes[members])]
      for at in range(0, len(members), n):
        rows = members[at : at + n]
        filler = n - len(rows)
        batches.append(
            Batch(
                bucket,
                np.concatenate([self.records[rows], np.full(filler, -1)]),
                np.concatenate([sizes[rows], np.zeros((filler, 2), np.int32)]),
                np.concatenate([texts[rows], np.zeros(filler, int)]),
                epoch,
            )
        )
    if self.train and not count:
      batches = [batches[i] for i in draw.permutation(len(batches))]
    return batches

  @staticmethod
  def _by_size(sizes: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n"]:
    return np.argsort(sizes[:, 1] * 1_000_000 + sizes[:, 0], kind="stable")
