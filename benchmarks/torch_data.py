"""The reference's batches: neighbours in area, few at a time."""

import numpy as np
from jaxtyping import Int


def reference_batches(
  sizes: Int[np.ndarray, "N 2"], batch: int = 8, max_area: int = 320_000
) -> list[list[int]]:
  """Ids of the samples of each batch, in ascending order of area.

  A batch is closed when one more sample would make it more than `batch`, or its largest picture
  times its count larger than `max_area`. Pictures above `max_area` by themselves are dropped.

  Args:
    sizes: height and width of each sample in pixels.
    batch: largest number of samples in a batch.
    max_area: pixels.
  """
  areas = sizes.prod(1, dtype=np.int64)
  batches: list[list[int]] = []
  current: list[int] = []
  for i in np.argsort(areas, kind="stable").tolist():
    if areas[i] > max_area:
      break
    # areas ascend, so this sample's is the largest so far
    if len(current) == batch or areas[i] * (len(current) + 1) > max_area:
      batches.append(current)
      current = []
    current.append(i)
  return [*batches, current] if current else batches


def padded_pixels(sizes: Int[np.ndarray, "N 2"], batches: list[list[int]]) -> int:
  """Pixels computed in an epoch: each batch is padded to its largest height and width."""
  return sum(len(ids) * int(sizes[ids].max(0).prod()) for ids in batches)
