r"""Beam-10 bidirectional decoding, ours (batched, cached) against the references' ways.

  pip install -e .[benchmarks]
  python -m benchmarks.decode_speed --workdir=W --split=validation --pictures=32
  python -m benchmarks.decode_speed --config=configs/crohme/bttr.py --max_length=16
  python -m benchmarks.decode_speed --config=configs/crohme/comer.py --max_length=16

The references compute the whole prefix of every hypothesis again at each step: BTTR's of one
picture at a time, CoMER's of four neighbours in area, on a canvas of the largest. The PyTorch twin
does the same with the weights of the trained run in W. Both decode the same evenly spaced pictures
of the split and their texts are compared. Without a run the weights are random: such hypotheses
seldom end, so `--max_length` is then their length. The two take turns. `--clock` as for
`benchmarks.train_speed`.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import torch

from benchmarks.torch_search import batched_search, best, search
from benchmarks.train_speed import CLOCKS
from benchmarks.twins import give_weights, twin
from data_pipelines.batching import Plan
from data_pipelines.pipeline import LoadBatch
from data_pipelines.transforms import resize
from mmjax import api, experiment, sharding, splits, train_state
from mmjax import config as configs
from mmjax.evaluate import load_trained


class Theirs:
  """The twin with our weights, decoding as its reference does."""

  def __init__(self, config, variables, vocabulary_size: int):
    self.model = twin(config.model, vocabulary_size).eval()
    give_weights(self.model, variables, config.model)
    self.decode = config.decode
    self.batch = 1 if config.model.name == "bttr" else 4

  def texts(self, pictures: list[np.ndarray]) -> list[list[int]]:
    """The best text of each of at most `batch` pictures."""
    limits = (self.decode.beam, self.decode.max_length)
    height, width = np.max([p.shape for p in pictures], 0)
    image = np.zeros((len(pictures), 1, height, width), np.float32)
    mask = np.ones((len(pictures), height, width), bool)
    for i, picture in enumerate(pictures):
      h, w = picture.shape
      image[i, 0, :h, :w] = picture / np.float32(255)
      mask[i, :h, :w] = False
    image, mask = torch.from_numpy(image), torch.from_numpy(mask)
    if self.batch == 1:
      return [best(search(self.model, image, *limits)).tokens]
    alpha = self.decode.length_penalty
    return [h.tokens for h in batched_search(self.model, image, mask, *limits, alpha)]


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--workdir")
  usage.add_argument("--config", help="default that of the run in --workdir")
  usage.add_argument("--max_length", type=int, help="tokens; default that of the config")
  usage.add_argument("--data_dir", default="")
  usage.add_argument("--split", default="validation")
  usage.add_argument("--pictures", type=int, default=32)
  usage.add_argument("--batch", type=int, default=16)
  usage.add_argument("--buckets", type=int, help="most canvases; default that of the config")
  usage.add_argument("--clock", choices=CLOCKS, default="wall")
  a = usage.parse_args()
  if not (a.workdir or a.config):
    usage.error("give --workdir=W for trained weights, or --config=FILE for random ones")
  config = configs.load(a.config) if a.config else api.stored_config(a.workdir)
  changed = {"evaluate.batch": a.batch} | ({"data.dir": a.data_dir} if a.data_dir else {})
  changed |= {"decode.max_length": a.max_length} if a.max_length else {}
  changed |= {"evaluate.max_buckets": a.buckets} if a.buckets else {}
  config = configs.override(config, changed)
  api.set_up(config)
  mesh = experiment.make_mesh(config)
  builder = splits.open_dataset(config)
  if a.workdir:
    task, variables, words, step = load_trained(config, Path(a.workdir), None, mesh)
  else:
    words, step = splits.vocabulary_of(config, builder), 0
    task = experiment.make_task(config, words)
    rates = experiment.make_rates(config, 2)
    variables = train_state.create(task, rates, mesh, config.seed)[0].variables
  split = splits.load_split(config, builder, a.split, task)
  by_area = np.argsort(split.index.sizes.prod(-1))
  chosen = by_area[((np.arange(a.pictures) + 0.5) * len(by_area) / a.pictures).astype(int)]
  options = experiment.data_options(config, mesh, train=False)
  plan = Plan(split.index.sizes[chosen], split.index.lengths[chosen], options, train=False)
  load = LoadBatch(split.records, split.tokens, 0, 1)

  def planned(i: int):
    b = plan[i]
    return b._replace(records=np.where(b.records >= 0, chosen[b.records], -1))

  mine: dict[int, list[int]] = {}
  theirs: dict[int, list[int]] = {}

  def decode_ours(i: int) -> None:
    b = planned(i)
    out = jax.device_get(task.predict(variables, sharding.place_batch(load.map(b), mesh)))
    for row, record in enumerate(b.records):
      if record >= 0:
        mine[int(record)] = out.tokens[row, 0, : out.lengths[row, 0]].tolist()

  for i in {plan[i].bucket: i for i in range(len(plan))}.values():
    decode_ours(i)  # compiles
  twins = Theirs(config, variables, len(words))
  sizes = {int(r): s for b in map(planned, range(len(plan))) for r, s in zip(b.records, b.sizes)}

  def decode_theirs(i: int) -> None:
    records = list(map(int, chosen[i * twins.batch : (i + 1) * twins.batch]))
    texts = twins.texts([resize(split.records.picture(r), *map(int, sizes[r])) for r in records])
    theirs.update(zip(records, texts))

  clock = CLOCKS[a.clock]
  sides = ((decode_ours, len(plan)), (decode_theirs, -(-len(chosen) // twins.batch)))
  done, spent = [0, 0], [0.0, 0.0]
  while any(at < total for at, (_, total) in zip(done, sides)):
    # Keep the two at the same share of their work, so that both meet the same noise.
    turn = min((0, 1), key=lambda side: done[side] / sides[side][1])
    start = clock()
    sides[turn][0](done[turn])
    spent[turn] += clock() - start
    done[turn] += 1
  n = len(chosen)
  same = sum(mine[r] == theirs[r] for r in theirs)
  print(f"{n} pictures of {a.split}, checkpoint {step}, beam {config.decode.beam} both ways,"
        f" batch {a.batch}, at most {config.decode.max_length} tokens")  # fmt: skip
  print(f"ours     {n / spent[0]:7.2f} pictures/s")
  print(f"PyTorch  {n / spent[1]:7.2f} pictures/s (the reference's way, {twins.batch} at a time)")
  print(f"ratio    {spent[1] / spent[0]:7.2f}")
  print(f"same text for {same} of {n} (ours: features masked in a bucket; twin: canvas of its"
        " batch)")  # fmt: skip


if __name__ == "__main__":
  main()
