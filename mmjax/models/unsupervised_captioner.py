"""A captioner that learns without pairs: a generator of sentences, and a discriminator of them.

Reference: Feng et al., "Unsupervised Image Captioning", CVPR 2019, in the arithmetic of their code:
TensorFlow's BasicLSTMCell, a picture as the first input of the generator, words predicted by the
table that they are read with, a verdict of the discriminator on every word.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Real

from mmjax.decode.sampling import policy_of
from mmjax.modules import encoders
from mmjax.modules.captioner import Captioner
from mmjax.modules.dropout import keep_mask
from mmjax.modules.initializers import partitioned
from mmjax.text.vocabulary import SOS

FORGET_BIAS = 1.0  # added to the gate when it is computed, not a parameter


class State(NamedTuple):
  """What an LSTM keeps."""

  h: Float[Array, "*B H"]
  c: Float[Array, "*B H"]


class Weights(NamedTuple):
  """Of an LSTM: rows are those of the input, then of the state; columns the gates i, j, f, o."""

  kernel: Float[Array, "I 4*H"]
  bias: Float[Array, "4*H"]


class Memory(NamedTuple):
  """What the generator begins with: a unit vector, of a picture or of a sentence."""

  start: Float[Array, "B D"]


class Written(NamedTuple):
  """Sentences of the generator, which goes on behind their ends."""

  tokens: Int[Array, "B L"]
  log_probs: Float[Array, "B L"]  # of each token


class Judged(NamedTuple):
  """What the discriminator makes of sentences."""

  logits: Float[Array, "B T"]  # that a word is that of a real sentence; behind the end a constant
  vectors: Float[Array, "B D"]  # of unit length: the picture that it would be of


def unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
  """`x` at length 1; a vector of zeros stays one."""
  return x * jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), 1e-12))


def advance(inputs: Float[Array, "*B 4*H"], weights: Weights, state: State) -> State:
  """The next state of a BasicLSTMCell: c' = c sig(f + 1) + sig(i) tanh(j), h' = tanh(c') sig(o).

  Args:
    inputs: what `read_inputs` makes of the input.
    weights: of the cell.
    state: the last state.
  """
  size = state.h.shape[-1]
  pre = inputs + state.h @ weights.kernel[-size:]
  i, j, f, o = jnp.split(pre, 4, -1)
  c = state.c * nn.sigmoid(f + FORGET_BIAS) + nn.sigmoid(i) * jnp.tanh(j)
  return State(jnp.tanh(c) * nn.sigmoid(o), c)


def read_inputs(x: Float[Array, "*B D"], weights: Weights) -> Float[Array, "*B 4*H"]:
  """The part of the gates that does not depend on the state."""
  return x @ weights.kernel[: x.shape[-1]] + weights.bias


def states_of(
    x: Float[Array, "B T D"], weights: Weights, state: State
) -> Float[Array, "B T H"]:
  """All states h of a cell that reads `x`."""

  def step(state, inputs):
    state = advance(inputs, weights, state)
    return state, state.h

  _, states = jax.lax.scan(step, state, jnp.moveaxis(read_inputs(x, weights), 1, 0))
  return jnp.moveaxis(states, 0, 1)


def nothing(rows: int, size: int) -> State:
  """The state before the first input."""
  return State(jnp.zeros((rows, size)), jnp.zeros((rows, size)))


class Lstm(nn.Module):
  """The weights of a BasicLSTMCell with as many inputs as states."""

  size: int

  @nn.compact
  def __call__(self) -> Weights:
    shape = (2 * self.size, 4 * self.size)
    init = partitioned(nn.initializers.xavier_uniform(), None, "embed")
    zeros = partitioned(nn.initializers.zeros, "embed")
    return Weights(
        self.param("kernel", init, shape), self.param("bias", zeros, (4 * self.size,))
    )


class Player(nn.Module):
  """What both have: a table of words, an LSTM, dropout before and behind it.

  Attributes:
    vocabulary_size: words, specials included.
    width: channels of words and states.
    dropout: share of inputs and of outputs of the LSTM that are set to zero; its state keeps all.
  """

  vocabulary_size: int
  width: int
  dropout: float

  def setup(self):
    uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(
        key, shape, dtype, -0.08, 0.08
    )
    self.embedding = self.param(
        "embedding", partitioned(uniform, "vocab", "embed"), (self.vocabulary_size, self.width)
    )
    self.lstm = Lstm(self.width)

  def masks(self, train: bool) -> tuple[jax.Array, jax.Array] | None:
    """Keys of dropout before and behind the LSTM; None without dropout."""
    if not (train and self.dropout):
      return None
    before, behind = jax.random.split(self.make_rng("dropout"))
    return before, behind

  def drop(self, x: Float[Array, "*B D"], key: jax.Array | None) -> Float[Array, "*B D"]:
    """Inverted dropout; none without a key."""
    if key is None:
      return x
    return jnp.where(keep_mask(key, x.shape, self.dropout), x / (1 - self.dropout), 0)


class Generator(Player):
  """A start (of a picture, of a sentence, noise) -> words."""

  def setup(self):
    super().setup()
    self.projection = nn.Dense(
        self.width,
        kernel_init=partitioned(nn.initializers.xavier_uniform(), None, "embed"),
        bias_init=partitioned(nn.initializers.zeros, "embed"),
    )
    self.bias = self.param(
        "bias", partitioned(nn.initializers.zeros, "vocab"), (self.vocabulary_size,)
    )

  def start(self, features: Float[Array, "B C"]) -> Float[Array, "B D"]:
    """l2norm(W f + b)."""
    return unit(self.projection(features))

  def first(self, start: Float[Array, "B D"], key: jax.Array | None = None) -> State:
    """The state behind the first input, whose output is not looked at."""
    weights, before = self.lstm(), None if key is None else jax.random.fold_in(key, 0)
    inputs = read_inputs(self.drop(start, before), weights)
    return advance(inputs, weights, nothing(*start.shape))

  def words(self, h: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
    """Logits: h E^T + b with E the table that words are read with."""
    return h @ self.embedding.T + self.bias

  def read(
      self, tokens: Int[Array, "B R T"], start: Float[Array, "B D"], train: bool
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`."""
    b, rows, length = tokens.shape
    before, behind = self.masks(train) or (None, None)
    state = jax.tree.map(lambda x: jnp.repeat(x, rows, 0), self.first(start, before))
    x = self.drop(self.embedding[tokens].reshape(b * rows, length, -1), before)
    states = self.drop(states_of(x, self.lstm(), state), behind)
    return self.words(states).reshape(b, rows, length, -1)

  def write(
      self, start: Float[Array, "B D"], key: jax.Array, length: int, greedy: bool, train: bool
  ) -> Written:
    """See `UnsupervisedCaptioner.write`."""
    before, behind = self.masks(train) or (None, None)
    weights, at = self.lstm(), lambda key, t: None if key is None else jax.random.fold_in(key, t)

    def step(carry, t):
      state, last = carry
      x = self.drop(self.embedding[last], at(before, t + 1))
      state = advance(read_inputs(x, weights), weights, state)
      log_probs = policy_of(self.words(self.drop(state.h, at(behind, t))))
      if greedy:
        token = log_probs.argmax(-1)
      else:
        token = jax.random.categorical(jax.random.fold_in(key, t), log_probs)
      chosen = jnp.take_along_axis(log_probs, token[:, None], -1)[:, 0]
      return (state, token), (token, chosen)

    first = (self.first(start, before), jnp.full(len(start), SOS))
    _, (tokens, log_probs) = jax.lax.scan(step, first, jnp.arange(length))
    return Written(tokens.T, log_probs.T)


class Discriminator(Player):
  """Words -> whether a person wrote them, and what picture they would be of."""

  def setup(self):
    super().setup()
    xavier, zeros = nn.initializers.xavier_uniform(), nn.initializers.zeros
    self.verdict = nn.Dense(
        1,
        kernel_init=partitioned(xavier, "embed", None),
        bias_init=partitioned(zeros, None),
    )
    self.recon = nn.Dense(
        self.width,
        kernel_init=partitioned(xavier, None, "embed"),
        bias_init=partitioned(zeros, "embed"),
    )

  def __call__(
      self, tokens: Int[Array, "B T"], lengths: Int[Array, "B"], train: bool
  ) -> Judged:
    """Verdict on every word, and the vector of the last one."""
    before, behind = self.masks(train) or (None, None)
    states = self.drop(self.states(tokens, before), behind)
    there = jnp.arange(tokens.shape[1]) < lengths[:, None]
    states = jnp.where(there[..., None], states, 0)
    return Judged(self.verdict(states)[..., 0], unit(self.recon(_last(states, lengths))))

  def summary(
      self, tokens: Int[Array, "B T"], lengths: Int[Array, "B"], train: bool
  ) -> Float[Array, "B D"]:
    """The last state at length 1; zeros of a text without words."""
    before, _ = self.masks(train) or (None, None)
    last = _last(self.states(tokens, before), lengths)
    return unit(jnp.where(lengths[:, None] > 0, last, 0))

  def states(self, tokens, key):
    x = self.drop(self.embedding[tokens], key)
    return states_of(x, self.lstm(), nothing(len(tokens), self.width))


class UnsupervisedCaptioner(Captioner):
  """Picture, or features of one -> words, and the discriminator that it learnt against.

  The mean of the cells of a picture is its feature. Parameters: `encoder`, `generator`,
  `discriminator`. Everything is float32.

  Attributes:
    vocabulary_size: words, specials included (18,669 as published).
    encoder_name: of `mmjax.modules.encoders` (Inception-v4 as published).
    width: channels of words and states (512 as published).
    dropout: before and behind the LSTMs (0.2 as published).
  """

  vocabulary_size: int
  encoder_name: str = "efficientnet_lite0"
  width: int = 512
  dropout: float = 0.2

  attends = False  # at no part of a picture: reports show no maps

  def setup(self):
    self.encoder = encoders.build(self.encoder_name)
    sizes = (self.vocabulary_size, self.width, self.dropout)
    self.generator, self.discriminator = Generator(*sizes), Discriminator(*sizes)

  def __call__(
      self,
      images: Real[Array, "B H W 3"],
      valid: Bool[Array, "B H W"],
      tokens: Int[Array, "B R T"],
      *,
      train: bool = False,
  ) -> Float[Array, "B R T V"]:
    """Logits of R rows of words for each picture, teacher forced."""
    if self.is_initializing():
      self.discriminator(tokens[:, 0], jnp.full(len(tokens), tokens.shape[-1]), train)
    return super().__call__(images, valid, tokens, train=train)

  def encode_features(
      self, features: Real[Array, "B h w C"], *, train: bool = False
  ) -> Memory:
    """The start that pictures give, from their cells."""
    del train
    return Memory(self.generator.start(features.astype(jnp.float32).mean((1, 2))))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    return self.generator.read(tokens, memory.start, train)

  def init_cache(self, memory: Memory, rows: int, length: int) -> tuple[tuple[()], State]:
    """What `step` needs: nothing that rows share, and the rows' states; of any length."""
    del length
    spread = lambda x: jnp.broadcast_to(x[:, None], (len(x), rows, self.width))
    return (), jax.tree.map(spread, self.generator.first(memory.start))

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: State,
      shared: tuple[()],
  ) -> tuple[Float[Array, "B R V"], State]:
    """Logits of the word after `tokens`."""
    del position, shared
    weights = self.generator.lstm()
    state = advance(read_inputs(self.generator.embedding[tokens], weights), weights, cache)
    return self.generator.words(state.h), state

  def write(
      self,
      memory: Memory,
      key: jax.Array,
      *,
      length: int,
      greedy: bool = False,
      train: bool = False,
  ) -> Written:
    """A sentence of `length` words for each picture, from the policy that has the gradient.

    With dropout the words are drawn, and their log-probabilities taken, in the same pass.

    Args:
      memory: of pictures, or made of other unit vectors.
      key: of the draws.
      length: L. Nothing stops at the end of a sentence: what follows counts where the caller says.
      greedy: take the likeliest words instead.
      train: with dropout.
    """
    return self.generator.write(memory.start, key, length, greedy, train)

  def judge(
      self, tokens: Int[Array, "B T"], lengths: Int[Array, "B"], *, train: bool = False
  ) -> Judged:
    """What the discriminator makes of sentences whose ends count among their words."""
    return self.discriminator(tokens, lengths, train)

  def summarise(
      self, tokens: Int[Array, "B T"], lengths: Int[Array, "B"], *, train: bool = False
  ) -> Float[Array, "B D"]:
    """Unit vectors of texts by the LSTM of the discriminator, which begins as an encoder."""
    return self.discriminator.summary(tokens, lengths, train)


def _last(states: Float[Array, "B T D"], lengths: Int[Array, "B"]) -> Float[Array, "B D"]:
  return jnp.take_along_axis(states, jnp.maximum(lengths - 1, 0)[:, None, None], 1)[:, 0]


Model = UnsupervisedCaptioner
