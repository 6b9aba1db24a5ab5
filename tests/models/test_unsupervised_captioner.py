"""The generator and the discriminator against NumPy; sentences drawn from the generator."""

import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

from mmjax.models.unsupervised_captioner import (
  State,
  UnsupervisedCaptioner,
  Weights,
  advance,
  read_inputs,
)  # fmt: skip
from mmjax.modules import encoders
from mmjax.modules.resnet import ResNet
from mmjax.text.vocabulary import EOS, SOS
from tests.models import unsupervised_twin as twin
from tests.models.test_recognizers import random_variables

V, B, T, WIDTH = 9, 3, 6, 4


@pytest.fixture(scope="module")
def made():
  """(model, its variables with large random weights, features of pictures)."""
  patch = pytest.MonkeyPatch()
  patch.setitem(encoders.ENCODERS, "small", (ResNet, {"layers": (1,), "width": 4}))
  model = UnsupervisedCaptioner(V, "small", WIDTH, dropout=0.5)
  init = functools.partial(
      model.init, images=np.zeros((1, 32, 32, 3), np.uint8), valid=np.ones((1, 32, 32), bool),
      tokens=np.ones((1, 1, 2), np.int32),
  )  # fmt: skip
  shapes = jax.eval_shape(lambda key: nn.unbox(init(key)), jax.random.key(0))
  channels = shapes["params"]["generator"]["projection"]["kernel"].shape[0]
  features = np.random.default_rng(1).normal(size=(B, 2, 3, channels)).astype(np.float32)
  yield model, random_variables(shapes), features
  patch.undo()


def call(made, *args, method, **kwargs):
  model, variables, _ = made
  return jax.jit(functools.partial(model.apply, method=method, **kwargs))(variables, *args)


def test_the_cell_is_that_of_tensorflow():
  """One channel by hand: i, j, f, o = 1, 2, 3, 4 times the input, no weight on the state."""
  weights = Weights(np.array([[1.0, 2, 3, 4], [0, 0, 0, 0]]), np.zeros(4))
  state = State(np.array([[0.0]]), np.array([[0.5]]))
  h, c = advance(read_inputs(np.array([[0.5]]), weights), weights, state)
  cell = 0.5 / (1 + np.exp(-2.5)) + np.tanh(1.0) / (1 + np.exp(-0.5))
  np.testing.assert_allclose(c, [[cell]], rtol=1e-6)
  np.testing.assert_allclose(h, [[np.tanh(cell) / (1 + np.exp(-2.0))]], rtol=1e-6)


def test_generator_equals_numpy(made):
  _, variables, features = made
  ours = variables["params"]["generator"]
  tokens = np.random.default_rng(2).integers(0, V, (B, 2, T))
  memory = call(made, features, method="encode_features")
  logits = call(made, tokens, memory, method="decode")
  for b in range(B):
    start = twin.start_of(ours, features[b].mean((0, 1)))
    np.testing.assert_allclose(memory.start[b], start, atol=1e-5)
    assert np.isclose(np.linalg.norm(start), 1)
    for r in range(2):
      expected = twin.generator_logits(ours, start, tokens[b, r])
      np.testing.assert_allclose(logits[b, r], expected, atol=1e-4)


def test_discriminator_equals_numpy(made):
  ours = made[1]["params"]["discriminator"]
  tokens = np.random.default_rng(3).integers(0, V, (B, T))
  lengths = np.array([1, 4, T])
  judged = call(made, tokens, lengths, method="judge")
  summary = call(made, tokens, lengths, method="summarise")
  for b in range(B):
    logits, vector, last = twin.discriminator(ours, tokens[b], lengths[b])
    np.testing.assert_allclose(judged.logits[b], logits, atol=1e-4)
    np.testing.assert_allclose(judged.vectors[b], vector, atol=1e-5)
    np.testing.assert_allclose(summary[b], twin.unit(last), atol=1e-5)
  nothing = call(made, tokens, np.zeros(B, int), method="summarise")
  assert not np.asarray(nothing).any()


def test_the_likeliest_sentence_is_that_of_a_walk(made):
  _, variables, features = made
  ours = variables["params"]["generator"]
  memory = call(made, features, method="encode_features")
  written = call(made, memory, jax.random.key(0), length=T, greedy=True, method="write")
  for b in range(B):
    words = [SOS]
    for _ in range(T):
      logits = twin.generator_logits(ours, np.asarray(memory.start[b]), words)[-1]
      words.append(EOS + int(logits[EOS:].argmax()))  # neither PAD nor SOS
    assert words[1:] == list(written.tokens[b])


@pytest.mark.parametrize("train", [False, True])
def test_drawn_words_have_the_chances_of_the_policy(made, train):
  """Without dropout the chances are those of teacher forcing; with it, another mask a row."""
  _, _, features = made
  memory = call(made, np.repeat(features[:1], 400, 0), method="encode_features")
  rngs = {"rngs": {"dropout": jax.random.key(5)}} if train else {}
  written = call(made, memory, jax.random.key(4), length=3, train=train, method="write", **rngs)
  tokens = np.asarray(written.tokens)
  assert tokens.min() >= EOS and len(np.unique(tokens[:, 0])) > 2
  before = np.concatenate([np.full((400, 1), SOS), tokens[:, :-1]], 1)
  logits = np.asarray(call(made, before[:, None], memory, method="decode"))[:, 0]
  expected = np.apply_along_axis(twin.log_softmax, -1, logits[..., EOS:])
  expected = np.take_along_axis(expected, tokens[..., None] - EOS, -1)[..., 0]
  off = np.abs(np.asarray(written.log_probs) - expected).max()
  assert off < 1e-4 if not train else off > 1e-2
  if not train:
    share = np.bincount(tokens[:, 0], minlength=V)[EOS:] / 400
    chances = np.exp(twin.log_softmax(logits[0, 0, EOS:]))
    assert np.abs(share - chances).max() < 4 * 0.5 / 400**0.5
