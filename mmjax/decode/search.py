"""Texts of one reading direction, as `config.decode` asks for them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mmjax.decode import constraints
from mmjax.decode.beam_search import NEGATIVE, Cache, Step, beam_search, normalised_beam_search
from mmjax.decode.bidirectional import Decoded
from mmjax.decode.constraints import Constraint
from mmjax.decode.options import DecodeOptions
from mmjax.decode.sampling import sample
from mmjax.text.vocabulary import EOS, SOS, UNKNOWN, Vocabulary


def search(
    step: Step,
    cache_of: Callable[[int], Cache],
    real: Bool[Array, "B"],
    options: DecodeOptions,
    vocabulary: Vocabulary,
    key: jax.Array | None = None,
) -> Decoded:
  """All hypotheses of each picture, best first.

  "beam": with `normalise` "sum" `beam_search`, whose score is log p / max(tokens, 1) **
  length_penalty (Zhang et al., 2017: WAP), greedy with a beam of one; with "each"
  `normalised_beam_search` and its score.
  "diverse": `groups` such searches of beam / groups hypotheses that avoid one another's words.
  "sample": `samples` texts at random, ranked by that score.

  Args:
    step, cache_of, real: as for `beam_search`, with `options.rows` rows.
    options: of the decoding.
    vocabulary: its words, for rules that know them.
    key: of the draws of "sample"; without one they are the same in every call.
  """
  rules = rules_of(options, vocabulary, EOS)
  if options.strategy == "sample":
    drawn = sample(
        step, cache_of, jax.random.key(0) if key is None else key, real,
        start=SOS, stop=EOS, samples=options.samples, max_length=options.max_length,
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p,
        constraint=rules[0] if rules else None,
    )  # fmt: skip
    scores = _by_length(drawn.log_probs.sum(-1), drawn.lengths, options)
    return _ranked(drawn.tokens, jnp.where(real[:, None], scores, NEGATIVE), drawn.lengths)
  groups = options.groups
  if options.normalise == "each":
    found = normalised_beam_search(
        step, cache_of, real, starts=(SOS,), stops=(EOS,), beam=options.beam,
        max_length=options.max_length, length_penalty=options.length_penalty, constraints=rules,
    )  # fmt: skip
    scores = found.scores
  else:
    found = beam_search(
        step, cache_of, real, starts=(SOS,) * groups, stops=(EOS,) * groups,
        beam=options.beam // groups, max_length=options.max_length, constraints=rules * groups,
        diversity=options.diversity if groups > 1 else 0.0,
    )  # fmt: skip
    scores = _by_length(found.scores, found.lengths, options)
  flat = lambda x: x.reshape(len(real), options.beam, *x.shape[3:])
  return _ranked(flat(found.tokens), flat(scores), flat(found.lengths))


def rules_of(
    options: DecodeOptions, vocabulary: Vocabulary, stop: int, *, backward: bool = False
) -> tuple[Constraint, ...]:
  """The constraint of a search that ends with `stop`, as a tuple of one, or of none.

  Args:
    options: with the rules that are wanted.
    vocabulary: its words.
    stop: of the search.
    backward: words are written from the last to the first.

  Raises:
    ValueError: the vocabulary has too few words of LaTeX for `grammar`.
  """
  size, rules = len(vocabulary), list[Constraint]()
  if options.min_length:
    rules.append(constraints.MinimumLength(options.min_length, (stop,), size))
  if options.no_repeat:
    rules.append(constraints.NoRepeatedNgram(options.no_repeat, options.max_length, size))
  if options.no_double:
    rules.append(constraints.NoWordTwice(size))
  if options.ban_unknown and UNKNOWN in vocabulary.words:
    rules.append(constraints.Banned((*vocabulary.encode([UNKNOWN]),), size))
  return constraints.combine(rules)


def _by_length(
    scores: Float[Array, "*B"], lengths: Int[Array, "*B"], options: DecodeOptions
) -> Float[Array, "*B"]:
  scores_by_length = scores / jnp.maximum(lengths, 1) ** options.length_penalty
  return jnp.where(scores > NEGATIVE / 2, scores_by_length, NEGATIVE)


def _ranked(
    tokens: Int[Array, "B N L"], scores: Float[Array, "B N"], lengths: Int[Array, "B N"]
) -> Decoded:
  scores, order = jax.lax.top_k(scores, scores.shape[1])
  return Decoded(
      jnp.take_along_axis(tokens, order[..., None], 1),
      scores,
      jnp.take_along_axis(lengths, order, 1),
  )
