r"""A self-critical step, ours (one compiled step) against the references' way in PyTorch.

  pip install -e .[benchmarks]
  python -m benchmarks.self_critical_speed --pictures=32 --steps=5

Theirs (`benchmarks.torch_clip_reward`): a greedy caption of each picture without dropout, then
captions drawn with dropout; words are drawn with the whole prefix computed again for each, and the
gradient goes through all of that. CIDEr-D is computed on the host, caption by caption. Ours draws
without dropout, and has none in the gradient either unless `--dropout` is given. Both have the same
weights, features and references; the greedy captions are compared, and so are the rewards of their
captions. The chance of the end token is set so that captions have about ten words, as trained ones
do. The update of the weights is left out, and so is compiling. The two take turns.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.torch_clip_reward import Captioner, CiderD, reinforce
from configs.flickr8k import clip_reward_cider
from mmjax import models, rewarding
from mmjax.convert import clip_reward_captioner as converter
from mmjax.decode.options import DecodeOptions
from mmjax.tasks import self_critical
from mmjax.text.vocabulary import EOS, PAD, Vocabulary

CELLS, REFERENCES = (7, 7, 1280), 5
END_CHANCE = 0.1


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--pictures", type=int, default=32)
  usage.add_argument("--words", type=int, default=3000, help="of the vocabulary")
  usage.add_argument("--training", type=int, default=2000, help="pictures of the frequencies")
  usage.add_argument("--steps", type=int, default=5)
  usage.add_argument("--dropout", action="store_true", help="in our gradient, too")
  a = usage.parse_args()
  config = clip_reward_cider.get_config()
  words = Vocabulary.from_words([f"w{i}" for i in range(a.words)])
  references = make_references(max(a.training, a.pictures), len(words))
  sizes = dict(config.model.items())
  task = self_critical.Task(
      models.build(sizes.pop("name"), len(words), **sizes), words,
      decode=DecodeOptions(**config.decode), samples=config.reward.samples,
      dropout=a.dropout, table=rewarding.reference_table(references),
  )  # fmt: skip
  batch = make_batch(references[: a.pictures])
  torch.manual_seed(0)
  theirs = Theirs(task, references, batch["features"])
  params = jax.tree.map(jnp.asarray, converter.convert(theirs.state(), heads=sizes["heads"]))
  ours = jax.jit(
      jax.value_and_grad(lambda p, b, k: task.loss(p, {}, b, k), has_aux=True)
  )
  placed = jax.device_put(batch)
  (_, (_, metrics, _)), _ = ours(params["params"], placed, jax.random.key(0))
  check(task, theirs, params, placed)
  mean = {k: float(s / w) for k, (s, w) in metrics.items()}
  print(f"ours draws captions of {mean['length']:.1f} words, mean reward {mean['reward']:.3f}")
  spent: dict[str, list[float]] = {"ours": []}
  for i in range(a.steps):
    start = time.perf_counter()
    jax.block_until_ready(ours(params["params"], placed, jax.random.key(100 + i)))
    spent["ours"].append(time.perf_counter() - start)
    for name, seconds in theirs.step()[1].items():
      spent.setdefault(name, []).append(seconds)
  part = {name: float(np.median(seconds)) for name, seconds in spent.items()}
  mine = part.pop("ours")
  whole = sum(part.values())
  print(f"{a.pictures} pictures, {task.samples} drawn captions and a greedy one each; medians of"
        f" {a.steps}")  # fmt: skip
  print(f"ours    {mine:.3f} s a step")
  print(f"theirs  {whole:.3f} s: " + ", ".join(f"{k} {v:.3f}" for k, v in part.items()))
  print(f"ratio   {whole / mine:.2f}")


class Theirs:
  """The references' step, a part after the other."""

  def __init__(self, task: self_critical.Task, references, features: np.ndarray):
    model = task.model
    self.model = Captioner(
        model.vocabulary_size - EOS - 1, features.shape[-1], model.width, model.heads,
        model.layers, model.hidden, model.dropout, model.feature_dropout,
    )  # fmt: skip
    self.longest, self.samples = task.decode.max_length, task.samples
    make_likely(self.model)
    self.features = torch.from_numpy(features.astype(np.float32)).flatten(1, 2)
    self.cells = torch.ones(len(features), 1, self.features.shape[1], dtype=torch.bool)
    self.references = [[spell([n - EOS for n in text]) for text in texts] for texts in references]
    self.cider = CiderD(self.references)

  def state(self) -> dict[str, np.ndarray]:
    return {k: v.numpy().copy() for k, v in self.model.state_dict().items()}

  def greedy(self) -> torch.Tensor:
    """Captions [B, L] of the likeliest words."""
    self.model.eval()
    with torch.no_grad():
      return self.model.sample(self.features, self.cells, self.longest, greedy=True)[0]

  def judge(self, captions: torch.Tensor) -> np.ndarray:
    """CIDEr-D [B, R] of captions [B * R, L]."""
    rows = captions.tolist()
    each = len(rows) // len(self.features)
    texts = [spell(row[: row.index(0)]) if 0 in row else list(map(str, row)) for row in rows]
    scores = [self.cider.score(t, self.references[i // each]) for i, t in enumerate(texts)]
    return np.array(scores, np.float32).reshape(-1, each)

  def step(self):
    """(drawn captions, their rewards), and seconds of each part."""
    marks = [time.perf_counter()]
    mark = lambda: marks.append(time.perf_counter())
    best = self.greedy()
    mark()
    self.model.train()
    drawn, log_probs = self.model.sample(self.features, self.cells, self.longest, self.samples)
    mark()
    reward = self.judge(drawn)
    advantages = torch.from_numpy(reward - self.judge(best)).flatten()
    mark()
    self.model.zero_grad(set_to_none=True)
    reinforce(log_probs.gather(2, drawn[..., None])[..., 0], drawn, advantages).backward()
    mark()
    names = ("greedy", "draws", "CIDEr-D", "gradient")
    return (drawn, reward), dict(zip(names, np.diff(marks).tolist()))


def check(task, theirs, params, batch) -> None:
  """Compares greedy captions, and what both say of the captions that they draw."""
  def draw(params, batch):
    memory = task.model.apply(params, batch["features"], method="encode_features")
    return task.draw(params, memory, batch["real"], jax.random.key(0))

  mine = np.asarray(jax.jit(draw)(params, batch).tokens[:, 0])
  same = (mine == converter.as_ours(theirs.greedy().numpy())).all(-1).mean()
  (drawn, reward), _ = theirs.step()
  tokens = jnp.asarray(converter.as_ours(drawn.numpy())).reshape(len(reward), task.samples, -1)
  captions = self_critical.Drawn(tokens, (tokens != PAD).sum(-1))
  apart = np.abs(np.asarray(jax.jit(task.judged)(batch, captions)["cider_d"]) - reward).max()
  print(f"the same greedy captions: {same:.1%}; CIDEr-D of drawn ones differs by at most"
        f" {apart:.1e}")  # fmt: skip
  words = (drawn != 0).sum(-1).double().mean()
  print(f"theirs draws captions of {words:.1f} words, mean reward {reward.mean():.3f}")


def spell(numbers) -> list[str]:
  """As the references write a caption: its numbers and a closing 0."""
  return [*map(str, numbers), "0"]


def make_references(pictures: int, vocabulary: int) -> list[list[list[int]]]:
  """Captions of 8 to 14 words; the n-th word's frequency falls as 1 / n."""
  random = np.random.default_rng(0)
  chance = 1 / np.arange(1, vocabulary - EOS)
  draw = lambda n: random.choice(len(chance), n, p=chance / chance.sum()) + EOS + 1
  return [[draw(random.integers(8, 15)).tolist() for _ in range(REFERENCES)]
          for _ in range(pictures)]  # fmt: skip


def make_batch(references) -> dict[str, np.ndarray]:
  longest = max(len(words) for texts in references for words in texts)
  tokens = np.zeros((len(references), REFERENCES, longest), np.int32)
  for (i, r), _ in np.ndenumerate(tokens[..., 0]):
    tokens[i, r, : len(references[i][r])] = references[i][r]
  features = np.random.default_rng(1).normal(size=(len(references), *CELLS))
  return {
      "features": np.maximum(features, 0).astype(np.float16),
      "references": tokens,
      "reference_length": (tokens != PAD).sum(-1).astype(np.int32),
      "real": np.ones(len(references), bool),
  }


def make_likely(model: Captioner) -> None:
  """Words become as frequent as those of the references, and ends come after ten."""
  proj = model.model["generator"]["proj"]
  chance = 1 / np.arange(1, proj.out_features)
  chance *= (1 - END_CHANCE) / chance.sum()
  with torch.no_grad():
    proj.weight *= 0.1
    proj.bias.copy_(torch.from_numpy(np.log([END_CHANCE, *chance])))


if __name__ == "__main__":
  main()
