r"""Captions a second of training Show, Attend and Tell, ours against the PyTorch twin.

  pip install -e .[benchmarks]
  python -m benchmarks.caption_train_speed
  python -m benchmarks.caption_train_speed --pictures=16 --rows=5 --cells=49 --channels=1280

Both train the decoder at its published sizes on features of a frozen encoder: same features (random
numbers), same captions (random words; lengths spread as those of Flickr8k), dropout, loss with the
attention penalty, values of gradients clipped at 5, Adam. The twin does as the reference: a row of
features for every caption, sorted by length, finished rows left out. Ours pads a batch to its
longest caption (to a multiple of 4, so that few shapes are compiled) and lets the captions of one
picture share its features. The two take turns, batch by batch, in one process; compiling is left
out. `--sorted` groups captions of about the same length into a batch for both. The last lines say
how near our steps come to the machine's matrix products.
"""

import argparse
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from benchmarks import torch_sat
from benchmarks.train_speed import matrix_peak
from mmjax import losses
from mmjax.convert import show_attend_tell as converter
from mmjax.models.show_attend_tell import ShowAttendTell
from mmjax.text.vocabulary import EOS, PAD, SOS, SPECIALS

RATE, CLIP = 4e-4, 5.0


class Sizes(NamedTuple):
  """Of a batch and of the features."""

  pictures: int
  rows: int
  cells: int
  channels: int
  words: int


class Batch(NamedTuple):
  """The same captions in both forms."""

  tokens_in: np.ndarray  # [B, R, M]
  tokens_out: np.ndarray
  captions: np.ndarray  # [B * R, L], with start and end
  lengths: np.ndarray  # specials counted


def draw(sizes: Sizes, count: int, in_order: bool, seed: int = 0) -> list[Batch]:
  """Batches of random words, in lengths spread as those of Flickr8k: log-normal, 10.8 +- 3.8."""
  rng = np.random.default_rng(seed)
  rows = sizes.pictures * sizes.rows
  lengths = np.exp(rng.normal(2.32, 0.358, count * rows)).round().astype(int).clip(2, 37)
  if in_order:
    lengths = np.sort(lengths)
  batches = []
  for part in lengths.reshape(count, rows):
    longest = -(-(part.max() + 1) // 4) * 4
    at, n = np.arange(longest), part[:, None]
    words = rng.integers(len(SPECIALS), sizes.words, (rows, longest))
    tokens_in = np.where(at == 0, SOS, np.where(at <= n, words, PAD))
    after = np.roll(tokens_in, -1, 1)
    tokens_out = np.where(at < n, after, np.where(at == n, EOS, PAD))
    captions = np.concatenate([tokens_in[:, :1], tokens_out], 1)
    shape = (sizes.pictures, sizes.rows, longest)
    batches.append(
        Batch(tokens_in.reshape(shape), tokens_out.reshape(shape), captions, part + 2)
    )
  return batches


class Ours:
  """Training steps of ours, from the weights of the twin."""

  def __init__(self, model: ShowAttendTell, state: dict[str, np.ndarray], features: np.ndarray):
    self.features = jnp.asarray(features)
    # Our words are numbered in another order than the twin's, which random words do not notice.
    self.params = jax.tree.map(jnp.asarray, converter.convert(state)["params"])
    rule = optax.chain(optax.clip(CLIP), optax.adam(RATE))
    self.optimizer = rule.init(self.params)
    self.key = jax.random.key(0)

    def loss(params, batch, features, key):
      def forward(model):
        memory = model.encode_features(features, train=True)
        tokens_in, tokens_out = batch
        return model.decode_with_penalty(tokens_in, tokens_out != PAD, memory, train=True)

      logits, penalty = model.apply({"params": params}, method=forward, rngs={"dropout": key})
      total, weight = losses.cross_entropy(logits, batch[1])
      return total / weight + penalty.mean()

    def update(params, optimizer, batch, features, key):
      gradient = jax.grad(loss)(params, batch, features, key)
      changes, optimizer = rule.update(gradient, optimizer)
      return optax.apply_updates(params, changes), optimizer

    self.update = jax.jit(update, donate_argnums=(0, 1))

  def run(self, batch: Batch) -> float:
    """Seconds of a step."""
    start = time.perf_counter()
    self.key, key = jax.random.split(self.key)
    words = jnp.asarray(batch.tokens_in), jnp.asarray(batch.tokens_out)
    self.params, self.optimizer = self.update(
        self.params, self.optimizer, words, self.features, key
    )
    jax.block_until_ready(self.params)
    return time.perf_counter() - start


class Theirs:
  """Training steps of the twin, a row of features for every caption."""

  def __init__(self, model: torch_sat.Decoder, features: np.ndarray, rows: int):
    self.model = model.train()
    cells = torch.from_numpy(features.reshape(len(features), -1, features.shape[-1]))
    self.cells = cells.repeat_interleave(rows, 0)
    self.optimizer = torch.optim.Adam(self.model.parameters(), RATE)

  def run(self, batch: Batch) -> float:
    """Seconds of a step."""
    start = time.perf_counter()
    captions, lengths = torch.from_numpy(batch.captions), torch.from_numpy(batch.lengths)
    logits, alphas, order = self.model(self.cells, captions, lengths)
    loss = torch_sat.loss(logits, alphas, captions[order], lengths[order])
    self.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for weight in self.model.parameters():
      weight.grad.clamp_(-CLIP, CLIP)
    self.optimizer.step()
    return time.perf_counter() - start


def operations(sizes: Sizes, batches: list[Batch], hidden: int = 512) -> float:
  """Multiplications and additions of our training steps, padding counted.

  Of every product of weights its value and two gradients; features are no parameters, so that
  those that read them have one gradient less.
  """
  cells, channels, h = sizes.cells, sizes.channels, hidden
  word = h * (h + channels + 4 * h) + channels * 4 * h + h * 4 * h + h * sizes.words
  looks = 3 * cells * h + 2 * cells * channels
  picture = 2 * (cells * channels * h + 2 * channels * h)
  steps = sum(b.tokens_in.size for b in batches)
  return 2.0 * (steps * (3 * word + looks) + len(batches) * sizes.pictures * picture)


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--pictures", type=int, default=32, help="of a batch")
  usage.add_argument("--rows", type=int, default=1, help="captions of each of them")
  usage.add_argument("--cells", type=int, default=196, help="a square: 196, 49")
  usage.add_argument("--channels", type=int, default=2048)
  usage.add_argument("--words", type=int, default=9490)
  usage.add_argument("--batches", type=int, default=12)
  usage.add_argument("--sorted", action="store_true")
  a = usage.parse_args()
  sizes = Sizes(a.pictures, a.rows, a.cells, a.channels, a.words)
  batches = draw(sizes, a.batches, a.sorted)
  torch.manual_seed(0)
  twin = torch_sat.Decoder(a.words, a.channels)
  state = {k: v.numpy().copy() for k, v in twin.state_dict().items()}
  side = round(a.cells**0.5)
  rng = np.random.default_rng(1)
  shape = (a.pictures, side, side, a.channels)
  features = np.maximum(rng.normal(0, 0.5, shape), 0).astype(np.float32)
  ours = Ours(ShowAttendTell(vocabulary_size=a.words), state, features)
  theirs = Theirs(twin, features, a.rows)
  shapes = {b.tokens_in.shape: b for b in batches}
  for batch in shapes.values():
    ours.run(batch)
  theirs.run(batches[0])
  a_times: list[float] = []
  b_times: list[float] = []
  for batch in batches:
    a_times.append(ours.run(batch))
    b_times.append(theirs.run(batch))
  captions = a.pictures * a.rows
  live = sum(int((b.tokens_out != PAD).sum()) for b in batches)
  computed = sum(b.tokens_in.size for b in batches)
  print(f"{len(batches)} batches of {a.pictures} pictures x {a.rows} captions, {a.cells} cells of"
        f" {a.channels}; {live / computed:.0%} of our places are words")  # fmt: skip
  mine, other = (captions * a.batches / sum(t) for t in (a_times, b_times))
  print(f"ours     {mine:7.1f} captions/s")
  print(f"PyTorch  {other:7.1f} captions/s")
  print(f"ratio    {mine / other:7.2f}")
  done = operations(sizes, batches) / sum(a_times)
  peak = matrix_peak()
  print(f"ours     {done / 1e9:7.1f} GFLOP/s, {done / peak:.0%} of the {peak / 1e9:.0f} that a"
        " matrix product of 2048 reaches here")  # fmt: skip


if __name__ == "__main__":
  main()
