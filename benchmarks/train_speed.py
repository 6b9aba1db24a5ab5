r"""Pictures a second of training, ours against the PyTorch twin, over the pictures of CROHME.

  pip install -e .[benchmarks]
  python -m benchmarks.train_speed --config=configs/crohme/bttr.py --part=0.05
  python -m benchmarks.train_speed --config=configs/crohme/comer.py --part=0.05

Both train on every picture of an epoch in their own batches: the twin in the reference's (sorted
by area, at most 8, padded to the largest), ours by the batch plan. `--part` takes an evenly spaced
part of each side's batches, in order of cost, and reckons the time of the epoch from it. The two
take turns, batch by batch, in one process. Same sizes, dropout and optimizer (Adadelta); random
scaling is off. Compiling is left out. The last lines say how near our steps come to the machine's
matrix products. On a machine that others use `--clock=cpu` counts processor time, which tells the
speed if the process is kept to one core (`taskset -c 0`).
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.torch_bttr import loss as torch_loss
from benchmarks.torch_data import padded_pixels, reference_batches
from benchmarks.twins import twin
from data_pipelines.pipeline import LoadBatch
from data_pipelines.transforms import resize, scaled_sizes
from mmjax import api, experiment, sharding, splits, train_state
from mmjax import config as configs

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def spread(costs: np.ndarray, part: float) -> np.ndarray:
  """Numbers of an evenly spaced `part` of the batches in order of cost."""
  count = max(1, round(part * len(costs)))
  return np.argsort(costs)[((np.arange(count) + 0.5) * len(costs) / count).astype(int)]


def matrix_peak(clock: Callable[[], float], size: int = 2048, times: int = 10) -> float:
  """FLOP/s of the fastest of some float32 matrix products."""
  x = jax.random.normal(jax.random.key(0), (size, size))
  product = jax.jit(lambda a: a @ a)
  product(x).block_until_ready()
  seconds = []
  for _ in range(times):
    start = clock()
    product(x).block_until_ready()
    seconds.append(clock() - start)
  return 2 * size**3 / min(seconds)


class Ours:
  """Training steps of a config on the batches of its first epoch."""

  def __init__(self, config, part: float, clock: str):
    self.clock = clock
    mesh = experiment.make_mesh(config)
    builder = splits.open_dataset(config)
    words = splits.vocabulary_of(config, builder)
    task = experiment.make_task(config, words)
    split = splits.load_split(config, builder, "train", task)
    options = experiment.data_options(config, mesh, train=True)
    self.plan = split.plan(options, train=True, seed=config.seed)
    batches = [self.plan[i] for i in range(len(self.plan))]
    self.steps = [batches[i] for i in spread(np.array([b.bucket.cost for b in batches]), part)]
    self.total, self.pictures = len(batches), len(self.plan.records)
    self.load = LoadBatch(split.records, split.tokens, 0, 1)
    rates = experiment.make_rates(config, len(self.plan))
    self.state, shardings = train_state.create(task, rates, mesh, config.seed)
    self.mesh, self.key = mesh, jax.random.key(0)
    where = sharding.batch_sharding(mesh)
    self.step = jax.jit(
        train_state.make_update(task, rates),
        in_shardings=(shardings, where, None),
        out_shardings=(shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )
    self.split, self.vocabulary = split, words

  def compile(self) -> None:
    """Runs each shape once and notes the operations of its step."""
    self.flops = {}
    for bucket in tqdm(dict.fromkeys(b.bucket for b in self.steps), "compiling", disable=None):
      planned = next(b for b in self.steps if b.bucket == bucket)
      batch = sharding.place_batch(self.load.map(planned), self.mesh)
      cost = self.step.lower(self.state, batch, self.key).cost_analysis()
      self.flops[bucket] = cost["flops"]
      self.run(planned)

  def run(self, planned) -> float:
    start = CLOCKS[self.clock]()
    batch = sharding.place_batch(self.load.map(planned), self.mesh)
    self.state, metrics = self.step(self.state, batch, self.key)
    jax.block_until_ready(metrics)
    return CLOCKS[self.clock]() - start


class Theirs:
  """Training steps of the twin on the reference's batches."""

  def __init__(self, config, split, vocabulary, part: float, clock: str):
    self.clock = clock
    d = config.data
    factors = np.full(len(split.index.sizes), d.scale)
    self.sizes = sizes = scaled_sizes(split.index.sizes, factors, low=d.low, high=d.high)
    short = np.flatnonzero(split.index.lengths <= 200)
    batches = [[int(short[i]) for i in b] for b in reference_batches(sizes[short])]
    costs = np.array([len(b) * sizes[b].max(0).prod() for b in batches])
    self.steps = [batches[i] for i in spread(costs, part)]
    self.total, self.pictures = len(batches), sum(map(len, batches))
    self.waste = 1 - sizes[np.concatenate(batches)].astype(float).prod(-1).sum() / padded_pixels(
        sizes, batches
    )
    self.split = split
    self.model = twin(config.model, len(vocabulary)).train()
    o = config.optim
    self.optimizer = torch.optim.Adadelta(
        self.model.parameters(), lr=o.lr, rho=o.rho, eps=o.eps, weight_decay=o.weight_decay
    )

  def arrays(self, ids: list[int]):
    sizes, tokens = self.sizes[ids], [self.split.tokens[i] for i in ids]
    height, width = sizes.max(0)
    longest = max(map(len, tokens)) + 1
    image = np.zeros((len(ids), 1, height, width), np.float32)
    mask = np.ones((len(ids), height, width), bool)
    tgt, out = (np.zeros((2, len(ids), longest), np.int64) for _ in range(2))
    for i, (record, (h, w), words) in enumerate(zip(ids, sizes, tokens)):
      image[i, 0, :h, :w] = resize(self.split.records.picture(record), h, w) / np.float32(255)
      mask[i, :h, :w] = False
      for direction, (start, stop, line) in enumerate(((1, 2, words), (2, 1, words[::-1]))):
        tgt[direction, i, : len(line) + 1] = [start, *line]
        out[direction, i, : len(line) + 1] = [*line, stop]
    flat = lambda x: torch.from_numpy(x.reshape(-1, longest))
    return torch.from_numpy(image), torch.from_numpy(mask), flat(tgt), flat(out)

  def run(self, ids: list[int]) -> float:
    start = CLOCKS[self.clock]()
    image, mask, tgt, out = self.arrays(ids)
    self.optimizer.zero_grad(set_to_none=True)
    torch_loss(self.model(image, mask, tgt), out).backward()
    self.optimizer.step()
    return CLOCKS[self.clock]() - start


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--config", default="configs/crohme/bttr.py")
  usage.add_argument("--data_dir", default="")
  usage.add_argument("--part", type=float, default=0.05)
  usage.add_argument("--cpu_devices", type=int, default=1)
  usage.add_argument("--batch", type=int, default=8)
  usage.add_argument("--buckets", type=int, default=24)
  usage.add_argument("--clock", choices=CLOCKS, default="wall")
  a = usage.parse_args()
  overrides = {
      "data.dir": a.data_dir, "data.batch": a.batch, "data.max_buckets": a.buckets,
      "cpu_devices": a.cpu_devices, "optim.name": "adadelta", "optim.lr": 1.0, "optim.rho": 0.9,
      "optim.eps": 1e-6, "optim.schedule": "constant", "optim.weight_decay": 1e-4,
      "optim.clip": 0.0, "optim.ema": 0.0, "data.scale_range": (1.0, 1.0), "data.in_memory": True,
  }  # fmt: skip
  config = configs.override(configs.load(a.config), overrides)
  api.set_up(config)
  ours = Ours(config, a.part, a.clock)
  theirs = Theirs(config, ours.split, ours.vocabulary, a.part, a.clock)
  print(f"{ours.pictures} pictures; {len(ours.steps)} of {ours.total} batches of ours,"
        f" {len(theirs.steps)} of {theirs.total} of the twin's;"
        f" padding {ours.plan.padding_waste():.1%} and {theirs.waste:.1%}", flush=True)  # fmt: skip
  ours.compile()
  theirs.run(theirs.steps[0])
  a_times: list[float] = []
  b_times: list[float] = []
  while len(a_times) < len(ours.steps) or len(b_times) < len(theirs.steps):
    # Keep the two at the same share of their work, so that both meet the same noise.
    if len(a_times) / len(ours.steps) <= len(b_times) / len(theirs.steps):
      a_times.append(ours.run(ours.steps[len(a_times)]))
    else:
      b_times.append(theirs.run(theirs.steps[len(b_times)]))
  rate = lambda side, times: side.pictures / (np.mean(times) * side.total)
  mine, other = rate(ours, a_times), rate(theirs, b_times)
  print(f"ours     {mine:7.2f} pictures/s")
  print(f"PyTorch  {other:7.2f} pictures/s (channels-last)")
  print(f"ratio    {mine / other:7.2f}")
  done = sum(ours.flops[b.bucket] for b in ours.steps) / sum(a_times)
  peak = matrix_peak(CLOCKS[a.clock])
  print(f"ours     {done / 1e9:7.1f} GFLOP/s, {done / peak:.0%} of the {peak / 1e9:.0f} that a"
        " matrix product of 2048 reaches here")  # fmt: skip


if __name__ == "__main__":
  main()
