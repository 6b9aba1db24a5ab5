"""An LSTM that looks at a picture before every word: one step, and all steps of a known text.

The backward pass of a text is written out here: weights get their gradients from one product over
all words instead of one for each, and nothing as large as a picture is kept for a word. In training
on a CPU this is what most of the time would be spent on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Weights(NamedTuple):
  """What every step reads; K = A + D + 4 H: query, gate of the picture, gates of the state."""

  state: Float[Array, "H K"]
  state_bias: Float[Array, "K"]
  picture: Float[Array, "D 4*H"]
  score: Float[Array, "A"]


class Picture(NamedTuple):
  """Cells of a picture, and what of them is compared with a query; their type is that of all."""

  features: Float[Array, "B S D"]
  projected: Float[Array, "B S A"]


class State(NamedTuple):
  """Of R rows of words; the cell is float32."""

  h: Float[Array, "B R H"]
  c: Float[Array, "B R H"]


class _Kept(NamedTuple):
  """Of a step, for the way back."""

  before: State
  query: Float[Array, "B R A"]
  alpha: Float[Array, "B R S"]
  found: Float[Array, "B R D"]
  gate: Float[Array, "B R D"]
  gates: tuple[Float[Array, "B R H"], ...]
  c: Float[Array, "B R H"]


def advance(
    weights: Weights, words: Float[Array, "B R 4*H"], state: State, picture: Picture
) -> tuple[State, Float[Array, "B R S"]]:
  """The next state, and where the model looked before it.

  With h, c the state, a_p the cells, x the word and W the parts of `weights`:

    alpha = softmax_p(w . relu(U a_p + W_q h)); z = sigmoid(W_g h) * sum_p alpha_p a_p
    i, f, g, o = W_x x + W_z z + W_h h; c' = f c + i g; h' = o tanh(c'), g through tanh, the others
    through a sigmoid.

  Reference: Xu et al., "Show, Attend and Tell", ICML 2015, in the form of sgrvinod's tutorial:
  ReLU for tanh in the attention, one gate for every channel.

  Args:
    weights: of the step.
    words: W_x x + b.
    state: the last state.
    picture: a_p and U a_p + b.
  """
  state, kept = _advance(weights, words, state, picture)
  return state, kept.alpha


def _advance(weights, words, state, picture):
  dtype = picture.features.dtype
  size, width = weights.score.shape[0], picture.features.shape[-1]
  read = state.h @ weights.state.astype(dtype) + weights.state_bias.astype(dtype)
  query, gate, pre = jnp.split(read, (size, size + width), -1)
  total = picture.projected[:, None] + query[:, :, None]
  scores = jnp.einsum("brsa,a->brs", jax.nn.relu(total), weights.score.astype(dtype))
  alpha = jax.nn.softmax(scores.astype(jnp.float32))
  found = jnp.einsum("brs,bsd->brd", alpha.astype(dtype), picture.features)
  gate = jax.nn.sigmoid(gate)
  pre = pre + words + (gate * found) @ weights.picture.astype(dtype)
  i, f, g, o = jnp.split(pre, 4, -1)
  i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
  c = f * state.c + i * g
  new = State((o * jnp.tanh(c)).astype(dtype), c)
  return new, _Kept(state, query, alpha, found, gate, (i, f, g, o), c)


@jax.custom_vjp
def read_text(
    weights: Weights, words: Float[Array, "T B R 4*H"], start: State, picture: Picture
) -> tuple[Float[Array, "T B R H"], Float[Array, "T B R S"]]:
  """States h and attention of all steps of `advance`, T of them."""
  return _forward(weights, words, start, picture)[0]


def _forward(weights, words, start, picture):
  def step(state, x):
    state, kept = _advance(weights, x, state, picture)
    return state, (state.h, kept)

  _, (states, kept) = jax.lax.scan(step, start, words)
  return (states, kept.alpha), (weights, picture, kept)


def _backward(residuals, cotangents):
  weights, picture, kept = residuals
  dtype = picture.features.dtype
  narrow = lambda x: x.astype(dtype)
  from_state, from_picture = narrow(weights.state).T, narrow(weights.picture).T

  def step(carry, now):
    later, cells = carry
    k, d_h, d_alpha = now
    i, f, g, o = k.gates
    d_h = later.h + d_h
    seen = jnp.tanh(k.c)
    d_c = later.c + d_h * o * (1 - seen**2)
    d_i, d_f = d_c * g * i * (1 - i), d_c * k.before.c * f * (1 - f)
    d_g, d_o = d_c * i * (1 - g**2), d_h * seen * o * (1 - o)
    d_pre = narrow(jnp.concatenate([d_i, d_f, d_g, d_o], -1))
    d_read = d_pre @ from_picture
    d_found = d_read * k.gate
    d_gate = d_read * k.found * k.gate * (1 - k.gate)
    d_alpha = d_alpha + jnp.einsum("brd,bsd->brs", d_found, picture.features)
    d_score = narrow(k.alpha * (d_alpha - (k.alpha * d_alpha).sum(-1, keepdims=True)))
    positive = narrow(picture.projected[:, None] + k.query[:, :, None] > 0)
    query = jnp.einsum("brs,brsa->bra", d_score, positive)
    cells = cells + (d_score[..., None] * positive).sum(1)
    d_all = jnp.concatenate([query * narrow(weights.score), d_gate, d_pre], -1)
    return (State(d_all @ from_state, d_c * f), cells), (d_all, d_found, query)

  d_states, d_alphas = cotangents
  nothing = jax.tree.map(lambda x: jnp.zeros_like(x[0]), kept.before)
  (d_start, cells), (d_all, d_found, queries) = jax.lax.scan(
      step, (nothing, jnp.zeros_like(picture.projected)), (kept, d_states, d_alphas), reverse=True
  )
  d_pre = d_all[..., -weights.picture.shape[1] :]
  wide = dict(preferred_element_type=jnp.float32)
  d_weights = Weights(
      jnp.einsum("tbrh,tbrk->hk", kept.before.h, d_all, **wide),
      d_all.sum((0, 1, 2), dtype=jnp.float32),
      jnp.einsum("tbrd,tbrk->dk", kept.gate * kept.found, d_pre, **wide),
      # relu(x) = x [x > 0], and x is a cell's part and a query's.
      jnp.einsum("bsa,bsa->a", picture.projected, cells, **wide)
      + jnp.einsum("tbra,tbra->a", kept.query, queries, **wide),
  )
  d_features = jnp.einsum("tbrs,tbrd->bsd", narrow(kept.alpha), d_found)
  d_picture = Picture(d_features, cells * narrow(weights.score))
  return d_weights, d_pre, d_start, d_picture


read_text.defvjp(_forward, _backward)
