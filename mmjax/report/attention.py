"""Where a model looks while it writes: maps of its attention beside the pictures they are of."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.batching import Batch, Plan
from data_pipelines.pipeline import LoadBatch, Records
from data_pipelines.transforms import crop_to_canvas
from mmjax import sharding

Seen = tuple[UInt8[np.ndarray, "H W *C"], Float[np.ndarray, "T h w"]]


def attention_maps(
    task: Any, variables: Any, mesh: jax.sharding.Mesh, plan: Plan, records: Records,
    written: Mapping[int, Sequence[str]],
) -> dict[int, Seen]:  # fmt: skip
  """Each picture as the model sees it, and the attention [words + 1, h, w] over its cells.

  Formulas are grey, and their cells overhang at the bottom and the right (see `overlay.overlay`);
  cells of photographs, which keep their proportions, cover all of the picture.

  Args:
    plan, records: of evaluation.
    written: words by record; of others there is nothing.

  Returns:
    By record; empty where several processes compute, since the others are not here.
  """
  if jax.process_count() > 1:
    return {}
  nothing: list = [[]] if plan.options.texts else []
  load = LoadBatch(records, [nothing] * len(records.ids), 0, 1, plan)
  longest = max(map(len, written.values()), default=0)
  seen: dict[int, Seen] = {}
  for step in range(len(plan)):
    planned = plan[step]
    rows = [(row, int(r)) for row, r in enumerate(planned.records) if r in written]
    if not rows:
      continue
    tokens = np.zeros((len(planned.records), longest), np.int32)
    lengths = np.zeros(len(planned.records), np.int32)
    for row, record in rows:
      words = written[record]
      tokens[row, : len(words)] = task.vocabulary.encode(words)
      lengths[row] = len(words)
    arrays = load.map(planned)
    looked = arrays | {"written": tokens, "written_length": lengths}
    batch = sharding.place_batch(looked, mesh)
    weights = jax.device_get(
        task.attention(variables, batch, batch["written"], batch["written_length"])
    )
    for row, record in rows:
      maps = weights[row, : lengths[row] + 1]
      if records.channels == 3:
        seen[record] = _photograph(plan, records, record, arrays, row), maps
      else:
        seen[record] = _formula(planned, row, arrays["image"][row], maps)
  return seen


def _formula(planned: Batch, row: int, canvas: np.ndarray, maps: np.ndarray) -> Seen:
  height, width = map(int, planned.sizes[row])
  stride = planned.bucket.height // maps.shape[1]
  return canvas[:height, :width, 0], maps[:, : -(-height // stride), : -(-width // stride)]


def _photograph(
    plan: Plan, records: Records, record: int, arrays: Mapping[str, np.ndarray], row: int
) -> UInt8[np.ndarray, "H W 3"]:
  """The part of a photograph that its canvas shows, in the proportions that it has."""
  rule = plan.options.resize
  if rule.rule == "fit":
    return arrays["image"][row]
  picture = records.picture(record)
  return crop_to_canvas(picture, rule) if rule.rule == "crop" else picture
