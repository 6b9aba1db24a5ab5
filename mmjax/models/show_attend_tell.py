"""Show, Attend and Tell: an LSTM that looks at the cells of a picture before every word.

References: Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual
Attention", ICML 2015 (soft attention), in the form of sgrvinod's PyTorch tutorial, whose arithmetic
this is: ReLU in the attention, a gate of every channel, a first state without tanh, words predicted
from the state alone. The bias of the attention's scores, which changes none of them, is left out.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mmjax.modules import encoders
from mmjax.modules.attentive_lstm import Picture, State, Weights, advance, read_text
from mmjax.modules.captioner import Captioner
from mmjax.modules.coverage import linear
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import bias_uniform, partitioned


class Memory(NamedTuple):
  """An encoded picture."""

  features: Float[Array, "B S D"]


class Affine(nn.Module):
  """Weights of a dense layer that is computed elsewhere.

  Attributes:
    fan_in: what PyTorch draws the first weights by, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    bias: whether there is one.
  """

  fan_in: int
  bias: bool = True

  @nn.compact
  def __call__(
      self, inputs: int, outputs: int
  ) -> tuple[Float[Array, "I O"], Float[Array, "O"] | None]:
    """Kernel and bias."""
    init = bias_uniform(self.fan_in)
    kernel = self.param("kernel", partitioned(init, None, "embed"), (inputs, outputs))
    if not self.bias:
      return kernel, None
    return kernel, self.param("bias", partitioned(init, "embed"), (outputs,))


class ShowAttendTell(Captioner):
  """Picture, or features of one -> words, left to right.

  Attributes:
    vocabulary_size: words, specials included (9490 for COCO as published).
    encoder_name: of `mmjax.modules.encoders` (resnet101 as published).
    encoder_grid: rows and columns to which it pools its features (14 as published), where it can; 0
      leaves them as they are.
    encoder_drift: in training its batch norms use the statistics of the batch, and their running
      ones move, as published code lets them even where the encoder is frozen.
    hidden, embedding, attention: channels of the states, of the words, and of what cells and states
      are compared in.
    dropout: before the last layer.
    attention_penalty: weight of the penalty of `decode_with_penalty`.
    dtype: of the computation; parameters, softmax, cells of the LSTM and logits are float32.
  """

  vocabulary_size: int
  encoder_name: str = "efficientnet_lite0"
  encoder_grid: int = 0
  encoder_drift: bool = False
  hidden: int = 512
  embedding: int = 512
  attention: int = 512
  dropout: float = 0.5
  attention_penalty: float = 1.0
  dtype: DTypeLike = jnp.float32

  def setup(self):
    grid = {"grid": self.encoder_grid} if self.encoder_grid else {}
    drift = {"batch_statistics": True} if self.encoder_drift else {}
    self.encoder = encoders.build(self.encoder_name, dtype=self.dtype, **grid, **drift)
    channels, size = self.encoder.features, self.hidden
    tenth, like_state = bias_uniform(100), bias_uniform(size)  # U(-0.1, 0.1); that of LSTMs
    self.word_embed = nn.Embed(
        self.vocabulary_size,
        self.embedding,
        dtype=self.dtype,
        embedding_init=partitioned(tenth, "vocab", "embed"),
    )
    self.from_word = nn.Dense(
        4 * size,
        dtype=self.dtype,
        kernel_init=partitioned(like_state, None, "embed"),
        bias_init=partitioned(like_state, "embed"),
    )
    self.start_h = linear(size, channels, self.dtype)
    self.start_c = linear(size, channels, jnp.float32)
    self.cells = linear(self.attention, channels, self.dtype)
    self.query, self.gate, self.from_state = Affine(size), Affine(size), Affine(size)
    self.from_picture = Affine(size, bias=False)
    near = partitioned(bias_uniform(self.attention), "embed")
    self.score = self.param("score", near, (self.attention,))
    self.word_proj = nn.Dense(
        self.vocabulary_size,
        kernel_init=partitioned(tenth, "embed", "vocab"),
        bias_init=partitioned(nn.initializers.zeros, "vocab"),
    )
    self.drop = Dropout(self.dropout)

  def encode_features(
      self, features: Float[Array, "B h w D"], *, train: bool = False
  ) -> Memory:
    """Takes what the encoder once made of pictures."""
    b, h, w, d = features.shape
    return Memory(features.reshape(b, h * w, d).astype(self.dtype))

  def decode(
      self, tokens: Int[Array, "B R T"], memory: Memory, *, train: bool = False
  ) -> Float[Array, "B R T V"]:
    """Logits of the word after each of `tokens`; the rows are independent of one another."""
    return self._read(tokens, memory, train)[0]

  def decode_with_penalty(
      self,
      tokens: Int[Array, "B R T"],
      written: Bool[Array, "B R T"],
      memory: Memory,
      *,
      train: bool = False,
  ) -> tuple[Float[Array, "B R T V"], Float[Array, "B"]]:
    """Logits, and how far the looks at each cell are from one in all (Xu et al., section 4.2.1).

    Args:
      tokens, memory, train: as for `decode`.
      written: True where a word is written after the token, the stop word too.

    Returns:
      Logits, and attention_penalty * mean over rows and cells of (1 - sum_t alpha_t)**2.
    """
    logits, alphas = self._read(tokens, memory, train)
    looks = jnp.where(written[..., None], alphas, 0).sum(2)  # [B, R, S]
    return logits, self.attention_penalty * ((1 - looks) ** 2).mean((1, 2))

  def init_cache(
      self, memory: Memory, rows: int, length: int
  ) -> tuple[tuple[Weights, Picture], State]:
    """What `step` needs: the part that rows share, and the rows' states; of any length."""
    narrow = Weights(*(x.astype(self.dtype) for x in self._weights(memory)))
    return (narrow, self._picture(memory)), self._start(memory, rows)

  def step(
      self,
      tokens: Int[Array, "B R"],
      position: Int[Array, ""],
      cache: State,
      shared: tuple[Weights, Picture],
  ) -> tuple[Float[Array, "B R V"], State]:
    """Logits of the word after `tokens`."""
    weights, picture = shared
    words = self.from_word(self.word_embed(tokens))
    cache, _ = advance(weights, words, cache, picture)
    return self.word_proj(cache.h.astype(jnp.float32)), cache

  def _read(self, tokens, memory, train):
    words = jnp.moveaxis(self.from_word(self.word_embed(tokens)), 2, 0)
    start = self._start(memory, tokens.shape[1])
    states, alphas = read_text(self._weights(memory), words, start, self._picture(memory))
    states, alphas = jnp.moveaxis(states, 0, 2), jnp.moveaxis(alphas, 0, 2)
    self.sow("intermediates", "picture", alphas)
    return self.word_proj(self.drop(states, train=train).astype(jnp.float32)), alphas

  def _weights(self, memory):
    size, channels = self.hidden, memory.features.shape[-1]
    kernels, biases = zip(
        self.query(size, self.attention), self.gate(size, channels), self.from_state(size, 4 * size)
    )
    from_picture, _ = self.from_picture(channels, 4 * size)
    return Weights(
        jnp.concatenate(kernels, 1), jnp.concatenate(biases), from_picture, self.score
    )

  def _picture(self, memory):
    return Picture(memory.features, self.cells(memory.features))

  def _start(self, memory, rows):
    mean = memory.features.mean(1, keepdims=True, dtype=jnp.float32)
    spread = lambda x: jnp.broadcast_to(x, (x.shape[0], rows, self.hidden))
    return State(spread(self.start_h(mean)), spread(self.start_c(mean)))


Model = ShowAttendTell
