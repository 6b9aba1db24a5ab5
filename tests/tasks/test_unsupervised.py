"""Losses of the two players against NumPy, their gradients against enumeration, and one step."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import optim, sharding, train_state
from mmjax.config import ConfigError
from mmjax.decode.options import DecodeOptions
from mmjax.models.unsupervised_captioner import UnsupervisedCaptioner
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet
from mmjax.tasks import unsupervised
from mmjax.tasks.unsupervised import Rewards
from mmjax.text.vocabulary import EOS, PAD, SOS, Vocabulary
from tests.models import unsupervised_twin as twin
from tests.models.test_recognizers import random_variables

WORDS = Vocabulary.from_words(["<unk>", "dog", "cat", "runs", "sleeps"])
V, WIDTH, LONGEST, ROWS = len(WORDS), 4, 4, 6
CORPUS = unsupervised.sentences_of([[4, 6], [5, 7, 3], [6, 4, 7, 5], [7]])
LENGTH = LONGEST + 1


@pytest.fixture(scope="module", autouse=True)
def small_encoder():
  patch = pytest.MonkeyPatch()
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1,), "width": 4}))
  yield
  patch.undo()


def make_task(**changes):
  model = UnsupervisedCaptioner(V, "small", WIDTH, dropout=changes.pop("dropout", 0.0))
  options = dict(decode=DecodeOptions(max_length=LONGEST, beam=2), sentences=CORPUS)
  return unsupervised.Task(model, WORDS, **options | changes)


@pytest.fixture(scope="module")
def variables(small_encoder):
  shapes = jax.eval_shape(lambda key: nn.unbox(make_task().init(key)), jax.random.key(0))
  return random_variables(shapes)


def make_batch(rows=ROWS, filler=1):
  rng = np.random.default_rng(3)
  return {
      "features": rng.normal(size=(rows, 1, 2, 16)).astype(np.float32),
      "concepts": np.resize([[4, 6], [5, 0], [4, 7], [0, 0]], (rows, 2)),
      "concept_scores": np.float32(np.resize([[0.5, 0.9], [0.7, 0.0], [0.2, 0.4]], (rows, 2))),
      "record": np.arange(rows),
      "real": np.arange(rows) < rows - filler,
  }  # fmt: skip


def call(task, params, *args, method, **kwargs):
  return jax.jit(functools.partial(task.model.apply, method=method, **kwargs))(
      {"params": params}, *args
  )


def written(task, params, batch, key, greedy=False):
  """(starts, words) of the generator, as a step draws them."""
  memory = call(task, params, batch["features"], method="encode_features")
  found = call(task, params, memory, key, length=LENGTH, greedy=greedy, method="write")
  return np.asarray(memory.start), np.asarray(found.tokens)


def test_returns_and_rewards_of_concepts():
  rng = np.random.default_rng(0)
  rewards, q = rng.normal(size=(3, 7)), rng.normal(size=3)
  ours = unsupervised.returns(Rewards(jnp.asarray(rewards), jnp.asarray(q)), 0.9)
  expected = [twin.returns(r, x, 0.9) for r, x in zip(rewards, q)]
  np.testing.assert_allclose(ours, expected, rtol=1e-5)

  tokens, lengths = rng.integers(3, 8, (40, 7)), rng.integers(0, 8, 40)
  concepts, scores = rng.integers(3, 8, (40, 3)), rng.random((40, 3))
  concepts[:20, 2] = PAD
  live = np.arange(7) < lengths[:, None]
  ours = unsupervised.concept_rewards(tokens, live, concepts, jnp.asarray(scores))
  for row, t, n, c, s in zip(np.asarray(ours), tokens, lengths, concepts, scores):
    np.testing.assert_allclose(row, twin.concept_rewards(t, n, c, s), rtol=1e-5)
  ends = unsupervised.until_end(np.array([[EOS, 3, EOS], [3, 4, EOS], [3, 3, 3]]))
  np.testing.assert_array_equal(ends, [1, 3, 3])


def gains(params, task, batch, row, start, words, live):
  """G_t of one sentence: its own length for the discriminator, `live` for what counts."""
  logits, vector, _ = twin.discriminator(
      params["discriminator"], words, twin.length_of(words, EOS)
  )
  rewards = task.adversarial * np.log(twin.sigmoid(logits) + 1e-7)
  rewards += task.concept * twin.concept_rewards(
      words, live, batch["concepts"][row], batch["concept_scores"][row]
  )
  rewards[live:] = 0
  q = -task.reconstruction * ((start - vector) ** 2).mean()
  return twin.returns(rewards, q, task.discount)


def test_generator_loss_equals_numpy(variables):
  task, batch, params = make_task(reconstruction=3.0), make_batch(), variables["params"]
  key = jax.random.key(7)
  loss = jax.jit(lambda p, b: task.generator_loss(p, {}, b, key))
  total, metrics = loss(params, batch)

  keys = jax.random.split(key, 6)
  starts, drawn = written(task, params, batch, keys[2])
  _, best = written(task, params, batch, keys[2], greedy=True)
  assert {twin.length_of(d, EOS) for d in drawn} != {twin.length_of(b, EOS) for b in best}
  terms, clipped = [], 0
  for row in range(ROWS - 1):  # the last one is filler
    live = twin.length_of(drawn[row], EOS)
    a = gains(params, task, batch, row, starts[row], drawn[row], live)
    a -= gains(params, task, batch, row, starts[row], best[row], live)
    clipped += (np.abs(a[:live]) > 5).sum()
    inputs = [SOS, *drawn[row][:-1]]
    logits = twin.generator_logits(params["generator"], starts[row], inputs)
    for t in range(live):
      log_p = twin.log_softmax(logits[t, EOS:])[drawn[row, t] - EOS]
      terms.append(np.clip(a[t], -5, 5) * log_p)
  assert clipped
  np.testing.assert_allclose(metrics["policy"][0], -np.mean(terms), rtol=1e-4)

  # The sentences of the step and their corrupted copies, by the same keys.
  draw, corrupt, *_ = jax.random.split(keys[5], 4)
  tokens, lengths, _ = task.real_sentences(batch, draw)
  copies, sizes = unsupervised.corrupted(corrupt, tokens, lengths)
  nll = []
  for sentence, n, copy, size in zip(*map(np.asarray, (tokens, lengths, copies, sizes))):
    _, vector, _ = twin.discriminator(params["discriminator"], copy, size)
    words = [*sentence[:n], EOS]
    logits = twin.generator_logits(params["generator"], vector, [SOS, *words[:-1]])
    nll += [-twin.log_softmax(x)[word] for x, word in zip(logits, words)]
  np.testing.assert_allclose(total, -np.mean(terms) + np.mean(nll), rtol=1e-4)


def test_discriminator_loss_equals_numpy(variables):
  task, batch, params = make_task(), make_batch(), variables["params"]
  key = jax.random.key(8)
  total, _ = jax.jit(lambda p, b: task.discriminator_loss(p, {}, b, key))(params, batch)
  keys = jax.random.split(key, 6)
  starts, drawn = written(task, params, batch, keys[2])
  tokens, lengths, _ = task.real_sentences(batch, keys[3])
  real, fake, far = [], [], []
  player = params["discriminator"]
  for sentence, n in zip(np.asarray(tokens), np.asarray(lengths)):
    words = [*sentence[:n], EOS]
    p = twin.sigmoid(twin.discriminator(player, words, n + 1)[0])
    real += list(-0.875 * np.log(p) - 0.125 * np.log(1 - p))
  for start, words in zip(starts[:-1], drawn[:-1]):
    live = twin.length_of(words, EOS)
    logits, vector, _ = twin.discriminator(player, words, live)
    fake += list(-np.log(1 - twin.sigmoid(logits[:live])))
    far.append(((start - vector) ** 2).mean())
  expected = np.mean(real) + np.mean(fake) + 100 * np.mean(far)
  np.testing.assert_allclose(total, expected, rtol=1e-4)


def test_policy_gradient_is_that_of_all_sentences(variables):
  """Of many draws for one picture, against the sum over all sentences of two words."""
  task = make_task(reconstruction=2.0, sentence=0.0, decode=DecodeOptions(max_length=1, beam=2))
  params, rows = variables["params"], 20_000
  one = {name: x[:1] for name, x in make_batch(filler=0).items()}
  batch = {name: np.repeat(x, rows, 0) for name, x in one.items()}
  loss = lambda p: task.generator_loss(p, {}, batch, jax.random.key(1))[0]
  grads = jax.jit(jax.grad(loss))(params)

  memory = call(task, params, one["features"], method="encode_features")
  best = call(task, params, memory, jax.random.key(0), length=2, greedy=True, method="write")
  start, best = np.asarray(memory.start[0]), np.asarray(best.tokens[0])
  sentences = np.array(list(itertools.product(range(EOS, V), repeat=2)))
  live = np.array([twin.length_of(words, EOS) for words in sentences])
  advantages = np.zeros((len(sentences), 2))
  for i, (words, n) in enumerate(zip(sentences, live)):
    ours, base = (gains(params, task, one, 0, start, w, n) for w in (words, best))
    advantages[i, :n] = np.clip(ours - base, -5, 5)[:n]

  def log_probs(params):
    def forward(model):
      seen = model.encode_features(jnp.asarray(one["features"]))
      before = jnp.stack([jnp.full(len(sentences), SOS), sentences[:, 0]], 1)
      return model.decode(before[None], seen)[0]

    logits = task.model.apply({"params": params}, method=forward)
    log_policy = jax.nn.log_softmax(logits[..., EOS:])
    return jnp.take_along_axis(log_policy, sentences[..., None] - EOS, -1)[..., 0]

  chances = np.exp(np.asarray(log_probs(params)).sum(1))
  assert np.isclose(chances.sum(), 1)

  def expected_loss(params):
    return -(chances[:, None] * advantages * log_probs(params)).sum() / (chances * live).sum()

  expected = jax.jit(jax.grad(expected_loss))(params)["generator"]
  flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
  ours, theirs = flat(grads["generator"]), flat(expected)
  assert np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()


def magnitude(tree):
  return max(float(jnp.abs(x).max()) for x in jax.tree.leaves(tree))


def test_each_loss_moves_its_own_parameters_alone(variables):
  task, batch, params = make_task(dropout=0.2), make_batch(), variables["params"]
  key = jax.random.key(2)
  own = {
      "generator": lambda p: task.generator_loss(p, {}, batch, key)[0],
      "discriminator": lambda p: task.discriminator_loss(p, {}, batch, key)[0],
  }
  for name, loss in own.items():
    grads = jax.jit(jax.grad(loss))(params)
    for player, tree in grads.items():
      moved = [magnitude(part) > 0 for part in tree.values()]
      assert all(moved) if player == name else not any(moved), (name, player)

  def sentence(p):
    return task.sentence_loss(task._caller(p, {}), batch, key)[0]

  grads = jax.jit(jax.grad(sentence))(params)
  assert magnitude(grads["discriminator"]) == magnitude(grads["generator"].pop("projection")) == 0
  assert all(magnitude(part) > 0 for part in grads["generator"].values())

  lone = make_task(reconstruction=0.0)
  grads = jax.jit(jax.grad(lambda p: lone.discriminator_loss(p, {}, batch, key)[0]))(params)
  assert magnitude(grads["discriminator"]["recon"]) == 0 < magnitude(grads["discriminator"])


def rates(clip=0.5):
  rule = optax.chain(optax.clip_by_global_norm(clip), optax.scale_by_adam(b1=0.5))
  factors = (("^encoder/", 0.0),)
  trained = lambda params: jax.tree.map(
      bool, optim.rate_factors(params, factors, all_fit=False)
  )
  return train_state.Rates(
      optax.masked(rule, trained), lambda _: jnp.float32(1e-2), factors=factors
  )


@pytest.fixture(scope="module")
def state(variables):
  made, _ = train_state.create(make_task(), rates(), sharding.make_mesh(), seed=0)
  return made.replace(params=variables["params"])


def test_a_step_is_one_of_each_player(state):
  task, batch = make_task(), make_batch()
  key = jax.random.key(3)
  after, metrics = jax.jit(train_state.make_update(task, rates()))(state, batch, key)
  assert metrics["finite"] == (1, 1) and after.step == 1

  params, step_key = dict(state.params), jax.random.fold_in(key, 0)
  rule = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2, b1=0.5))
  for turn, name in enumerate(unsupervised.PLAYERS):
    loss = getattr(task, f"{name}_loss")
    of_own = lambda own, loss=loss, name=name, turn=turn: loss(
        params | {name: own}, {}, batch, jax.random.fold_in(step_key, turn)
    )[0]
    grads = jax.jit(jax.grad(of_own))(params[name])
    assert optax.tree.norm(grads) > 0.5  # so that it is clipped
    moves, _ = rule.update(grads, rule.init(params[name]))
    params[name] = optax.apply_updates(params[name], moves)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), dict(after.params), params
  )
  jax.tree.map(np.testing.assert_array_equal, after.params["encoder"], state.params["encoder"])


def test_noise_takes_its_sentences_from_the_batch(variables, state):
  task = make_task(start="noise", concept=0.0, reconstruction=0.0, sentence=0.0, sentences=None)
  batch = {"tokens": np.array([[4, 5], [6, 0]]), "length": np.array([2, 1]),
           "record": np.arange(2), "real": np.ones(2, bool)}  # fmt: skip
  after, metrics = jax.jit(train_state.make_update(task, rates()))(state, batch, jax.random.key(0))
  assert metrics["finite"][0] == 1 and task.learns_from == ()
  change = jax.tree.map(jnp.subtract, after.params["generator"], state.params["generator"])
  same = lambda part: magnitude(change[part]) == 0
  assert same("projection") and not same("embedding")
  start = task.model.apply(variables, method=lambda model: task.read(model, batch)).start
  np.testing.assert_allclose(np.linalg.norm(start, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"start": "words"}, "no start 'words'"),
        ({"adversarial": 0.0, "concept": 0.0, "reconstruction": 0.0}, "nothing is rewarded"),
        ({"start": "noise"}, "noise shows nothing"),
    ],
)
def test_wrong_settings_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    make_task(**changes)


def test_what_a_step_lacks_is_said():
  task = make_task(sentences=None)
  with pytest.raises(ValueError, match=r"needs sentences; see mmjax\.unpaired"):
    task.real_sentences(make_batch(), jax.random.key(0))
  averaged = rates()._replace(ema=0.9)
  with pytest.raises(ConfigError, match="set accumulate to 1 and ema to 0"):
    make_task().make_update(averaged)
