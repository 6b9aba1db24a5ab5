"""Proves that the PyTorch twin computes what the reference does.

  python -m benchmarks.check_twin --golden=bttr_small.npz
  python -m benchmarks.check_twin --golden=comer_small.npz
"""

import argparse
import json
import sys

import numpy as np
import torch

from benchmarks import torch_bttr, torch_search

TOLERANCE = 1e-4


def is_comer(sizes: dict) -> bool:
  """Whether sizes are of a CoMER."""
  return "self_coverage" in sizes


def read_model(golden: np.lib.npyio.NpzFile) -> torch_bttr.Bttr:
  """The network of a golden file (BTTR, or CoMER if coverage is named), in evaluation mode."""
  names = (
    "d_model", "growth_rate", "num_layers", "nhead", "num_decoder_layers", "dim_feedforward",
    "dropout", "vocab_size",
  )
  sizes = json.loads(str(golden["hparams"]))
  options = {}
  if is_comer(sizes):
    used = [name for name in ("self", "cross") if sizes[f"{name}_coverage"]]
    options = {"coverage": used, "dc": sizes["dc"]}
  model = torch_bttr.Bttr(**{name: sizes[name] for name in names}, **options)
  state = {k.removeprefix("state/"): golden[k] for k in golden if k.startswith("state/")}
  torch_bttr.load_reference(model, {k: torch.as_tensor(v) for k, v in state.items()})
  return model.eval()


@torch.inference_mode()
def differences(model: torch_bttr.Bttr, golden: np.lib.npyio.NpzFile) -> dict[str, float]:
  """Largest absolute difference of each output of one batch."""
  img, mask, tgt, out = (torch.as_tensor(golden[f"in/{k}"]) for k in ("img", "mask", "tgt", "out"))
  feature, feature_mask = model.encode(img, mask)
  logits = model(img, mask, tgt)
  got = {
    "encoder_feature": feature,
    "encoder_mask": feature_mask,
    "logits": logits,
    "loss": torch_bttr.loss(logits, out),
  }
  apart = {}
  for k, v in got.items():
    expected = golden[f"out/{k}"].astype(np.float64)  # BTTR's cells are recorded in a row
    apart[k] = float(np.abs(v.double().numpy().reshape(expected.shape) - expected).max())
  return apart


def beam_difference(
  model: torch_bttr.Bttr, golden: np.lib.npyio.NpzFile, index: int
) -> tuple[bool, float]:
  """Whether picture `index` alone gives the same texts, and the largest score difference.

  BTTR's golden file has all hypotheses, CoMER's the best.
  """
  sizes = json.loads(str(golden["hparams"]))
  h, w = sizes["sizes"][index]
  img = torch.as_tensor(golden["in/img"][index : index + 1, :, :h, :w])
  if is_comer(sizes):
    mask = torch.zeros(1, h, w, dtype=torch.bool)
    # The recorded length counts the start token.
    limits = (sizes["beam"], sizes["max_len"] - 1, sizes["alpha"])
    [best] = torch_search.batched_search(model, img, mask, *limits)
    same = best.tokens == golden[f"out/best{index}_seq"].tolist()
    return same, abs(best.score - float(golden[f"out/best{index}_score"]))
  found = torch_search.search(model, img, sizes["beam"], sizes["max_len"])
  expected = [[t for t in row if t >= 0] for row in golden[f"out/beam{index}_seq"].tolist()]
  if [h.tokens for h in found] != expected:
    return False, float("inf")
  scores = np.array([h.score for h in found])
  return True, float(np.abs(scores - golden[f"out/beam{index}_score"]).max())


def main() -> int:
  """Prints a line per output; returns 1 if any of them is off."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--golden", required=True, help="npz with state, inputs and outputs")
  golden = np.load(parser.parse_args().golden)
  model = read_model(golden)
  good = True
  for name, difference in differences(model, golden).items():
    good &= difference <= TOLERANCE
    print(f"{name:16} {difference:.2e}")
  for index in range(len(golden["in/img"])):
    same, difference = beam_difference(model, golden, index)
    good &= same and difference <= TOLERANCE
    print(f"beam{index:<12} {difference:.2e}  sequences {'equal' if same else 'DIFFER'}")
  print("agrees" if good else "DOES NOT AGREE")
  return 0 if good else 1


if __name__ == "__main__":
  sys.exit(main())
