"""Captions learnt without pairs: pictures, the concepts detected in them, sentences about others.

A generator and a discriminator step in turn, in one compiled step: drawing, rewards and both
gradients are computed on the device.

Reference: Feng et al., 2019, Unsupervised image captioning, in the arithmetic of the authors' code.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mmjax import losses, train_state
from mmjax.config import ConfigError
from mmjax.decode.bidirectional import frame
from mmjax.models.unsupervised_captioner import Memory, unit
from mmjax.optim import rate_factors
from mmjax.tasks import captioning
from mmjax.tasks.rewriting import fixed_key
from mmjax.text.sentence_keys import corrupted, with_end
from mmjax.text.vocabulary import EOS, PAD, SOS

PLAYERS = ("generator", "discriminator")  # in the order of their steps
Start = Literal["picture", "noise"]


class Sentences(NamedTuple):
  """A corpus."""

  tokens: Int[np.ndarray, "N L"]  # without start and end, PAD behind
  lengths: Int[np.ndarray, "N"]


class Rewards(NamedTuple):
  """What each word of sentences earns, and what a whole sentence does."""

  words: Float[Array, "B L"]
  picture: Float[Array, "B"]


@dataclasses.dataclass(frozen=True)
class Task(captioning.Task):
  """Photograph -> caption, learnt from sentences that are not of it; decoding as of `captioning`.

  With s over the words of a drawn sentence up to its end, D_s the logit of the discriminator, f the
  vector of the picture and v that which the discriminator makes of the sentence:

    G_t = reconstruction q + sum_{s >= t} discount^(s - t) (adversarial d_s + concept o_s)
    d_s = log(sigmoid(D_s) + 1e-7), o_s = score of a detected concept where its word stands first,
    q = -mean (f - v)^2, which is not discounted
    A_t = G_t less that of the greedy sentence, within +-`limit`
    generator: -mean_t A_t log p_t + sentence * cross-entropy of a sentence given its corrupted copy
    discriminator: cross-entropy of real words (target 1 - smoothing / 2) + that of drawn ones
      (target 0) + reconstruction * mean (f - v)^2

  The corrupted copy is read by the discriminator, which the generator's loss does not move, as its
  own does not move f. As in the authors' code, rewards of the greedy sentence are cut where the
  DRAWN one ends (a slip: the greedy one goes on behind its own end, or is cut before it), and
  sentences are drawn with dropout. A batch has no captions: their words are never looked at.

  Attributes:
    model: as `mmjax.models.unsupervised_captioner`.
    start: of the generator. "noise": Gaussian, at length 1, for which a batch has sentences as
      `tokens` in place of pictures, as in the initialisation of the discriminator.
    adversarial, concept, reconstruction, sentence: weights of the terms; a term of 0 is left out.
    discount: of later rewards.
    limit: of the advantage.
    smoothing: of the target of real words.
    sentences: the corpus, from which every step draws as many as it has pictures. It becomes a
      constant of the compiled step.
  """

  start: Start = "picture"
  adversarial: float = 1.0
  concept: float = 10.0
  reconstruction: float = 100.0
  sentence: float = 1.0
  discount: float = 0.9
  limit: float = 5.0
  smoothing: float = 0.25
  sentences: Sentences | None = dataclasses.field(default=None, compare=False, repr=False)

  needs = (*captioning.Task.needs, "write", "judge")

  def __post_init__(self):
    super().__post_init__()
    if self.start not in get_args(Start):
      raise ValueError(f"no start {self.start!r}; there are: {', '.join(get_args(Start))}")
    if not (self.adversarial or self.concept or self.reconstruction):
      raise ValueError("adversarial, concept and reconstruction are all 0: nothing is rewarded")
    if self.start == "noise" and (self.concept or self.reconstruction or self.sentence):
      raise ValueError("noise shows nothing: set concept, reconstruction and sentence to 0")

  @property
  def learns_from(self) -> tuple[str, ...]:
    """What training needs beside pictures: `sentences`, and the `concepts` of pictures."""
    if self.start == "noise":
      return ()
    return ("sentences", "concepts") if self.concept else ("sentences",)

  def read(self, model: nn.Module, batch: dict[str, Array], train: bool = False) -> Memory:
    """The start of each picture, or noise."""
    if self.start == "picture":
      return super().read(model, batch, train)
    bound: Any = model
    key = bound.make_rng("dropout") if train else fixed_key(batch)
    return Memory(unit(jax.random.normal(key, (len(batch["real"]), bound.width))))

  def real_sentences(
      self, batch: dict[str, Array], key: jax.Array
  ) -> tuple[Int[Array, "B L"], Int[Array, "B"], Bool[Array, "B"]]:
    """Sentences of the corpus, their lengths, and which rows are no filler.

    Raises:
      ValueError: there is no corpus.
    """
    if self.start == "noise":
      return batch["tokens"], batch["length"], batch["real"]
    if self.sentences is None:
      raise ValueError("an unsupervised step needs sentences; see mmjax.unpaired")
    tokens, lengths = (jnp.asarray(x) for x in self.sentences)
    rows = jax.random.randint(key, batch["real"].shape, 0, len(lengths))
    return tokens[rows].astype(jnp.int32), lengths[rows].astype(jnp.int32), batch["real"] | True

  def generator_loss(
      self, params: Any, model_state: Any, batch: dict[str, Array], key: jax.Array
  ) -> tuple[Float[Array, ""], train_state.Metrics]:
    """The loss whose gradient the generator follows, and what it is made of."""
    keys = jax.random.split(key, 6)
    call = self._caller(params, model_state)
    fixed = self._caller(jax.lax.stop_gradient(params), model_state)
    memory = call(keys[0], method=lambda model: self.read(model, batch, train=True))
    length = self.decode.max_length + 1  # the end takes a place
    drawn = call(keys[1], memory, keys[2], length=length, train=True, method="write")
    best = fixed(keys[3], jax.lax.stop_gradient(memory), keys[2], length=length, greedy=True,
                 train=True, method="write")  # fmt: skip
    lengths = until_end(drawn.tokens)
    live = jnp.arange(length) < lengths[:, None]
    real = batch["real"][:, None]
    made = [
        self.rewards(fixed, jax.lax.stop_gradient(memory), batch, tokens, live, keys[4])
        for tokens in (drawn.tokens, best.tokens)
    ]
    gains = [returns(m, self.discount) for m in made]
    advantage = jnp.clip(gains[0] - gains[1], -self.limit, self.limit)
    written = live & real
    policy, weight = losses.policy_gradient(
        drawn.log_probs[..., None], advantage, written[..., None]
    )
    one = jnp.float32(1)
    mean = policy / jnp.maximum(weight, 1)
    sums = lambda x, where: (jnp.where(where, x, 0).sum(), where.sum(dtype=jnp.float32))
    metrics: train_state.Metrics = {
        "policy": (mean, one),
        "reward": sums(gains[0][:, 0], batch["real"]),
        "baseline": sums(gains[1][:, 0], batch["real"]),
        "advantage": sums(jnp.abs(advantage), written),
        "length": sums(jnp.minimum(lengths, length - 1), batch["real"]),
        "ended": sums((drawn.tokens == EOS).any(-1), batch["real"]),
        "surprise": sums(-drawn.log_probs, written),
    }
    if self.concept:
      found = concept_rewards(drawn.tokens, live, batch["concepts"], batch["concept_scores"])
      metrics["concepts_named"] = sums((found > 0).sum(-1), batch["real"])
    total = mean
    if self.sentence:
      again, words = self.sentence_loss(call, batch, keys[5])
      metrics["sentence"] = (again, words)
      total += self.sentence * again / jnp.maximum(words, 1)
    metrics["loss"] = (total, one)
    return total, metrics

  def rewards(
      self, call: Callable, memory: Memory, batch: dict[str, Array], tokens: Int[Array, "B L"],
      live: Bool[Array, "B L"], key: jax.Array,
  ) -> Rewards:  # fmt: skip
    """What sentences that go on behind their ends earn.

    Args:
      call: the model, see `_caller`.
      memory: of the pictures.
      batch: has `concepts` and `concept_scores` [B, C].
      tokens: the sentences.
      live: where rewards count.
      key: of the discriminator's dropout.
    """
    judged = call(key, tokens, until_end(tokens), train=True, method="judge")
    words = self.adversarial * jnp.log(nn.sigmoid(judged.logits) + 1e-7)
    if self.concept:
      found = concept_rewards(tokens, live, batch["concepts"], batch["concept_scores"])
      words += self.concept * found
    far = ((memory.start - judged.vectors) ** 2).mean(-1)
    return Rewards(jnp.where(live, words, 0), -self.reconstruction * far)

  def sentence_loss(
      self, call: Callable, batch: dict[str, Array], key: jax.Array
  ) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Summed cross-entropy of sentences given corrupted copies, and the number of their words."""
    draw, corrupt, reading, writing = jax.random.split(key, 4)
    tokens, lengths, real = self.real_sentences(batch, draw)
    keys = corrupted(corrupt, tokens, lengths)
    start = jax.lax.stop_gradient(call(reading, *keys, train=True, method="judge").vectors)
    tokens_in, tokens_out = frame(tokens, lengths, SOS, EOS)
    logits = call(writing, tokens_in[:, None], Memory(start), train=True, method="decode")
    return losses.cross_entropy(logits[:, 0], jnp.where(real[:, None], tokens_out, PAD))

  def discriminator_loss(
      self, params: Any, model_state: Any, batch: dict[str, Array], key: jax.Array
  ) -> tuple[Float[Array, ""], train_state.Metrics]:
    """The loss whose gradient the discriminator follows, and what it is made of."""
    keys = jax.random.split(key, 6)
    call = self._caller(params, model_state)
    fixed = self._caller(jax.lax.stop_gradient(params), model_state)
    memory = fixed(keys[0], method=lambda model: self.read(model, batch, train=True))
    length = self.decode.max_length + 1
    drawn = fixed(keys[1], memory, keys[2], length=length, train=True, method="write")
    tokens, lengths, there = self.real_sentences(batch, keys[3])
    ended, ended_lengths = with_end(tokens, lengths)
    one, parts = jnp.float32(1), {}
    target = 1 - self.smoothing / 2
    judged = {}
    for name, words, ends, rows, wanted, key in (
        ("real", ended, ended_lengths, there, target, keys[4]),
        ("drawn", drawn.tokens, until_end(drawn.tokens), batch["real"], 0.0, keys[5]),
    ):
      judged[name] = call(key, words, ends, train=True, method="judge")
      live = (jnp.arange(words.shape[1]) < ends[:, None]) & rows[:, None]
      logits, count = judged[name].logits, jnp.maximum(live.sum(), 1)
      unlike = optax.sigmoid_binary_cross_entropy(logits, jnp.full(logits.shape, wanted))
      parts[name] = jnp.where(live, unlike, 0).sum() / count
      parts[f"{name}_verdict"] = jnp.where(live, nn.sigmoid(logits), 0).sum() / count
    far = ((memory.start - judged["drawn"].vectors) ** 2).mean(-1)
    rows = jnp.maximum(batch["real"].sum(), 1)
    parts["reconstruction"] = jnp.where(batch["real"], far, 0).sum() / rows
    total = parts["real"] + parts["drawn"] + self.reconstruction * parts["reconstruction"]
    metrics = {f"discriminator_{name}": (value, one) for name, value in parts.items()}
    return total, metrics | {"discriminator_loss": (total, one)}

  def make_optimizer_state(self, rates: train_state.Rates, params: Any) -> dict[str, Any]:
    """Each player's own."""
    return {name: _optimizer(rates, name).init(params) for name in PLAYERS}

  def make_update(self, rates: train_state.Rates) -> train_state.Update:
    """One step of the generator, then one of the discriminator against what it then writes.

    Raises:
      ConfigError: parts of a batch are to be accumulated, or parameters averaged.
    """
    if rates.accumulate > 1 or rates.ema:
      raise ConfigError("config.optim: two players step in turn; set accumulate to 1 and ema to 0")
    loss_of = {"generator": self.generator_loss, "discriminator": self.discriminator_loss}

    def update(state: train_state.TrainState, batch: dict, key: jax.Array):
      key = jax.random.fold_in(key, state.step)
      rate = rates.schedule(state.step) * state.plateau.factor
      params, opt_state, finite = state.params, dict(state.opt_state), jnp.bool_(True)
      one, metrics = jnp.float32(1), train_state.Metrics()
      for turn, name in enumerate(PLAYERS):

        def loss(own, name=name, turn=turn, params=params):
          joined = jax.lax.stop_gradient(params) | {name: own}
          return loss_of[name](joined, state.model_state, batch, jax.random.fold_in(key, turn))

        grads, parts = jax.grad(loss, has_aux=True)(params[name])
        norm = optax.tree.norm(grads)
        grads = jax.tree.map(jnp.zeros_like, params) | {name: grads}
        direction, opt_state[name] = _optimizer(rates, name).update(
            grads, opt_state[name], params
        )
        factors = rate_factors(params, rates.factors)
        moved = train_state.moved(params[name], direction[name], factors[name], rate)
        params = params | {name: moved}
        finite &= jnp.isfinite(norm)
        metrics |= parts | {f"{name}_gradient_norm": (norm, one)}
      metrics |= {"learning_rate": (rate, one), "finite": (finite.astype(jnp.float32), one)}
      return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics

    return update

  def _caller(self, params: Any, model_state: Any) -> Callable:
    """(key of dropout, arguments, method) -> the model's answer."""
    apply: Any = self.model.apply
    variables = {"params": params, **model_state}
    return lambda key, *args, **kwargs: apply(variables, *args, rngs={"dropout": key}, **kwargs)


def _optimizer(rates: train_state.Rates, player: str) -> optax.GradientTransformation:
  """That of `rates`, on the parameters of one player, with its own norm to clip."""
  return optax.masked(
      rates.optimizer,
      lambda params: {k: jax.tree.map(lambda _, k=k: k == player, v) for k, v in params.items()},
  )


def sentences_of(numbers: Sequence[Sequence[int]]) -> Sentences:
  """Sentences, given as the numbers of their words, in small arrays."""
  lengths = np.array([len(words) for words in numbers], np.uint16)
  tokens = np.zeros((len(numbers), max(lengths)), np.min_scalar_type(max(map(max, numbers))))
  for row, words in zip(tokens, numbers):
    row[: len(words)] = words
  return Sentences(tokens, lengths)


def until_end(tokens: Int[Array, "B L"]) -> Int[Array, "B"]:
  """Words up to the first EOS, which counts; all of them where there is none."""
  ends = tokens == EOS
  return jnp.where(ends.any(-1), ends.argmax(-1) + 1, tokens.shape[1])


def concept_rewards(
    tokens: Int[Array, "B L"],
    live: Bool[Array, "B L"],
    concepts: Int[Array, "B C"],
    scores: Float[Array, "B C"],
) -> Float[Array, "B L"]:
  """The score of each detected concept, at the first live place where its word stands.

  Args:
    tokens: sentences.
    live: places that count.
    concepts: numbers of the words detected in each picture, PAD behind.
    scores: of the detections.
  """
  hits = (tokens[..., None] == concepts[:, None]) & live[..., None] & (concepts > PAD)[:, None]
  first = hits & (jnp.cumsum(hits, 1) == 1)
  return (first * scores[:, None]).sum(-1)


def returns(rewards: Rewards, discount: float) -> Float[Array, "B L"]:
  """picture + sum over s >= t of discount^(s - t) words_s, of each t."""

  def step(later, now):
    total = now + discount * later
    return total, total

  words = rewards.words.T
  _, sums = jax.lax.scan(step, jnp.zeros_like(words[0]), words, reverse=True)
  return sums.T + rewards.picture[:, None]
