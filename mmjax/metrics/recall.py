"""Retrieval: how often what belongs to a picture is among the nearest, and the other way round."""

import numpy as np
from jaxtyping import Float, Int

RANKS = (1, 5, 10)


def recalls(
    pictures: Float[np.ndarray, "N E"],
    texts: Float[np.ndarray, "M E"],
    owners: Int[np.ndarray, "M"],
) -> dict[str, float]:
  """Recall at 1, 5 and 10 of texts for pictures and of pictures for texts, in percent.

  A picture counts as found where any of its texts is among the nearest; ties go against it.

  Args:
    pictures: their vectors.
    texts: their vectors, of the same space.
    owners: the picture that each text is of; every picture has one.

  Returns:
    `text_recall_1`, ... (a picture asks for texts), `picture_recall_1`, ... and `recall_mean`.

  Raises:
    ValueError: a picture has no text, or a text no picture.
  """
  alone = np.setdiff1d(np.arange(len(pictures)), owners)
  if len(alone) or len(texts) == 0 or owners.min() < 0 or owners.max() >= len(pictures):
    raise ValueError(
        f"{len(alone)} of {len(pictures)} pictures have no text"
        + (f", the first is number {alone[0]}" if len(alone) else "; a text has no picture")
    )
  near = np.asarray(pictures, np.float32) @ np.asarray(texts, np.float32).T  # [N, M]
  own = near[owners, np.arange(len(texts))]  # [M]
  mine = owners == np.arange(len(pictures))[:, None]
  best = np.where(mine, near, -np.inf).max(1)
  before = {  # what is at least as near, of others
      "text": (~mine & (near >= best[:, None])).sum(1),
      "picture": (~mine & (near >= own)).sum(0),
  }
  out = {
      f"{kind}_recall_{rank}": 100 * float((ahead < rank).mean())
      for kind, ahead in before.items()
      for rank in RANKS
  }
  return out | {"recall_mean": float(np.mean(list(out.values())))}
