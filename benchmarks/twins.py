"""One network in both frameworks: the PyTorch twin of a config, with the same weights."""

from typing import Any

import jax
import numpy as np
import torch

from benchmarks.torch_bttr import Bttr
from mmjax.convert import bttr, comer

CONVERTERS: dict[str, Any] = {"bttr": bttr, "comer": comer}


def twin(sizes: dict, vocabulary_size: int, *, channels_last: bool = True) -> Bttr:
  """The PyTorch network with the sizes of `config.model`.

  Raises:
    ValueError: it is a model without a twin.
  """
  if sizes["name"] not in CONVERTERS:
    raise ValueError(f"model {sizes['name']} has no twin; these have: {', '.join(CONVERTERS)}")
  refined: dict[str, Any] = {}
  if sizes["name"] == "comer":
    refined = {"coverage": tuple(sizes["coverage"]), "dc": sizes["coverage_channels"]}
  return Bttr(
      d_model=sizes["width"],
      growth_rate=sizes["growth"],
      num_layers=tuple(sizes["encoder_layers"]),
      nhead=sizes["heads"],
      num_decoder_layers=sizes["layers"],
      dim_feedforward=sizes["hidden"],
      dropout=sizes["dropout"],
      vocab_size=vocabulary_size,
      channels_last=channels_last,
      **refined,
  )


def give_weights(model: Bttr, variables: dict, sizes: dict) -> None:
  """Sets the weights of `model` to those of our `variables`; `sizes` are those of `config.model`.

  The converter only moves numbers. Run on arrays that hold their own places, it tells where each
  of our numbers comes from.
  """
  state = model.state_dict()
  names = [k for k, v in state.items() if v.is_floating_point() and not k.endswith(".pe")]
  starts = np.cumsum([0, *(state[k].numel() for k in names)])
  if starts[-1] >= 1 << 24:
    raise ValueError(f"{starts[-1]} weights: float32 does not tell so many places apart")
  places = {
      k: np.arange(a, b, dtype=np.float32).reshape(state[k].shape)
      for k, a, b in zip(names, starts, starts[1:])
  }
  whole = np.zeros(starts[-1], np.float32)
  moved = CONVERTERS[sizes["name"]].convert(places, heads=sizes["heads"])
  ours = {jax.tree_util.keystr(k): v for k, v in jax.tree.leaves_with_path(variables)}
  for key, place in jax.tree.leaves_with_path(moved):
    whole[place.astype(np.int64)] = np.asarray(ours[jax.tree_util.keystr(key)])
  for k, a, b in zip(names, starts, starts[1:]):
    state[k].copy_(torch.from_numpy(whole[a:b].reshape(state[k].shape)))
