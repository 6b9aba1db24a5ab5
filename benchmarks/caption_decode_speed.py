r"""Beam-5 captions of Show, Attend and Tell, ours (batched, cached) against the reference's loop.

  pip install -e .[benchmarks]
  python -m benchmarks.caption_decode_speed --pictures=32
  python -m benchmarks.caption_decode_speed --cells=49 --channels=1280

The reference takes one picture at a time, copies its features to every hypothesis and projects them
anew for every word; the twin does the same with the same weights. These are random, and such
hypotheses seldom end, so that `--max_length` is their length. Both start from the same features
(random numbers), and their texts are compared. The two take turns; compiling is left out.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import torch_sat
from mmjax.convert import show_attend_tell as converter
from mmjax.decode.options import DecodeOptions
from mmjax.models.show_attend_tell import ShowAttendTell
from mmjax.tasks.recognition import Task
from mmjax.text.vocabulary import Vocabulary


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--pictures", type=int, default=32)
  usage.add_argument("--batch", type=int, default=16, help="of ours")
  usage.add_argument("--beam", type=int, default=5)
  usage.add_argument("--max_length", type=int, default=16)
  usage.add_argument("--cells", type=int, default=196, help="a square: 196, 49")
  usage.add_argument("--channels", type=int, default=2048)
  usage.add_argument("--words", type=int, default=9490)
  a = usage.parse_args()
  if a.pictures % a.batch:
    usage.error(f"--pictures={a.pictures} is not a multiple of --batch={a.batch}")
  torch.manual_seed(0)
  twin = torch_sat.Decoder(a.words, a.channels).eval()
  state = {k: v.numpy().copy() for k, v in twin.state_dict().items()}
  model = ShowAttendTell(vocabulary_size=a.words)
  variables = jax.tree.map(jnp.asarray, converter.convert(state))
  task = Task(
      model,
      Vocabulary(()),
      DecodeOptions(beam=a.beam, max_length=a.max_length, length_penalty=0.0),
  )
  side = round(a.cells**0.5)
  shape = (a.pictures // a.batch, a.batch, side, side, a.channels)
  values = np.random.default_rng(1).normal(0, 2, shape)
  features = np.maximum(values, 0).astype(np.float32)

  @jax.jit
  def decode(variables, features):
    memory = model.apply(variables, features, method="encode_features")
    found = task.search(variables, memory, jnp.ones(len(features), bool))
    return found.tokens[:, 0], found.lengths[:, 0]

  order = converter.word_order(a.words)
  start, end = order[1:3].tolist()
  mine: list[list[int]] = []
  theirs: list[list[int]] = []
  seconds, spent = 0.0, 0.0
  jax.block_until_ready(decode(variables, features[0]))
  torch_sat.search(twin, torch.from_numpy(features[0, :1]).flatten(1, 2), start, end, a.beam, 2)
  for batch in features:
    began = time.perf_counter()
    tokens, lengths = jax.device_get(decode(variables, batch))
    mine += [order[row[:n]].tolist() for row, n in zip(tokens, lengths)]
    seconds += time.perf_counter() - began
    began = time.perf_counter()
    for picture in torch.from_numpy(batch).flatten(1, 2):
      found = torch_sat.search(twin, picture[None], start, end, a.beam, a.max_length)
      theirs.append(found[0])
    spent += time.perf_counter() - began
  same = sum(x == y for x, y in zip(mine, theirs))
  print(f"{a.pictures} pictures of {a.cells} cells of {a.channels}, beam {a.beam} both ways,"
        f" batch {a.batch}, at most {a.max_length} tokens")  # fmt: skip
  print(f"ours     {a.pictures / seconds:7.2f} pictures/s")
  print(f"PyTorch  {a.pictures / spent:7.2f} pictures/s (the reference's way)")
  print(f"ratio    {spent / seconds:7.2f}")
  print(f"same text for {same} of {a.pictures}, of {np.mean([*map(len, theirs)]):.1f} words on"
        " average")  # fmt: skip


if __name__ == "__main__":
  main()
