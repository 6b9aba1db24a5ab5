"""Gated recurrent units, the part that reads the input apart from the part that is recurrent."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mmjax.modules.initializers import bias_uniform, partitioned


class GRU(nn.Module):
  """h' = (1 - z) n + z h with n = tanh(W x + b + r (U h + c)), as in PyTorch.

  r and z are sigmoids of W x + b + U h + c with their own rows of W, b, U and c.

  Attributes:
    hidden: channels of the state.
    input_bias, hidden_bias: whether there are b and c.
    dtype: of the computation.
  """

  hidden: int
  input_bias: bool = True
  hidden_bias: bool = True
  dtype: DTypeLike = jnp.float32

  def setup(self):
    init = bias_uniform(self.hidden)  # PyTorch draws all four from it

    def dense(bias):
      return nn.Dense(
          3 * self.hidden,
          use_bias=bias,
          dtype=self.dtype,
          kernel_init=partitioned(init, None, "embed"),
          bias_init=partitioned(init, "embed"),
      )

    self.input, self.state = dense(self.input_bias), dense(self.hidden_bias)

  def read(self, x: Float[Array, "*B D"]) -> Float[Array, "*B G"]:
    """W x + b: of all words at once where they are known."""
    return self.input(x)

  def __call__(
      self, inputs: Float[Array, "*B G"], h: Float[Array, "*B H"]
  ) -> Float[Array, "*B H"]:
    """The next state from what `read` made of the input, and the last state."""
    r, z, n = jnp.split(inputs, 3, -1)
    r_h, z_h, n_h = jnp.split(self.state(h), 3, -1)
    r, z = nn.sigmoid(r + r_h), nn.sigmoid(z + z_h)
    return (1 - z) * nn.tanh(n + r * n_h) + z * h
