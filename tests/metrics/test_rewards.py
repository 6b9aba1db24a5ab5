"""Rewards on the device against the scores of the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.metrics import bleu, cider, clipscore, rewards

B, R, M, T, U = 2, 2, 3, 9, 7
cider_d = jax.jit(rewards.cider_d)
bleu_statistics = jax.jit(rewards.bleu_statistics)
bleu_scores = jax.jit(rewards.bleu)


def captions_of(random, *shape, words):
  tokens = random.integers(0, words, shape).astype(np.int32)
  return tokens, random.integers(0, shape[-1] + 1, shape[:-1]).astype(np.int32)


def written(tokens, length):
  return " ".join(map(str, tokens[:length]))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 60, 2**30]))
def test_equals_the_host(seed, words):
  random = np.random.default_rng(seed)
  training = [[written(*captions_of(random, 6, words=words)) for _ in range(3)] for _ in range(8)]
  table = rewards.make_table([[[int(w) for w in c.split()] for c in p] for p in training])
  sampled, lengths = captions_of(random, B, R, T, words=words)
  references, reference_lengths = captions_of(random, B, M, U, words=words)
  if words > 60:  # else nothing would match
    sampled[:, :, :U], references[0, 0, :6] = references[:, :R], sampled[1, 1, :6]
  real = random.random((B, M)) < 0.6
  real[:, 0] = True
  arguments = sampled, lengths, references, reference_lengths, real
  texts = [
    [written(*pair) for pair, there in zip(zip(references[b], reference_lengths[b]), real[b])
     if there] for b in range(B) for _ in range(R)]
  hypotheses = [written(sampled[b, r], lengths[b, r]) for b in range(B) for r in range(R)]

  score = cider_d(pad(table), *arguments)
  expected = cider.measure(texts, hypotheses, cider.document_frequencies(training)).samples()
  assert score.dtype == jnp.float32
  np.testing.assert_allclose(score.ravel(), expected["cider_d"], rtol=1e-5, atol=1e-5)

  statistics = bleu_statistics(*arguments)
  host = bleu.measure(texts, hypotheses)
  np.testing.assert_allclose(statistics.reshape(-1, 10), host.statistics, atol=1e-5)
  by_name = np.stack([host.samples()[f"bleu_{n}"] for n in range(1, 5)], -1)
  np.testing.assert_allclose(bleu_scores(statistics).reshape(-1, 4), by_name, atol=1e-5)
  corpus = [host.corpus()[f"bleu_{n}"] for n in range(1, 5)]
  np.testing.assert_allclose(bleu_scores(statistics.sum((0, 1))), corpus, atol=1e-5)


def pad(table):
  """The table with room that nothing uses, so that one compiled function takes all tables."""
  def longer(x, size, value):
    return np.concatenate([x, np.full(size - len(x), value, x.dtype)])

  room = 160  # for the n-grams of the training captions
  starts = [longer(np.asarray(s), room + 1 if n else 3, s[-1]) for n, s in enumerate(table.starts)]
  words, weights = ([longer(np.asarray(x), room, 0) for x in level]
                    for level in (table.words, table.weights))
  return rewards.Table(tuple(starts), tuple(words), tuple(weights), table.unseen, (8,) * 4)


def test_no_transfer_and_one_trace():
  table = rewards.make_table([[[1, 2, 3, 4], [1, 2]], [[5, 2, 3]]])
  traces = []

  @jax.jit
  def step(table, *arguments):
    traces.append(1)
    return rewards.cider_d(table, *arguments), rewards.bleu(rewards.bleu_statistics(*arguments))

  arguments = jax.device_put((
    table, jnp.array([[[1, 2, 3, 4, 0]]]), jnp.array([[4]]), jnp.array([[[1, 2, 3, 4]]]),
    jnp.array([[4]]), jnp.array([[True]])))
  jax.block_until_ready(step(*arguments))
  with jax.transfer_guard("disallow"):
    score, bleus = jax.block_until_ready(step(*arguments))
  assert len(traces) == 1
  assert score.item() == pytest.approx(10)
  assert bleus.ravel() == pytest.approx([1] * 4)


def test_clip_scores_equal_the_hosts():
  random = np.random.default_rng(0)
  unit = lambda *shape: (lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True))(
      random.normal(size=shape))
  pictures, captions, given = unit(2, 4), unit(2, 5, 4), unit(2, 3, 4)
  real = np.array([[True, False, False], [True, True, True]])
  fit = rewards.clip_s(jnp.asarray(pictures), jnp.asarray(captions))
  both = rewards.ref_clip_s(fit, jnp.asarray(captions), jnp.asarray(given), jnp.asarray(real))
  for b, r in np.ndindex(2, 5):
    host = clipscore.scores(pictures[b], captions[b, r], given[b][real[b]])
    assert fit[b, r] == pytest.approx(host["clipscore"], abs=1e-5)
    assert both[b, r] == pytest.approx(host["refclipscore_reward"], abs=1e-5)
  assert (np.asarray(fit) == 0).any() and (np.asarray(both) > 0).any()


def test_a_table_of_nothing_is_refused():
  with pytest.raises(ValueError, match="the references of 2 pictures have no words"):
    rewards.make_table([[[]], []])
