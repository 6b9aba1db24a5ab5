"""Self-critical training on a policy whose captions can all be written down."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models, rewarding, sharding, tasks, train_state
from mmjax.decode.options import DecodeOptions
from mmjax.metrics import cider
from mmjax.models.small_clip import Read
from mmjax.tasks import self_critical
from mmjax.text.vocabulary import EOS, PAD, SOS, Vocabulary

WORDS = Vocabulary.from_words(["a", "b"])
V, LONGEST = len(WORDS), 3
REFERENCES = [[[3, 4], [4, 3, 4]], [[3], [4, 4]]]


class Bigrams(nn.Module):
  """A word depends on the picture and on the word before it."""

  @nn.compact
  def __call__(self, images, valid, tokens):
    return self.decode(tokens, self.encode(images, valid))

  def setup(self):
    self.table = self.param("table", nn.initializers.normal(1.0), (V, V))
    self.by_picture = self.param("by_picture", nn.initializers.normal(1.0), (V,))

  def encode(self, images, valid, *, train=False):
    raise NotImplementedError

  def encode_features(self, features, *, train=False):
    return features[:, 0, 0, :1].astype(jnp.float32) * self.by_picture

  def decode(self, tokens, memory, *, train=False):
    return self.table[tokens] + memory[:, None, None]

  def init_cache(self, memory, rows, length):
    return memory, jnp.zeros((len(memory), rows, 1))

  def step(self, tokens, position, cache, shared):
    return self.table[tokens] + shared[:, None], cache


@pytest.fixture(scope="module")
def params():
  random = np.random.default_rng(3)
  draw = lambda *shape: jnp.asarray(0.5 * random.normal(size=shape), jnp.float32)
  return {"table": draw(V, V), "by_picture": draw(V)}


def make_batch(filler=0):
  rows = len(REFERENCES) + filler
  references = np.zeros((rows, 2, 4), np.int32)
  lengths = np.zeros((rows, 2), np.int32)
  for i, texts in enumerate(REFERENCES):
    for r, words in enumerate(texts):
      references[i, r, : len(words)], lengths[i, r] = words, len(words)
  features = np.linspace(-1, 1, rows).astype(np.float16).reshape(rows, 1, 1, 1)
  return {
      "features": features,
      "references": references,
      "reference_length": lengths,
      "real": np.arange(rows) < len(REFERENCES),
  }


def make_task(**changes):
  table = rewarding.reference_table(REFERENCES)
  weights = (("cider_d", 1.0), ("bleu_4", 0.5))
  decode = DecodeOptions(max_length=LONGEST)
  options = dict(decode=decode, reward_weights=weights, table=table)
  return self_critical.Task(Bigrams(), WORDS, **options | changes)


def all_captions():
  """Every caption that can be drawn, its end included."""
  for size in range(LONGEST):
    for words in itertools.product((3, 4), repeat=size):
      yield (*words, EOS)
  yield from itertools.product((3, 4), repeat=LONGEST)


def log_prob(params, cell, caption):
  """Of one caption, word by word."""
  total, last = 0.0, SOS
  for word in caption:
    logits = params["table"][last] + cell * params["by_picture"]
    logits = logits.at[jnp.array([PAD, SOS])].set(-jnp.inf)
    total, last = total + jax.nn.log_softmax(logits)[word], word
  return total


def host_reward(picture, caption):
  """CIDEr-D by the scorer of the host; on captions this short BLEU-4 is next to nothing."""
  spell = lambda words: " ".join(map(str, words))
  references = [[spell([*w, EOS]) for w in texts] for texts in REFERENCES]
  frequencies = cider.document_frequencies(references)
  measured = cider.measure([references[picture]], [spell(caption)], frequencies)
  return measured.samples()["cider_d"][0]


def gradient_of(task, params, batch, key):
  def loss(params):
    total, (weight, metrics, _) = task.loss(params, {}, batch, key)
    return total, (weight, metrics)

  return jax.jit(jax.grad(loss, has_aux=True))(params)


@pytest.mark.parametrize("baseline", ["greedy", "others"])
def test_gradient_is_the_written_out_estimator(params, baseline):
  task = make_task(samples=4, baseline=baseline, reward_weights=(("cider_d", 1.0),))
  batch, key = make_batch(), jax.random.key(5)
  grads, (weight, metrics) = gradient_of(task, params, batch, key)

  fixed = {"params": params}
  seen = task.model.apply(fixed, batch["features"], method="encode_features")
  drawn = task.draw(fixed, seen, jnp.asarray(batch["real"]), jax.random.split(key)[0])
  captions = [[tuple(int(w) for w in row if w != PAD) for row in p] for p in drawn.tokens]
  terms, words, total_reward = [], 0, 0.0
  for picture, rows in enumerate(captions):
    cell = jnp.float32(batch["features"][picture, 0, 0, 0])
    values = [host_reward(picture, row) for row in rows]
    if baseline == "greedy":
      assert rows.pop(0) == greedy(params, cell)
      bases = [values.pop(0)] * len(rows)
    else:
      bases = [(sum(values) - v) / (len(values) - 1) for v in values]
    terms += [(v - base, cell, row) for v, base, row in zip(values, bases, rows)]
    words, total_reward = words + sum(map(len, rows)), total_reward + sum(values)
  written_out = lambda params: -sum(a * log_prob(params, cell, row) for a, cell, row in terms)
  expected = jax.jit(jax.grad(written_out))(params)
  assert weight == words
  assert metrics["reward"][0] == pytest.approx(total_reward, rel=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), grads, expected)
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grads)) > 1e-2


def greedy(params, cell):
  """The caption of the likeliest words."""
  caption = (SOS,)
  while len(caption) <= LONGEST and caption[-1] != EOS:
    logits = params["table"][caption[-1]] + cell * params["by_picture"]
    caption += (EOS + int(logits[EOS:].argmax()),)
  return caption[1:]


def test_gradient_is_that_of_the_expected_reward(params):
  """The mean over many drawn captions against the sum over all captions there are."""
  samples = 24_000
  task = make_task(samples=samples, reward_weights=(("cider_d", 1.0),))
  batch = make_batch()
  grads, (_, metrics) = gradient_of(task, params, batch, jax.random.key(7))
  values = [[host_reward(p, c) for c in all_captions()] for p in range(len(REFERENCES))]

  def expected_reward(params):
    total = 0.0
    for picture, of_picture in enumerate(values):
      cell = jnp.float32(batch["features"][picture, 0, 0, 0])
      chances = jnp.exp(jnp.stack([log_prob(params, cell, c) for c in all_captions()]))
      total += (chances * jnp.asarray(of_picture)).sum()
    return total, total

  expected, total = jax.jit(jax.grad(expected_reward, has_aux=True))(params)
  assert metrics["reward"][0] / samples == pytest.approx(float(total), rel=0.05)
  scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(expected))
  for ours, exact in zip(jax.tree.leaves(grads), jax.tree.leaves(expected)):
    np.testing.assert_allclose(-ours / samples, exact, atol=0.05 * scale)


def test_the_step_learns_without_a_transfer_or_a_callback():
  task = make_task(samples=8, baseline="others")
  rates = train_state.Rates(optax.scale_by_adam(), lambda step: jnp.float32(0.05))
  state, _ = train_state.create(toy_init(task), rates, sharding.make_mesh(), seed=0)
  update = train_state.make_update(task, rates)
  batch, key = jax.device_put((make_batch(filler=1), jax.random.key(1)))
  step = jax.jit(update).lower(state, batch, key).compile()
  text = step.as_text()
  assert not [t for t in re.findall(r'custom_call_target="(.*?)"', text) if "callback" in t]
  assert not re.search(r"= .* (infeed|outfeed|send|recv)\(", text)
  values = []
  with jax.transfer_guard("disallow"):
    for _ in range(120):
      state, metrics = step(state, batch, key)
      values.append(metrics)
  first, last = ({k: float(s / w) for k, (s, w) in jax.device_get(m).items()}
                 for m in (values[0], values[-1]))  # fmt: skip
  assert last["reward"] > first["reward"] + 0.5 and last["finite"] == 1
  assert last["entropy"] < first["entropy"]
  assert values[0]["reward"][1] == 2 * 8  # filler counts nowhere
  assert {"baseline", "length", "repetition", "reward_cider_d", "reward_bleu_4"} <= last.keys()


def toy_init(task):
  """The task whose first variables are those of `Bigrams`, which has no encoder of pictures."""

  class Start:
    def init(self, key):
      features, tokens = jnp.zeros((1, 1, 1, 1)), jnp.zeros((1, 1, 1), jnp.int32)
      run = lambda model: model.decode(tokens, model.encode_features(features))
      return task.model.init(key, method=run)

  return Start()


def test_kl_holds_the_policy_at_its_start(params):
  other = jax.tree.map(lambda x: x + 0.5 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), params)
  task = make_task(samples=4, kl=0.3)
  batch, key = make_batch(), jax.random.key(0)
  for start, nothing in ((params, True), (other, False)):
    _, (_, metrics) = gradient_of(dataclasses.replace(task, start=start), params, batch, key)
    kl = float(metrics["kl"][0] / metrics["kl"][1])
    assert kl == pytest.approx(0, abs=1e-6) if nothing else kl > 0.01
  plain, _ = gradient_of(make_task(samples=4), params, batch, key)
  same, _ = gradient_of(dataclasses.replace(task, start=params), params, batch, key)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), plain, same)


def test_measures_of_drawn_captions(params):
  """All rows say a a b: two of three words are new."""
  sure = {"table": jnp.full((V, V), -30.0), "by_picture": jnp.zeros(V)}
  for last, word in ((SOS, 3), (3, 3)):
    sure["table"] = sure["table"].at[last, word].set(30.0)
  task = make_task(samples=2)
  _, (weight, metrics) = gradient_of(task, sure, make_batch(), jax.random.key(0))
  assert weight == 2 * 2 * LONGEST
  mean = {k: float(s / w) for k, (s, w) in metrics.items()}
  assert mean["length"] == LONGEST and mean["repetition"] == pytest.approx(2 / 3)
  assert mean["entropy"] == pytest.approx(0, abs=1e-3)
  assert mean["reward"] == pytest.approx(mean["baseline"]) and mean["loss"] == 0


class Mirror(nn.Module):
  """A judge whose vectors of texts tell their words, and of pictures nothing."""

  @nn.compact
  def __call__(self):
    return None

  def encode_features(self, features, *, train=False):
    return jnp.broadcast_to(jnp.eye(V)[3], (len(features), V))

  def read(self, tokens, lengths, *, train=False):
    there = (jnp.arange(tokens.shape[-1]) < lengths[..., None])[..., None]
    bag = (jax.nn.one_hot(tokens, V) * there).sum(-2)
    unit = bag / jnp.maximum(jnp.linalg.norm(bag, axis=-1, keepdims=True), 1e-6)
    return Read(unit, jnp.stack([jnp.zeros_like(bag[..., 0]), bag[..., 4]], -1))


def test_rewards_of_a_judge_are_weighted():
  names = ("clip_s", "ref_clip_s", "grammar")
  judge = self_critical.Judge(Mirror(), {})
  task = make_task(reward_weights=tuple((n, 1.0) for n in names), judge=judge, samples=1)
  tokens = jnp.array([[[3, 4, EOS]], [[4, EOS, PAD]]])
  drawn = self_critical.Drawn(tokens, jnp.array([[3], [2]]))
  values = task.judged(make_batch(), drawn)
  assert values["clip_s"].ravel() == pytest.approx([2.5 / 2**0.5, 0])
  near = 2.5 * 1.0  # the first picture has the reference 3 4, the second 4 4
  fit = 2.5 / 2**0.5
  assert values["ref_clip_s"].ravel() == pytest.approx([2 * fit * near / (fit + near), 0])
  assert values["grammar"].ravel() == pytest.approx([1 / (1 + np.exp(-1))] * 2)


@pytest.mark.parametrize(
  "changes, message",
  [
    (dict(reward_weights=(("cider", 1.0),)), "no reward 'cider'; there are: cider_d"),
    (dict(reward_weights=()), "no reward 'given'"),
    (dict(baseline="mean"), "no baseline 'mean'; there are: greedy, others"),
    (dict(baseline="others", samples=1), "samples is 1; the baseline 'others' needs 2"),
    (dict(temperature=0.0), "temperature is 0.0"),
  ],
)
def test_bad_options_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make_task(**changes)


def test_what_is_missing_is_named(params):
  batch, key = make_batch(), jax.random.key(0)
  both = make_task(reward_weights=(("cider_d", 1.0), ("clip_s", 2.0)), table=None)
  with pytest.raises(ValueError, match="needs table, judge"):
    both.loss(params, {}, batch, key)
  del batch["references"]
  with pytest.raises(ValueError, match=r"set config\.data\.texts=\"references\""):
    make_task().loss(params, {}, batch, key)


def test_the_captioner_fits_the_task():
  assert "self_critical" in tasks.names()
  model = models.build("clip_reward_captioner", V, width=16, heads=2, layers=1, hidden=16)
  task = make_task(samples=2, dropout=True)
  task = dataclasses.replace(task, model=model)
  batch = make_batch()
  batch["features"] = np.ones((2, 2, 2, model.bind({}).encoder.features), np.float16)
  tokens = jnp.zeros((1, 1, 2), jnp.int32)
  run = lambda m: m.decode(tokens, m.encode_features(batch["features"][:1]))
  params = nn.unbox(jax.jit(lambda k: model.init(k, method=run))(jax.random.key(0)))["params"]
  grads, (_, metrics) = gradient_of(task, params, batch, jax.random.key(0))
  assert jax.tree.structure(grads) == jax.tree.structure(params)
  assert np.isfinite(metrics["loss"][0])
