"""Captions that are drawn, judged and made likelier or less likely: REINFORCE with a baseline.

Drawing, judging and the gradient are one compiled step: all rewards are computed on the device.

Reference: Rennie et al., 2017, Self-critical sequence training for image captioning; Luo, 2020, A
better variant of self-critical sequence training; Cho et al., 2022, Fine-grained image captioning
with CLIP reward.
"""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mmjax import losses
from mmjax.decode.sampling import policy_of, sample, writable
from mmjax.metrics import rewards
from mmjax.tasks import captioning
from mmjax.text.sentence_keys import with_end
from mmjax.text.vocabulary import EOS, PAD, SOS

Baseline = Literal["greedy", "others"]
FROM_REFERENCES = ("cider_d", "bleu_4")
FROM_JUDGE = ("clip_s", "ref_clip_s", "grammar")


class Judge(NamedTuple):
  """A trained network that says how well captions fit pictures, and whether they are sound.

  It looks at the features of a batch, or where a batch has `judged` at those, its own encoder's.

  Attributes:
    model: as `mmjax.models.small_clip`, of the captioner's words.
    variables: its own.
  """

  model: nn.Module
  variables: Any


class Drawn(NamedTuple):
  """Captions of each picture; K drawn ones, behind a greedy one where that is the baseline."""

  tokens: Int[Array, "B R L"]  # with EOS where there was room for one, PAD behind
  lengths: Int[Array, "B R"]  # EOS counts


@dataclasses.dataclass(frozen=True)
class Task(captioning.Task):
  """Photograph -> caption, trained for rewards; decoding and scores as of `captioning.Task`.

  The loss is -sum(advantage log p) / number of words, over all drawn captions. Captions are drawn
  from the policy without dropout, and their log-probabilities are those of the same policy unless
  `dropout` is set: the published code has dropout in both, which needs the same masks twice.

  Attributes:
    reward_weights: (name, weight) of `FROM_REFERENCES` and `FROM_JUDGE`; a reward is the weighted
      sum. CIDEr-D is 0 to 10, CLIP-S 0 to 2.5, BLEU-4 and grammar 0 to 1.
    samples: K, captions drawn of each picture.
    baseline: what is taken from a caption's reward: that of the greedy caption, or the mean of the
      picture's other drawn captions.
    temperature: of drawing.
    dropout: in the pass that has the gradient.
    kl: weight of KL(policy || start), summed over the vocabulary at each word that was drawn.
    table: frequencies of n-grams in the training references, the end token counted.
    judge: for `FROM_JUDGE`.
    start: parameters of the policy that training began with, for `kl`.
  """

  reward_weights: tuple[tuple[str, float], ...] = (("cider_d", 1.0),)
  samples: int = 5
  baseline: Baseline = "greedy"
  temperature: float = 1.0
  dropout: bool = False
  kl: float = 0.0
  table: rewards.Table | None = dataclasses.field(default=None, compare=False, repr=False)
  judge: Judge | None = dataclasses.field(default=None, compare=False, repr=False)
  start: Any = dataclasses.field(default=None, compare=False, repr=False)

  def __post_init__(self):
    super().__post_init__()
    known = FROM_REFERENCES + FROM_JUDGE
    unknown = [name for name, _ in self.reward_weights if name not in known]
    if unknown or not self.reward_weights:
      raise ValueError(f"no reward {unknown[0] if unknown else 'given'!r}; there are:"
                       f" {', '.join(known)}")  # fmt: skip
    if self.baseline not in get_args(Baseline):
      raise ValueError(f"no baseline {self.baseline!r}; there are: {', '.join(get_args(Baseline))}")
    fewest = 2 if self.baseline == "others" else 1
    if self.samples < fewest:
      raise ValueError(f"samples is {self.samples}; the baseline {self.baseline!r} needs {fewest}")
    if self.temperature <= 0:
      raise ValueError(f"temperature is {self.temperature}; give a number above 0")

  @property
  def judged_by(self) -> tuple[str, ...]:
    """Which of the fields `table`, `judge` and `start` training uses."""
    names = {name for name, _ in self.reward_weights}
    needed = {
        "table": "cider_d" in names, "judge": bool(names & {*FROM_JUDGE}), "start": bool(self.kl)
    }  # fmt: skip
    return tuple(field for field, wanted in needed.items() if wanted)

  def loss(self, params, model_state, batch: dict[str, Array], key: jax.Array):
    """-sum(advantage log p) of drawn captions; (sum, (weight, metrics, model state))."""
    missing = [name for name in self.judged_by if getattr(self, name) is None]
    if missing:
      raise ValueError(f"a self-critical step needs {', '.join(missing)}; see mmjax.rewarding")
    if "references" not in batch:
      raise ValueError('a self-critical step needs references; set config.data.texts="references"')
    draw_key, dropout_key = jax.random.split(key)
    apply: Any = self.model.apply
    variables = {"params": params, **model_state}
    fixed = jax.lax.stop_gradient(variables)
    training: Any = dict(rngs={"dropout": dropout_key}, mutable=list(model_state))
    look = lambda model: self.read(model, batch, train=self.dropout)
    memory, model_state = apply(variables, method=look, **training)
    seen = memory if not self.dropout else apply(fixed, method=lambda m: self.read(m, batch))
    drawn = self.draw(fixed, jax.lax.stop_gradient(seen), batch["real"], draw_key)
    values = self.judged(batch, drawn)
    reward = jnp.zeros(drawn.lengths.shape)
    for name, share in self.reward_weights:
      reward += share * values[name]
    if self.baseline == "greedy":
      baseline = jnp.broadcast_to(reward[:, :1], reward[:, 1:].shape)
      reward, drawn = reward[:, 1:], Drawn(*(x[:, 1:] for x in drawn))
    else:
      baseline = (reward.sum(1, keepdims=True) - reward) / (self.samples - 1)

    tokens_in = jnp.pad(drawn.tokens[..., :-1], [(0, 0), (0, 0), (1, 0)], constant_values=SOS)

    logits, model_state = apply(
        {"params": params, **model_state}, tokens_in, memory, train=self.dropout, method="decode",
        **training,
    )  # fmt: skip
    log_policy = policy_of(logits, self.temperature)
    log_probs = jnp.take_along_axis(log_policy, drawn.tokens[..., None], -1)[..., 0]
    there = jnp.broadcast_to(batch["real"][:, None], reward.shape)
    written = (drawn.tokens != PAD) & there[..., None]
    loss, weight = losses.policy_gradient(log_probs, reward - baseline, written)

    policy = jnp.exp(log_policy)
    sum_of = lambda x, where: (jnp.where(where, x, 0).sum(), where.sum(dtype=jnp.float32))
    metrics: dict[str, Any] = {
        "loss": (loss, weight),
        "reward": sum_of(reward, there),
        "baseline": sum_of(baseline, there),
        "entropy": sum_of(-(policy * log_policy).sum(-1), written),
        "length": sum_of(drawn.lengths - (drawn.tokens == EOS).any(-1), there),
        "repetition": sum_of(_repeated(drawn.tokens), written & (drawn.tokens != EOS)),
    }
    for name, value in values.items():
      metrics[f"reward_{name}"] = sum_of(value[:, -self.samples :], there)
    if self.kl:
      logits = apply(
          {**fixed, "params": self.start},
          method=lambda model: model.decode(tokens_in, self.read(model, batch)),
      )
      divergence = (policy * (log_policy - policy_of(logits, self.temperature))).sum(-1)
      metrics["kl"] = sum_of(divergence, written)
      loss += self.kl * metrics["kl"][0]
    return loss, (weight, metrics, model_state)

  def draw(
      self, variables: Any, memory: Any, real: Bool[Array, "B"], key: jax.Array
  ) -> Drawn:
    """`samples` captions of each encoded picture, of at most `decode.max_length` words and end."""
    call: Any = functools.partial(self.model.apply, variables)
    greedy = int(self.baseline == "greedy")
    rows = self.samples + greedy
    shared, _ = call(memory, rows, 1, method="init_cache")

    def step(tokens, position, cache):
      logits, cache = call(tokens, position, cache, shared, method="step")
      return writable(logits, self.temperature), cache

    found = sample(
        step,
        lambda length: call(memory, rows, length, method="init_cache")[1],
        key,
        real,
        start=SOS,
        stop=EOS,
        samples=rows,
        greedy=greedy,
        max_length=self.decode.max_length,
    )
    places = jnp.arange(self.decode.max_length)
    ends = (places == found.lengths[..., None]) & real[:, None, None]
    return Drawn(jnp.where(ends, EOS, found.tokens), found.lengths + ends.any(-1))

  def judged(self, batch: dict[str, Array], drawn: Drawn) -> dict[str, Float[Array, "B R"]]:
    """Each of `reward_weights`, of all drawn captions."""
    names = [name for name, _ in self.reward_weights]
    out = {}
    lengths = batch["reference_length"]
    # Filler counts as having an empty reference: it must not divide by zero.
    real = (lengths > 0) | (jnp.arange(lengths.shape[1]) == 0)
    if {"cider_d", "bleu_4"} & {*names}:
      ended, ended_lengths = with_end(batch["references"], lengths)
      texts = drawn.tokens, drawn.lengths, ended, ended_lengths, real
      if "cider_d" in names:
        out["cider_d"] = rewards.cider_d(jax.tree.map(jnp.asarray, self.table), *texts)
      if "bleu_4" in names:
        out["bleu_4"] = rewards.bleu(rewards.bleu_statistics(*texts))[..., 3]
    if self.judge and {*FROM_JUDGE} & {*names}:
      call: Any = functools.partial(self.judge.model.apply, self.judge.variables)
      ends = (drawn.tokens == EOS).any(-1)
      words = jnp.where(drawn.tokens == EOS, PAD, drawn.tokens)
      read = call(words, drawn.lengths - ends, method="read")
      if "grammar" in names:
        out["grammar"] = jax.nn.softmax(read.grammar)[..., 1]
      if {"clip_s", "ref_clip_s"} & {*names}:
        seen = {"features": batch["judged"]} if "judged" in batch else batch
        pictures = call(method=lambda model: self.read(model, seen))  # its vectors
        fit = rewards.clip_s(pictures, read.vectors)
        if "clip_s" in names:
          out["clip_s"] = fit
        if "ref_clip_s" in names:
          references = call(batch["references"], lengths, method="read").vectors
          out["ref_clip_s"] = rewards.ref_clip_s(fit, read.vectors, references, real)
    return out


def _repeated(tokens: Int[Array, "*B L"]) -> Bool[Array, "*B L"]:
  """Where a word stands that has stood before in its text."""
  size = tokens.shape[-1]
  before = jnp.tril(jnp.ones((size, size), bool), -1)
  return ((tokens[..., :, None] == tokens[..., None, :]) & before).any(-1)
