"""CIDEr-D, BLEU and CLIPScore on the device, as rewards of sampled captions inside a jitted step.

N-grams are compared word by word and looked up in a tree of sorted words, so that no two n-grams
are ever taken for one, however large the vocabulary. Legend: B pictures, R sampled captions and M
references of each, T and U their places.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from mmjax.metrics import cider, clipscore, ngrams


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["starts", "words", "weights", "unseen"], meta_fields=["steps"])
@dataclasses.dataclass(frozen=True)
class Table:
  """Weights of n-grams as a tree: a node for each n-gram, its children an n-gram one word longer.

  Attributes:
    starts: for n = 1..4, [G_(n-1) + 2] where the children of each node begin in `words[n - 1]`;
      the last but one node has none, for n-grams that are not in the table. G_0 is 1, the root.
    words: for n = 1..4, [G_n + 1] last words of the n-grams, in order among the children of a node.
    weights: for n = 1..4, [G_n + 1] ln N - ln df of the n-grams.
    unseen: [] the weight of an n-gram that is not in the table, ln N.
    steps: for n = 1..4, how often the most children of a node can be halved.
  """

  starts: tuple[Int[Array, "_"], ...]
  words: tuple[Int[Array, "_"], ...]
  weights: tuple[Float[Array, "_"], ...]
  unseen: Float[Array, ""]
  steps: tuple[int, ...]


def make_table(references: Sequence[Sequence[Sequence[int]]]) -> Table:
  """The table of the references of N pictures, as those of the training set.

  Args:
    references: for each picture its captions, as numbers of words, from 0.

  Raises:
    ValueError: no pictures, or none of them has a word.
  """
  rows = [row for captions in references for row in captions]
  lengths = np.array([len(row) for row in rows], np.int64)
  if not lengths.sum():
    raise ValueError(
      f"the references of {len(references)} pictures have no words; give those of the training set")
  picture = np.repeat(np.arange(len(references)), [len(captions) for captions in references])
  starts, words, weights, steps = [], [], [], []
  nodes = 1
  for counts in ngrams.count(np.concatenate([np.asarray(r, np.int64) for r in rows]), lengths):
    frequency = cider.pictures_with(counts, picture)
    begin = np.searchsorted(counts.prefix, np.arange(nodes + 1))
    starts.append(np.append(begin, counts.grams).astype(np.int32))
    words.append(np.append(counts.last, 0).astype(np.int32))  # never empty, to be read anywhere
    weights.append(
      np.append(np.log(len(references)) - np.log(frequency), 0).astype(np.float32))
    steps.append(int(np.diff(begin).max()).bit_length())
    nodes = counts.grams
  return Table(
    tuple(map(jnp.asarray, starts)), tuple(map(jnp.asarray, words)),
    tuple(map(jnp.asarray, weights)), jnp.float32(np.log(len(references))), tuple(steps))


def cider_d(
    table: Table,
    sampled: Int[Array, "B R T"],
    lengths: Int[Array, "B R"],
    references: Int[Array, "B M U"],
    reference_lengths: Int[Array, "B M"],
    real: Bool[Array, "B M"],
) -> Float[Array, "B R"]:
  """CIDEr-D of sampled captions, 0 to 10; see `cider.measure` for the formula.

  Args:
    table: weights of n-grams.
    sampled: numbers of words, as in the table.
    lengths: how many of them count, from the first on. Rewards usually count the end token, lest
      captions end anywhere; then it must count in the references and in the table too.
    references, reference_lengths: the same of the references.
    real: False where a picture has fewer than M references; each must have one.

  Returns:
    Scores, float32, equal to those of `cider.measure` with the frequencies of the table.
  """
  own = _matches(sampled, lengths, sampled, lengths)
  theirs = _matches(references, reference_lengths, references, reference_lengths)
  both = _matches(
    sampled[:, :, None], lengths[:, :, None], references[:, None], reference_lengths[:, None])
  total = jnp.zeros(both[0].shape[:3], jnp.float32)
  weights, reference_weights = _weights(table, sampled), _weights(table, references)
  for n in range(ngrams.LONGEST):
    times, there = own[n].sum(-1), both[n].sum(-1)  # [B, R, T], [B, R, M, T]
    # Sums over places count an n-gram as often as it is there, so each place has its share.
    square = weights[n] ** 2
    shared = (jnp.minimum(times[:, :, None], there) * there) * (square * _share(times))[:, :, None]
    norm = jnp.sqrt((times * square).sum(-1))
    reference_norm = jnp.sqrt((theirs[n].sum(-1) * reference_weights[n] ** 2).sum(-1))
    scale = norm[:, :, None] * reference_norm[:, None]
    total += shared.sum(-1) / jnp.where(scale > 0, scale, 1)
  bigrams, reference_bigrams = jnp.maximum(lengths - 1, 0), jnp.maximum(reference_lengths - 1, 0)
  apart = (bigrams[:, :, None] - reference_bigrams[:, None]).astype(jnp.float32)
  total *= jnp.exp(-(apart**2) / (2 * cider.SIGMA**2))
  mean = jnp.where(real[:, None], total, 0).sum(-1) / real.sum(-1)[:, None]
  return 10 / ngrams.LONGEST * mean


def bleu_statistics(
    sampled: Int[Array, "B R T"],
    lengths: Int[Array, "B R"],
    references: Int[Array, "B M U"],
    reference_lengths: Int[Array, "B M"],
    real: Bool[Array, "B M"],
) -> Float[Array, "B R 10"]:
  """The statistics of `bleu.measure`, which add up over captions; arguments as in `cider_d`."""
  own = _matches(sampled, lengths, sampled, lengths)
  both = _matches(
    sampled[:, :, None], lengths[:, :, None], references[:, None], reference_lengths[:, None])
  matched = []
  for n in range(ngrams.LONGEST):
    times = own[n].sum(-1)
    most = jnp.where(real[:, None, :, None], both[n].sum(-1), 0).max(2)
    matched.append((jnp.minimum(times, most) * _share(times)).sum(-1))
  written = [jnp.maximum(lengths - n, 0) for n in range(ngrams.LONGEST)]
  # Closest, of two the shorter: the distance counts double, and one more for the longer.
  apart = reference_lengths[:, None] - lengths[:, :, None]
  rank = jnp.where(real[:, None], 2 * abs(apart) + (apart > 0), jnp.iinfo(jnp.int32).max)
  closest = lengths + jnp.take_along_axis(apart, rank.argmin(-1)[..., None], -1)[..., 0]
  return jnp.stack([*matched, *written, lengths, closest], -1).astype(jnp.float32)


def bleu(statistics: Float[Array, "*R 10"]) -> Float[Array, "*R 4"]:
  """BLEU-1 to BLEU-4 of `bleu_statistics`, of single captions or of sums; see `bleu.measure`."""
  # In logarithms: the product of four small constants is no float32.
  precision = jnp.log(statistics[..., :4] + 1e-15) - jnp.log(statistics[..., 4:8] + 1e-9)
  ratio = (statistics[..., 8:9] + 1e-15) / (statistics[..., 9:10] + 1e-9)
  brevity = jnp.minimum(1 - 1 / ratio, 0)
  return jnp.exp(jnp.cumsum(precision, -1) / jnp.arange(1, 5) + brevity)


def clip_s(
    pictures: Float[Array, "B E"], captions: Float[Array, "B R E"]
) -> Float[Array, "B R"]:
  """2.5 max(cos, 0) of pictures and captions, from unit vectors; see `clipscore.scores`."""
  return clipscore.WEIGHT * jnp.maximum(jnp.einsum("be,bre->br", pictures, captions), 0)


def ref_clip_s(
    fit: Float[Array, "B R"],
    captions: Float[Array, "B R E"],
    references: Float[Array, "B M E"],
    real: Bool[Array, "B M"],
) -> Float[Array, "B R"]:
  """`refclipscore_reward` of `clipscore.scores`: both of its parts are scaled by 2.5.

  Args:
    fit: of `clip_s`.
    captions, references: unit vectors.
    real: False where a picture has fewer than M references; each must have one.
  """
  near = jnp.einsum("bre,bme->brm", captions, references)
  near = clipscore.WEIGHT * jnp.maximum(jnp.where(real[:, None], near, 0).max(-1), 0)
  total = fit + near
  return 2 * fit * near / jnp.where(total > 0, total, 1)


def _matches(
    a: Int[Array, "*B T"],
    a_lengths: Int[Array, "*B"],
    b: Int[Array, "*B U"],
    b_lengths: Int[Array, "*B"],
) -> list[Bool[Array, "*B T U"]]:
  """For n = 1..4, where the n-gram at a place of `a` is the one at a place of `b`."""
  inside = [jnp.arange(x.shape[-1]) < m[..., None] for x, m in ((a, a_lengths), (b, b_lengths))]
  word = (a[..., :, None] == b[..., None, :]) & inside[0][..., :, None] & inside[1][..., None, :]
  out = [word]
  for n in range(1, ngrams.LONGEST):
    later = [(0, 0)] * (word.ndim - 2) + [(0, n), (0, n)]
    out.append(out[-1] & jnp.pad(word, later)[..., n:, n:])
  return out


def _share(times: Int[Array, "*B T"]) -> Float[Array, "*B T"]:
  """One over how often the n-gram at a place occurs; 0 where no n-gram begins."""
  return jnp.where(times > 0, 1 / jnp.maximum(times, 1), 0)


def _weights(table: Table, tokens: Int[Array, "*B T"]) -> list[Float[Array, "*B T"]]:
  """For n = 1..4, the weight of the n-gram at each place; past a caption's end anything."""
  node = jnp.zeros_like(tokens)
  out = []
  for n in range(ngrams.LONGEST):
    last = jnp.pad(tokens, [(0, 0)] * (tokens.ndim - 1) + [(0, n)])[..., n:]
    low, end = table.starts[n][node], table.starts[n][node + 1]
    high = end
    for _ in range(table.steps[n]):
      middle = (low + high) // 2
      right = (low < high) & (table.words[n][middle] < last)
      low, high = jnp.where(right, middle + 1, low), jnp.where(right, high, middle)
    found = (low < end) & (table.words[n][low] == last)
    out.append(jnp.where(found, table.weights[n][low], table.unseen))
    node = jnp.where(found, low, len(table.words[n]) - 1)
  return out
