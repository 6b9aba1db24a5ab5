"""The strategies and rules of `config.decode` with a toy model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.decode.beam_search import NEGATIVE, beam_search
from mmjax.decode.bidirectional import bidirectional_search
from mmjax.decode.latex_grammar import LatexGrammar, accepts
from mmjax.decode.options import DecodeOptions
from mmjax.decode.search import rule_of, search
from mmjax.text import latex_tree
from mmjax.text.vocabulary import EOS, PAD, SOS, Vocabulary
from tests.decode import reference, toy

WORDS = Vocabulary(("<unk>", "x", "^", "{", "}", "b"))
LENGTH = 7


def decode(tables, **changes):
  options = DecodeOptions(**{"max_length": LENGTH, "beam": 3, "ban_unknown": False} | changes)
  step, cache_of = toy.cached(tables, options.rows)
  real = jnp.ones(len(tables), bool)
  return jax.jit(lambda: search(step, cache_of, real, options, WORDS))()


def texts(found, picture):
  rows = zip(*(np.asarray(x[picture]) for x in found))
  return [(tuple(t[:n].tolist()), float(s)) for t, s, n in rows if s > NEGATIVE / 2]


def assert_same(ours, expected):
  assert [t for t, _ in ours] == [t for t, _ in expected]
  np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], atol=1e-4)


@pytest.mark.parametrize("normalise", ["sum", "each"])
def test_the_beam_is_ranked_by_the_score(normalise):
  tables = toy.random_tables(0, 4, len(WORDS), stop_bonus=0.5)
  found = decode(tables, normalise=normalise, length_penalty=0.7)
  for b in range(4):
    model = toy.plain(tables[b])
    if normalise == "each":
      expected = reference.normalised_beam_search(model, SOS, EOS, 3, LENGTH, 0.7)
    else:
      expected = reference.beam_search(model, SOS, EOS, 3, LENGTH)
      expected = [(t, score / max(len(t), 1) ** 0.7) for t, score in expected]
    assert_same(texts(found, b), sorted(expected, key=lambda h: -h[1]))


def allowed_beam_search(model, allowed, beam):
  """The plain search over a model that gives forbidden words no chance and the others theirs."""
  found, live = [], [((), 0.0)]
  for _ in range(LENGTH):
    candidates = [
        (score + log_prob, (*tokens, word))
        for tokens, score in live
        for word, log_prob in enumerate(reference.log_softmax(model((SOS, *tokens))))
        if allowed((*tokens, word))
    ]
    candidates.sort(key=lambda c: -c[0])
    best = candidates[: beam - len(found)]
    found += [(tokens[:-1], score) for score, tokens in best if tokens[-1] == EOS]
    live = [(tokens, score) for score, tokens in best if tokens[-1] != EOS]
    if len(found) == beam:
      break
  return found or [max(live, key=lambda h: h[1])]


def no_run_twice(tokens, n=2):
  runs = list(zip(*(tokens[i:] for i in range(n))))
  return len(runs) == len(set(runs))


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"min_length": 4}, lambda t: t[-1] != EOS or len(t) > 4),
        ({"no_repeat": 1}, lambda t: len(t) == len(set(t))),
        ({"no_repeat": 2}, no_run_twice),
        ({"no_repeat": 3}, functools.partial(no_run_twice, n=3)),
        ({"no_double": True}, lambda t: (PAD, *t)[-2] != t[-1]),
        ({"ban_unknown": True}, lambda t: t[-1] != 3),
        (
            {"ban_unknown": True, "min_length": 3, "no_repeat": 2},
            lambda t: t[-1] != 3 and (t[-1] != EOS or len(t) > 3) and no_run_twice(t),
        ),
    ],
)
def test_a_rule_takes_words_away_and_changes_no_probability(changes, allowed):
  tables = toy.random_tables(1, 4, len(WORDS), spread=0.7, stop_bonus=0.3)
  found = decode(tables, length_penalty=0.0, **changes)
  free = decode(tables, length_penalty=0.0)
  differs = False
  for b in range(4):
    expected = allowed_beam_search(toy.plain(tables[b]), allowed, 3)
    assert_same(texts(found, b), sorted(expected, key=lambda h: -h[1]))
    differs |= texts(found, b) != texts(free, b)
  assert differs


def test_where_nothing_may_come_the_text_stops():
  tables = toy.random_tables(2, 2, 4, stop_bonus=-20.0)  # pad, sos, eos, one word
  step, cache_of = toy.cached(tables, 1)

  class Nothing:
    init = staticmethod(lambda batch, rows: jnp.zeros((batch, rows), jnp.int32))
    mask = staticmethod(lambda state: jnp.broadcast_to(state[..., None] < 2, (*state.shape, 4)))
    advance = staticmethod(lambda state, token: state + 1)

  limits = dict(starts=(SOS,), stops=(EOS,), beam=1, max_length=6, constraints=(Nothing(),))
  found = jax.jit(lambda: beam_search(step, cache_of, jnp.ones(2, bool), **limits))()
  assert (found.lengths == 2).all() and (found.scores > NEGATIVE / 2).all()


def diverse(model, groups, beam, diversity):
  """Diverse beam search in plain Python: groups one after the other in each step."""
  live, found = [[((), 0.0)] for _ in range(groups)], [[] for _ in range(groups)]
  for _ in range(LENGTH):
    taken = []
    for g in range(groups):
      candidates = [
          (score + p - diversity * taken.count(word), score + p, (*tokens, word))
          for tokens, score in live[g]
          for word, p in enumerate(reference.log_softmax(model((SOS, *tokens))))
      ]
      candidates.sort(key=lambda c: -c[0])
      best = candidates[: beam - len(found[g])]
      taken += [tokens[-1] for _, _, tokens in best]
      found[g] += [(tokens[:-1], score) for _, score, tokens in best if tokens[-1] == EOS]
      live[g] = [(tokens, score) for _, score, tokens in best if tokens[-1] != EOS]
  return [h for g in range(groups) for h in found[g] or [max(live[g], key=lambda h: h[1])]]


def test_diverse_groups_equal_the_plain_search():
  tables = toy.random_tables(3, 6, len(WORDS), spread=1.0, stop_bonus=0.5)
  options = dict(strategy="diverse", beam=6, groups=3, length_penalty=0.0)
  distinct = []
  for diversity in (0.0, 1.0):
    found = decode(tables, diversity=diversity, **options)
    for b in range(6):
      expected = diverse(toy.plain(tables[b]), 3, 2, diversity)
      assert_same(texts(found, b), sorted(expected, key=lambda h: -h[1]))
    distinct.append(sum(len({t for t, _ in texts(found, b)}) for b in range(6)))
  assert distinct[0] < distinct[1]


def test_samples_are_ranked_and_greedy_at_temperature_zero():
  tables = toy.random_tables(4, 3, len(WORDS))
  found = decode(tables, strategy="sample", samples=8)
  assert found.tokens.shape == (3, 8, LENGTH)
  for b in range(3):
    scores = [s for _, s in texts(found, b)]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
  found = decode(tables, strategy="sample", samples=2, temperature=0.0, length_penalty=0.0)
  for b in range(3):
    expected = reference.greedy(toy.plain(tables[b]), SOS, EOS, LENGTH)
    assert_same(texts(found, b), [expected] * 2)


def test_with_the_grammar_both_directions_give_formulas():
  tables = toy.random_tables(5, 12, len(WORDS), spread=0.8)
  step, cache_of = toy.cached(tables, 6)
  outcomes = []
  for grammar in (False, True):
    options = DecodeOptions(grammar=grammar, max_length=LENGTH)
    rules = [rule_of(options, WORDS, EOS), rule_of(options, WORDS, SOS, backward=True)]
    accept = functools.partial(accepts, LatexGrammar(WORDS, LENGTH)) if grammar else None
    limits = dict(beam=3, max_length=LENGTH, length_penalty=1.0)
    found = jax.jit(lambda r=rules, a=accept, limits=limits: bidirectional_search(
        step, cache_of, toy.teacher_forced(tables), jnp.ones(12, bool),
        constraints=r, accept=a, **limits,
    ))()  # fmt: skip
    assert all(texts(found, b) for b in range(12))  # there is always an answer
    outcomes.append([WORDS.decode(t) for b in range(12) for t, _ in texts(found, b)])
  free, formulas = outcomes
  assert any(map(malformed, free)) and not any(map(malformed, formulas))
  assert any("{" in words for words in formulas)


def malformed(words):
  try:
    latex_tree.parse(words)
  except latex_tree.MalformedError:
    return True
  return False


def test_a_prompt_and_several_stops():
  """The same as a search that has the prompt written already."""
  tables = toy.random_tables(6, 3, len(WORDS), stop_bonus=0.5)
  step, cache_of = toy.cached(tables, 3)
  prompt, stops = (SOS, 4, 5), (EOS, 6)
  limits = dict(starts=(prompt,), stops=(stops,), beam=3, max_length=LENGTH)
  found = jax.jit(lambda: beam_search(step, cache_of, jnp.ones(3, bool), **limits))()
  for b in range(3):
    model, live, ended = toy.plain(tables[b]), [((), 0.0)], []
    for _ in range(LENGTH):
      candidates = [
          (score + p, (*tokens, word))
          for tokens, score in live
          for word, p in enumerate(reference.log_softmax(model((*prompt, *tokens))))
      ]
      best = sorted(candidates, key=lambda c: -c[0])[: 3 - len(ended)]
      ended += [(t[:-1], s) for s, t in best if t[-1] in stops]
      live = [(t, s) for s, t in best if t[-1] not in stops]
    group = [np.asarray(x[b, 0]) for x in found]
    ours = [(tuple(t[:n].tolist()), float(s)) for t, s, n in zip(*group) if s > NEGATIVE / 2]
    assert_same(ours, ended or [max(live, key=lambda h: h[1])])
