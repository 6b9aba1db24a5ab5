"""CLIPScore: how well a caption fits its picture, and its references, by the cosines of CLIP.

The vectors come from a file (`--clip_embeddings`), so that scoring needs no network; see
`python -m mmjax.infer.embed`.

Reference: Hessel et al., 2021, CLIPScore: a reference-free evaluation metric for image captioning.
"""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmjax.metrics.measured import Measured

PROMPT = "A photo depicts "  # stands before every caption that is embedded
WEIGHT = 2.5
KEYS = ("pictures", "picture_features", "texts", "text_features")


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """Vectors of pictures by id and of texts by what they say (without `PROMPT`).

  Attributes:
    pictures: {id: [E] vector}.
    texts: {text: [E] vector}.
  """

  pictures: dict[str, Float[np.ndarray, "E"]]
  texts: dict[str, Float[np.ndarray, "E"]]

  @classmethod
  def load(cls, path: Path | str) -> "Embeddings":
    """Reads an `.npz` of `pictures` [N] ids, `picture_features` [N, E], `texts` [M] and
    `text_features` [M, E].

    Raises:
      ValueError: it is missing, or no such file.
    """
    try:
      with np.load(path, allow_pickle=False) as file:
        ids, seen, texts, read = (file[key] for key in KEYS)
    except FileNotFoundError as e:
      raise ValueError(f"{path}: no such file") from e
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as e:
      raise ValueError(f"{path}: not an .npz of {', '.join(KEYS)} ({e})") from e
    if seen.shape != (len(ids), read.shape[-1]) or read.shape[:-1] != texts.shape:
      raise ValueError(
          f"{path}: {len(ids)} pictures with features {seen.shape}, {len(texts)} texts with"
          f" {read.shape}; give one vector for each, all of one size"
      )
    named = lambda names, rows: dict(zip(map(str, names), rows.astype(np.float64)))
    return cls(named(ids, seen), named(texts, read))

  def save(self, path: Path) -> None:
    """Writes what `load` reads."""
    features = lambda rows: np.stack(list(rows.values())).astype(np.float32)
    np.savez(
        path, pictures=list(self.pictures), picture_features=features(self.pictures),
        texts=list(self.texts), text_features=features(self.texts),
    )  # fmt: skip


def measure(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
    *,
    ids: Sequence[str],
    clip_embeddings: Embeddings,
) -> Measured:
  """CLIPScore of the captions with their pictures and references; means over samples.

  Args:
    references: texts of each sample.
    hypotheses: a text of each sample.
    ids: of the pictures.
    clip_embeddings: of all of them.

  Returns:
    `clipscore`, `refclipscore`, `refclipscore_reward`; see `scores`.

  Raises:
    ValueError: a picture or a text has no vector.
  """
  picture = _rows(clip_embeddings.pictures, ids, "picture")
  text = lambda texts: _rows(clip_embeddings.texts, texts, "text")
  rows = [
      scores(seen, written, text(given))
      for seen, written, given in zip(picture, text(hypotheses), references)
  ]
  statistics = np.array([[*row.values(), 1.0] for row in rows])
  names = list(rows[0])
  return Measured(statistics, lambda s: {k: s[..., i] / s[..., -1] for i, k in enumerate(names)})


def scores(
    picture: Float[np.ndarray, "E"], caption: Float[np.ndarray, "E"],
    references: Float[np.ndarray, "M E"],
) -> dict[str, float]:  # fmt: skip
  """Scores of a caption from vectors of any length.

  Returns:
    `clipscore` = 2.5 max(cos(picture, caption), 0); `refclipscore`, the harmonic mean of it and of
    max(cos(caption, reference), 0), the largest over references; `refclipscore_reward`, the same
    with the second term times 2.5, which is what is called RefCLIP-S where CLIP is a reward (Cho et
    al., 2022), and no more than a name in common with the former.
  """
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
  fit = WEIGHT * max(float(unit(picture) @ unit(caption)), 0.0)
  near = max(float((unit(references) @ unit(caption)).max()), 0.0)
  return {
      "clipscore": fit,
      "refclipscore": _harmonic(fit, near),
      "refclipscore_reward": _harmonic(fit, WEIGHT * near),
  }


def _harmonic(a: float, b: float) -> float:
  return 2 * a * b / (a + b) if a + b else 0.0


def _rows(vectors: dict[str, np.ndarray], names: Sequence[str], kind: str) -> np.ndarray:
  missing = [name for name in names if name not in vectors]
  if missing:
    raise ValueError(f"{len(missing)} {kind}s have no vector in --clip_embeddings, the first:"
                     f" {missing[0][:60]!r}; embed the same files again")  # fmt: skip
  return np.stack([vectors[name] for name in names])
