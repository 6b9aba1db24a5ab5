r"""A self-critical step, ours (one compiled step) against the references' way.

  python -m benchmarks.self_critical_speed --pictures=32 --steps=5

Theirs: words are drawn with the whole prefix computed again for each, captions go to the host,
CIDEr-D is computed there caption by caption, advantages come back, the gradient is a step of its
own. Both use the same network with random weights, the same draws and references; the captions
are compared, and so are the rewards. The chance of the end token is set so that captions have
about ten words, as trained ones do.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from configs.flickr8k import clip_reward_cider
from mmjax import losses, models, rewarding
from mmjax.decode.options import DecodeOptions
from mmjax.metrics import cider
from mmjax.tasks import self_critical
from mmjax.text.vocabulary import EOS, PAD, SOS, Vocabulary

CELLS, REFERENCES, ROUND = (7, 7, 1280), 5, 4  # prefixes are rounded up, lest each one compiles


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("--pictures", type=int, default=32)
  usage.add_argument("--words", type=int, default=3000, help="of the vocabulary")
  usage.add_argument("--training", type=int, default=2000, help="pictures of the frequencies")
  usage.add_argument("--steps", type=int, default=5)
  a = usage.parse_args()
  config = clip_reward_cider.get_config()
  words = Vocabulary.from_words([f"w{i}" for i in range(a.words)])
  references = make_references(max(a.training, a.pictures), len(words))
  sizes = dict(config.model.items())
  model = models.build(sizes.pop("name"), len(words), **sizes)
  task = self_critical.Task(
      model, words, decode=DecodeOptions(**config.decode), samples=config.reward.samples,
      table=rewarding.reference_table(references),
  )  # fmt: skip
  batch = make_batch(references[: a.pictures])
  params = make_params(model, batch)
  spelled = [[spell([*text, EOS]) for text in texts] for texts in references]
  theirs = Theirs(task, spelled)
  ours = jax.jit(jax.value_and_grad(lambda p, k: task.loss(p, {}, batch, k), has_aux=True))

  check(task, theirs, ours, params, batch)
  spent = {"ours": 0.0, "draw": 0.0, "judge": 0.0, "gradient": 0.0}
  for i in range(a.steps):  # in turn, so that both meet the same load
    key = jax.random.key(100 + i)
    start = time.perf_counter()
    jax.block_until_ready(ours(params, key))
    spent["ours"] += time.perf_counter() - start
    for name, seconds in theirs.step(params, batch, key)[1].items():
      spent[name] += seconds
  mean = {name: seconds / a.steps for name, seconds in spent.items()}
  whole = mean["draw"] + mean["judge"] + mean["gradient"]
  print(f"{a.pictures} pictures, {task.samples} drawn captions and a greedy one each")
  print(f"ours   {mean['ours']:.3f} s a step")
  print(f"theirs {whole:.3f} s: draws {mean['draw']:.3f}, CIDEr-D {mean['judge']:.3f},"
        f" gradient {mean['gradient']:.3f}")  # fmt: skip
  print(f"ratio  {whole / mean['ours']:.2f}")


class Theirs:
  """The references' way, a part after the other."""

  def __init__(self, task: self_critical.Task, references: list[list[str]]):
    self.task, self._references = task, references
    self._frequencies = cider.document_frequencies(references)
    apply = task.model.apply
    self._encode = jax.jit(lambda p, x: apply({"params": p}, x, method="encode_features"))

    @functools.partial(jax.jit, static_argnames="size")
    def word(params, memory, tokens, position, key, size):
      tokens_in = jnp.pad(tokens, [(0, 0), (0, 0), (1, 0)], constant_values=SOS)[..., :size]
      logits = apply({"params": params}, tokens_in, memory, method="decode")
      logits = jax.lax.dynamic_index_in_dim(logits, position, 2, keepdims=False)
      policy = self_critical._log_policy(logits, task.temperature)
      drawn = jax.random.categorical(jax.random.fold_in(key, position), policy)
      drawn = drawn.at[:, 0].set(policy[:, 0].argmax(-1)).astype(jnp.int32)
      done = (tokens == EOS).any(-1)
      tokens = tokens.at[..., position].set(jnp.where(done, PAD, drawn))
      return tokens, (done | (drawn == EOS)).all()

    @jax.jit
    def gradient(params, features, tokens, advantages):
      def loss(params):
        memory = apply({"params": params}, features, method="encode_features")
        tokens_in = jnp.pad(tokens, [(0, 0), (0, 0), (1, 0)], constant_values=SOS)[..., :-1]
        logits = apply({"params": params}, tokens_in, memory, method="decode")
        policy = self_critical._log_policy(logits, task.temperature)
        chosen = jnp.take_along_axis(policy, tokens[..., None], -1)[..., 0]
        return losses.policy_gradient(chosen, advantages, tokens != PAD)[0]

      return jax.grad(loss)(params)

    self._word, self._gradient = word, gradient

  def step(self, params, batch, key):
    """(drawn tokens, their rewards, the gradient), and seconds of each part."""
    task, size = self.task, self.task.decode.max_length
    start = time.perf_counter()
    memory = self._encode(params, batch["features"])
    tokens = jnp.full((len(batch["features"]), task.samples + 1, size), PAD, jnp.int32)
    draw_key = jax.random.split(key)[0]
    for position in range(size):
      prefix = min(-(-(position + 1) // ROUND) * ROUND, size)
      tokens, ended = self._word(params, memory, tokens, position, draw_key, prefix)
      if ended:
        break
    drawn = np.asarray(tokens)
    drew = time.perf_counter()
    rewards = np.zeros(drawn.shape[:2], np.float32)
    for i, rows in enumerate(drawn):
      for r, row in enumerate(rows):
        texts = [self._references[i]], [spell(row[row != PAD])]
        rewards[i, r] = cider.measure(*texts, self._frequencies).samples()["cider_d"][0]
    judged = time.perf_counter()
    advantages = rewards[:, 1:] - rewards[:, :1]
    grads = self._gradient(params, batch["features"], tokens[:, 1:], advantages)
    jax.block_until_ready(grads)
    spent = {"draw": drew - start, "judge": judged - drew,
             "gradient": time.perf_counter() - judged}  # fmt: skip
    return (drawn, rewards, grads), spent


def check(task, theirs, ours, params, batch) -> None:
  """Compiles both, and compares what they draw, their rewards and their gradients."""
  key = jax.random.key(0)
  (drawn, rewards, grads), _ = theirs.step(params, batch, key)
  (_, (_, metrics, _)), our_grads = ours(params, key)
  fixed = {"params": params}
  memory = task.model.apply(fixed, batch["features"], method="encode_features")
  mine = task.draw(fixed, memory, jnp.asarray(batch["real"]), jax.random.split(key)[0])
  same = (np.asarray(mine.tokens) == drawn).all(-1).mean()
  reward = float(metrics["reward"][0] / metrics["reward"][1])
  differences = jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), grads, our_grads)
  apart = max(jax.tree.leaves(differences))
  lengths = (drawn != PAD).sum(-1).mean()
  print(f"the same captions: {same:.1%}, {lengths:.1f} tokens on average; mean reward ours"
        f" {reward:.4f}, theirs {rewards[:, 1:].mean():.4f}; gradients differ by at most"
        f" {apart:.1e}")  # fmt: skip
  for prefix in range(ROUND, task.decode.max_length + 1, ROUND):  # all lengths compile
    theirs._word(params, memory, jnp.asarray(drawn), prefix - 1, key, prefix)


def spell(numbers) -> str:
  return " ".join(map(str, numbers))


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


def make_params(model, batch):
  """Random weights whose words are as frequent as those of the references, ends after ten."""
  tokens = jnp.zeros((1, 1, 2), jnp.int32)
  run = lambda m: m.decode(tokens, m.encode_features(batch["features"][:1]))
  params = nn.unbox(jax.jit(lambda k: model.init(k, method=run))(jax.random.key(0)))["params"]
  chance = 1 / np.arange(1, model.vocabulary_size - EOS)
  chance *= 0.9 / chance.sum()
  bias = np.log(np.concatenate([[1e-9, 1e-9, 0.1], chance])).astype(np.float32)
  proj = {"kernel": params["word_proj"]["kernel"] * 0.1, "bias": jnp.asarray(bias)}
  return {**params, "word_proj": proj}


if __name__ == "__main__":
  main()
