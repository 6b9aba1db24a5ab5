"""Samples against the distribution that a toy model has, all of whose texts can be listed."""

import collections
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.decode.beam_search import NEGATIVE
from mmjax.decode.constraints import Banned
from mmjax.decode.sampling import BLOCK, draw_words, sample, truncate
from mmjax.text.vocabulary import EOS, PAD, SOS
from tests.decode import reference, toy

WORDS, LENGTH, SAMPLES = 5, 3, 3000
TABLES = toy.random_tables(11, 2, WORDS, spread=1.0, stop_bonus=0.5)


@functools.cache
def draw(**options):
  options = {"samples": SAMPLES, "start": SOS, "stop": EOS, "max_length": LENGTH} | options

  def run(tables, real, key):
    step, cache_of = toy.cached(tables, options["samples"])
    return sample(step, cache_of, key, real, **options)

  return jax.jit(run)


def plain(model, temperature, top_k, top_p, banned):
  """{text with its stop: probability}; truncated as Holtzman et al. (2020) say."""
  texts, live = {}, {(): 1.0}
  for _ in range(LENGTH):
    after = {}
    for tokens, probability in live.items():
      logits = [x / temperature for x in reference.log_softmax(model((SOS, *tokens)))]
      likely = sorted((w for w in range(WORDS) if w not in banned), key=lambda w: -logits[w])
      likely = likely[: top_k or WORDS]
      total = sum(math.exp(logits[w]) for w in likely)
      kept, mass = {}, 0.0
      for word in likely:
        if mass < top_p:
          kept[word] = math.exp(logits[word]) / total
          mass += kept[word]
      for word, p in kept.items():
        ended = texts if word == EOS else after
        ended[(*tokens, word)] = probability * p / sum(kept.values())
    live = after
  return texts | live


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.7, "temperature": 1.3},
        {"top_k": 3, "top_p": 0.6, "constraint": Banned((PAD, 3), WORDS)},
    ],
)
def test_texts_come_as_often_as_they_are_likely(options):
  found = jax.device_get(draw(**options)(TABLES, np.ones(2, bool), jax.random.key(3)))
  rule = options.get("constraint")
  setting = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} | options
  setting["banned"] = rule.words if rule else ()
  setting.pop("constraint", None)
  for b in range(2):
    model = toy.plain(TABLES[b])
    expected = plain(model, **setting)
    assert sum(expected.values()) == pytest.approx(1)
    counts = collections.Counter()
    for tokens, length, log_probs in zip(*(x[b] for x in found)):
      ended = (EOS,) if length < LENGTH else ()
      text = (*tokens[:length].tolist(), *ended)
      counts[text] += 1
      assert not tokens[length:].any() and not log_probs[len(text) :].any()
      if counts[text] == 1:  # the model's own, whatever the setting
        own = [
            reference.log_softmax(model((SOS, *text[:i])))[word] for i, word in enumerate(text)
        ]
        np.testing.assert_allclose(log_probs[: len(text)], own, atol=1e-5)
    assert counts.keys() <= expected.keys()
    for text, probability in expected.items():
      deviation = math.sqrt(SAMPLES * probability * (1 - probability))
      assert abs(counts[text] - SAMPLES * probability) < 4.5 * deviation + 2, text


@pytest.mark.parametrize("words", [BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_words_of_all_blocks_come_as_often_as_they_are_likely(words):
  draws = 50_000
  logits = 2 * np.random.default_rng(words).normal(size=(2, words)) + 30  # the height is nothing
  never = [0, 7, words - 1]
  logits[:, never] = NEGATIVE
  many = jnp.broadcast_to(jnp.asarray(logits[:, None], jnp.float32), (2, draws, words))
  found = jax.jit(draw_words)(jax.random.key(1), many)
  for row, drawn in zip(logits, np.asarray(found)):
    counts = np.bincount(drawn, minlength=words)
    assert len(counts) == words and not counts[never].any()
    kept = np.delete(np.arange(words), never)
    expected = draws * np.exp(row[kept] - np.logaddexp.reduce(row[kept]))
    statistic = ((counts[kept] - expected) ** 2 / expected).sum()
    freedom = len(kept) - 1
    assert abs(statistic - freedom) < 4.5 * (2 * freedom) ** 0.5


def test_a_sure_word_is_drawn_wherever_it_stands():
  words = 2 * BLOCK + 3
  logits = jnp.where(jnp.eye(words, dtype=bool), 0.0, NEGATIVE)
  assert jax.jit(draw_words)(jax.random.key(0), logits).tolist() == list(range(words))


def test_the_first_texts_may_be_greedy():
  found, chosen = (
      jax.device_get(draw(samples=20, **rule)(TABLES, np.ones(2, bool), jax.random.key(0)))
      for rule in ({"greedy": 2}, {"temperature": 0.0})
  )
  np.testing.assert_array_equal(found.tokens[:, :2], chosen.tokens[:, :2])
  assert (found.tokens[:, 2:] != chosen.tokens[:, 2:]).any((1, 2)).all()


def test_the_key_decides():
  run = draw(samples=20)
  ones = np.ones(2, bool)
  first, again = (run(TABLES, ones, jax.random.key(5)) for _ in range(2))
  jax.tree.map(np.testing.assert_array_equal, first, again)
  assert (first.tokens != run(TABLES, ones, jax.random.key(6)).tokens).any()
  assert (first.tokens[:, 0] != first.tokens[:, 1:].swapaxes(0, 1)).any()


def test_temperature_zero_is_greedy_and_filler_is_empty():
  run = draw(samples=2, temperature=0.0, max_length=6)
  found = jax.device_get(run(TABLES, np.array([True, False]), jax.random.key(0)))
  tokens, score = reference.greedy(toy.plain(TABLES[0]), SOS, EOS, 6)
  for n in range(2):
    assert found.tokens[0, n, : found.lengths[0, n]].tolist() == list(tokens)
    assert found.log_probs[0, n].sum() == pytest.approx(score, abs=1e-5)
  assert not found.lengths[1].any() and not found.log_probs[1].any()


def test_truncation_keeps_equals():
  logits = jnp.log(jnp.array([0.2, 0.4, 0.2, 0.2]))
  assert (truncate(logits, top_k=2) > -1e8).tolist() == [True, True, True, True]
  assert (truncate(logits, top_k=1) > -1e8).tolist() == [False, True, False, False]
  assert (truncate(logits, top_p=0.3) > -1e8).tolist() == [False, True, False, False]
