"""Activations under the names that published configurations give them."""

import functools
from collections.abc import Callable

from flax import linen as nn
from jaxtyping import Array, Float

from mmjax.modules.clip import quick_gelu

_NAMED: dict[str, Callable] = {
    "gelu": functools.partial(nn.gelu, approximate=False),
    "gelu_new": functools.partial(nn.gelu, approximate=True),
    "quick_gelu": quick_gelu,
    "relu": nn.relu,
}


def activation(name: str) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
  """The function called `name`: "gelu" is the exact one, "gelu_new" the one by tanh.

  Raises:
    ValueError: no such activation.
  """
  if name not in _NAMED:
    raise ValueError(f"no activation {name!r}; there are: {', '.join(_NAMED)}")
  return _NAMED[name]
