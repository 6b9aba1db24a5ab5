"""Proves that the PyTorch twin of Show, Attend and Tell computes what the reference does.

  python -m benchmarks.check_sat_twin --golden=sat_decoder_small.npz
"""

import argparse
import json
import sys

import numpy as np
import torch

from benchmarks.torch_sat import Decoder, search

TOLERANCE = 1e-4


def main() -> int:
  """Prints a line per output; returns 1 if any of them is off."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--golden", required=True, help="npz with state, inputs and outputs")
  golden = np.load(parser.parse_args().golden)
  sizes = json.loads(str(golden["hparams"]))
  names = ("vocab_size", "encoder_dim", "attention_dim", "embed_dim", "decoder_dim")
  model = Decoder(**{name: sizes[name] for name in names}).eval()
  state = {k.removeprefix("state/"): golden[k] for k in golden if k.startswith("state/")}
  model.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
  cells = torch.as_tensor(golden["in/encoder_out"]).flatten(1, 2)
  captions, lengths = (torch.as_tensor(golden[f"in/{k}"]) for k in ("captions", "lengths"))
  with torch.inference_mode():
    logits, alphas, order = model(cells, captions, lengths)
  back = order.argsort()
  good = True
  for name, ours in (("logits", logits[back]), ("alphas", alphas[back])):
    difference = float(np.abs(ours.numpy() - golden[f"out/{name}"]).max())
    good &= difference <= TOLERANCE
    print(f"{name:8} {difference:.2e}")
  for i in range(len(cells)):
    words, score = search(model, cells[i : i + 1], sizes["start"], sizes["end"], sizes["beam"],
                          sizes["max_steps"] + 1)  # fmt: skip
    same = [sizes["start"], *words, sizes["end"]] == golden[f"out/beam{i}_seq"].tolist()
    difference = abs(score - float(golden[f"out/beam{i}_score"]))
    good &= same and difference <= TOLERANCE
    print(f"beam{i:<4} {difference:.2e}  sequences {'equal' if same else 'DIFFER'}")
  print("agrees" if good else "DOES NOT AGREE")
  return 0 if good else 1


if __name__ == "__main__":
  sys.exit(main())
