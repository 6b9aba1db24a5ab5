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
  """Each picture as the model sees it, and the attention [steps, h, w] over its cells.

  Texts that the task cannot write again, as a tree that was cut off, are left out.
  Formulas are grey, and their cells overhang at the bottom and the right (see `overlay.overlay`);
  cells of photographs, which keep their proportions, cover all of the picture.

  Args:
    plan, records: of evaluation.
    written: words by record; of others there is nothing.

  Returns:
    By record, with a map for each of the task's `step_names`; empty where the task shows none, or
    several processes compute, since the others are not here.
  """
  if jax.process_count() > 1 or task.attention is None or not shows(task.model):
    return {}
  nothing: list = [[]] if plan.options.texts else []
  load = LoadBatch(records, [nothing] * len(records.ids), 0, 1, plan)
  if records.channels == 3:  # not of its text: joined Chinese words may be cut otherwise
    texts = [task.vocabulary.encode(words) for words in written.values()]
  else:
    texts = task.encode_texts([" ".join(words) for words in written.values()])
  encoded = {i: np.array(t, np.int32) for i, t in zip(written, texts) if t is not None}
  longest = max(map(len, encoded.values()), default=0)
  seen: dict[int, Seen] = {}
  for step in range(len(plan)):
    planned = plan[step]
    rows = [(row, int(r)) for row, r in enumerate(planned.records) if r in encoded]
    if not rows:
      continue
    numbers = encoded[rows[0][1]].shape[1:]
    tokens = np.zeros((len(planned.records), longest, *numbers), np.int32)
    lengths = np.zeros(len(planned.records), np.int32)
    for row, record in rows:
      lengths[row] = len(encoded[record])
      tokens[row, : lengths[row]] = encoded[record]
    arrays = load.map(planned)
    looked = arrays | {"written": tokens, "written_length": lengths}
    batch = sharding.place_batch(looked, mesh)
    weights = jax.device_get(
        task.attention(variables, batch, batch["written"], batch["written_length"])
    )
    for row, record in rows:
      maps = weights[row, : len(task.step_names(written[record]))]
      if records.channels == 3:
        seen[record] = _photograph(plan, records, record, arrays, row), maps
      else:
        seen[record] = _formula(planned, row, arrays["image"][row], maps)
  return seen


def shows(model: Any) -> bool:
  """Whether a model looks at parts of a picture: one that does not says `attends = False`."""
  return getattr(model, "attends", True)


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
