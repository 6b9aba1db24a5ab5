"""A small published CLIP: the recorded network with a text's tower for 516 pieces."""

import pathlib

import numpy as np

from mmjax.convert.arrays import read_arrays


def write_clip(shared: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  """`plain.npz` with OpenAI's names, `tuned.npz` with a head for grammar, and `merges.txt`."""
  (folder / "merges.txt").write_text("header\na t</w>\nd o\n")
  arrays = read_arrays(shared / "golden" / "clip_vit_small.npz")
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  rng = np.random.default_rng(0)
  state["token_embedding.weight"] = rng.normal(0, 0.5, (516, 64)).astype(np.float32)
  state["positional_embedding"] = rng.normal(0, 0.1, (40, 64)).astype(np.float32)
  np.savez(folder / "plain.npz", **state)
  features = state["text_projection"].shape[1]
  head = {"0.weight": (features, 64), "2.weight": (2, features)}
  tuned = {f"clip_model.{name}": array for name, array in state.items()}
  made = lambda shape: rng.normal(0, 0.2, shape).astype(np.float32)
  tuned |= {f"grammar_score_head.{name}": made(shape) for name, shape in head.items()}
  np.savez(folder / "tuned.npz", **tuned)
  return folder
