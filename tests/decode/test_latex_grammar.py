r"""What the grammar lets through is well-formed, and what is well-formed it lets through."""

import functools
import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.decode.latex_grammar import LatexGrammar, accepts
from mmjax.decode.sampling import sample
from mmjax.text import latex_tree
from mmjax.text.latex_tree import MalformedError
from mmjax.text.vocabulary import EOS, SOS, Vocabulary
from tests.decode import toy

LENGTH = 20


def words_of(text):
  return Vocabulary(tuple(text.split()))


JOINED = words_of(
    r"x 2 + ' { } [ ] ^ _ \sp \sb \frac \sqrt \hat \makebox \limits \over \atop & \\"
    r" \begin{array} \end{array} \begin{matrix} \end{matrix} \begin{lonely} l c | \left( \right)"
    r" \leftarrow \raisebox \buildrel <unk>"
)
BARE = words_of(r"x ( ) . { } ^ _ \sqrt \left \right [ \begin \end")


def is_formula(words):
  try:
    latex_tree.parse(words)
  except MalformedError:
    return False
  return True


@functools.cache
def draws(vocabulary):
  """Texts that a model without any idea of LaTeX writes under the rule."""
  rule = LatexGrammar(vocabulary, LENGTH)

  @jax.jit
  def draw(tables, key):
    step, cache_of = toy.cached(tables, 50)
    real = jnp.ones(len(tables), bool)
    limits = dict(start=SOS, stop=EOS, samples=50, max_length=LENGTH)
    return sample(step, cache_of, key, real, constraint=rule, **limits)

  return draw


@pytest.mark.parametrize("vocabulary", [JOINED, BARE])
@pytest.mark.parametrize(("spread", "bonus"), [(0.5, -9.0), (2.0, 0.0)])
def test_whatever_a_model_prefers_the_text_is_a_formula(vocabulary, spread, bonus):
  seen, lengths = set(), set()
  for seed in range(2):
    tables = toy.random_tables(seed, 10, len(vocabulary), spread=spread)
    tables[..., EOS] += bonus
    found = jax.device_get(draws(vocabulary)(tables, jax.random.key(seed)))
    for tokens, length in zip(found.tokens.reshape(-1, LENGTH), found.lengths.reshape(-1)):
      words = vocabulary.decode(tokens[:length])
      assert len(words) == length  # no special is among them
      assert is_formula(words), " ".join(words)
      seen |= set(words)
      lengths.add(int(length))
  never = {r"\begin{lonely}", r"\raisebox", r"\buildrel", r"\begin", r"\end"}
  assert seen == set(vocabulary.words) - never
  assert LENGTH in lengths  # some are as long as may be


@functools.cache
def accepting(vocabulary, length):
  return jax.jit(functools.partial(accepts, LatexGrammar(vocabulary, length)))


def accepted(vocabulary, texts, length, most=None):
  numbers = [vocabulary.encode(words) for words in texts]
  tokens = np.array([n + [0] * (length - len(n)) for n in numbers])
  lengths = np.array([len(n) for n in numbers])
  return np.asarray(accepting(vocabulary, most or length)(tokens[:, None], lengths[:, None]))[:, 0]


def test_random_words_are_accepted_if_and_only_if_they_are_a_formula():
  """Of few words, so that many of the texts are."""
  vocabulary = words_of(r"x { } [ ] ^ _ ' \frac \sqrt \over \left( \right)")
  rng = np.random.default_rng(0)
  texts = [rng.choice(vocabulary.words, rng.integers(0, 8)).tolist() for _ in range(5_000)]
  expected = np.array([is_formula(words) for words in texts])
  ours = accepted(vocabulary, texts, 8)
  assert not (ours & ~expected).any()
  # An \over as an argument is a symbol for the parser, and no formula for the rule.
  differ = [" ".join(t) for t, a, b in zip(texts, expected, ours) if a != b]
  assert not [t for t in differ if r"\over" not in t]
  assert 0.1 < expected.mean() < 0.9


TEXTS = [
  (r"\sqrt [ 2 ] x ^ { 2 } _ x", True),
  (r"x ^ 2 ^ 2", False),
  (r"x ^ 2 \sp 2", False),
  (r"x ' _ 2 ' ^ 2 \limits", True),
  (r"{ x \over 2 } \over x", True),
  (r"x \over 2 \over x", False),
  (r"\frac \sqrt \hat x 2 ^ 2", True),
  (r"\frac x", False),
  (r"\makebox [ 2 ] [ x ] { 2 }", True),
  (r"\left( x + \sqrt \left( 2 \right) \right) ^ 2", True),
  (r"\left( { x \right) }", False),
  (r"\begin{array} { l | } x & 2 ^ x \over 2 \\ & \end{array} ^ 2", True),
  (r"\begin{matrix} x \\ x & 2 \end{matrix}", True),
  (r"\begin{array} { l } x \end{matrix}", False),
  (r"\sqrt \begin{matrix} x \end{matrix} x", True),
  ("x & x", False),
  ("", True),
]


def test_texts():
  texts, fits = zip(*TEXTS)
  ours = accepted(JOINED, [text.split() for text in texts], LENGTH).tolist()
  assert dict(zip(texts, ours)) == dict(zip(texts, fits))


def test_fences_of_two_words():
  texts = [r"\left ( x \right . ^ x", r"\left x x \right )", r"\sqrt \left [ ( \right )"]
  assert accepted(BARE, [t.split() for t in texts], LENGTH).tolist() == [True, False, True]


def test_there_is_room_to_finish():
  texts = [r"\frac { x } x", r"\frac { x } { }", r"\frac { x } { x }", r"\frac { { x } } x"]
  texts = [text.split() for text in texts]
  for most, fits in [(7, [True, True, True, True]), (5, [True, False, False, False])]:
    assert accepted(JOINED, texts, 8, most).tolist() == fits


def test_a_vocabulary_without_latex_is_refused():
  with pytest.raises(ValueError, match=r"config.decode.grammar is True, but the vocabulary lacks"):
    LatexGrammar(Vocabulary(("a", "dog")), 9)


def read(path, column):
  with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as data:
    return [line.rstrip("\n").split("\t")[column].split() for line in data]


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("crohme", ["train/captions.txt", "2014/captions.txt", "2016/captions.txt"]),
        ("hme100k", ["train_labels_subset.txt.gz"]),
    ],
)
def test_references_that_are_formulas_are_allowed(shared, folder, names):
  """A sample of them: all take a minute."""
  length = 50
  texts = [t for name in names for t in read(shared / "data" / folder / name, 1)]
  texts = [t for t in texts if len(t) <= length and is_formula(t)][::8]
  vocabulary = Vocabulary.from_words(sorted({word for t in texts for word in t} | {"{", "}"}))
  assert len(texts) > 1000
  refused = [i for i, fits in enumerate(accepted(vocabulary, texts, length)) if not fits]
  assert not refused, (len(refused), texts[refused[0]])
