"""CLIP: pictures and sentences as vectors that are near each other where they fit.

Reference: Radford et al., 2021, Learning transferable visual models from natural language
supervision.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from mmjax.modules.initializers import fan_in_uniform, partitioned
from mmjax.modules.norm import BatchNorm
from mmjax.modules.transformer import Attention

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
HEAD = 64  # channels of an attention head, in every published size
EXPANSION = 4  # of a bottleneck's and of an MLP's channels


class Seen(NamedTuple):
  """A picture's features.

  Attributes:
    grid: [B, S, D] of the cells row by row; of the vision transformer, after the last norm and with
      the class token first.
    pooled: [B, E] in the space that pictures share with sentences; E is 0 where it is left out.
  """

  grid: Float[Array, "B S D"]
  pooled: Float[Array, "B E"]


def standardise(images: UInt8[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
  """Red, green, blue pixels as CLIP was trained on them."""
  return (images / 255.0 - jnp.array(MEAN)) / jnp.array(DEVIATION)


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
  """x sigmoid(1.702 x), near to the GELU."""
  return x * jax.nn.sigmoid(1.702 * x)


def layer_norm(dtype: DTypeLike, name: str, epsilon: float = 1e-5) -> nn.LayerNorm:
  """A layer norm whose parameters carry their axes."""
  return nn.LayerNorm(
      epsilon=epsilon,
      dtype=dtype,
      scale_init=partitioned(nn.initializers.ones, "norm"),
      bias_init=partitioned(nn.initializers.zeros, "norm"),
      name=name,
  )


def _dense(features: int, dtype: DTypeLike, name: str, *axes: str, bias: bool = True) -> nn.Dense:
  return nn.Dense(
      features,
      use_bias=bias,
      dtype=dtype,
      kernel_init=partitioned(fan_in_uniform, *axes),
      bias_init=partitioned(nn.initializers.zeros, axes[-1]),
      name=name,
  )


class Block(nn.Module):
  """Pre-norm Transformer layer."""

  width: int
  dtype: DTypeLike
  activation: Callable = quick_gelu
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Float[Array, "B T D"], seen: Bool[Array, "T T"]) -> Float[Array, "B T D"]:
    """`seen` is True where a position may look at another."""
    attention = Attention(self.width, self.width // HEAD, 0.0, self.dtype, name="attention")
    y = layer_norm(self.dtype, "norm1", self.epsilon)(x)[:, None]  # one row a sample
    x = x + attention.over_words(y, attention.project(y), seen, train=False)[:, 0]
    y = _dense(EXPANSION * self.width, self.dtype, "linear1", "embed", "mlp")(
        layer_norm(self.dtype, "norm2", self.epsilon)(x))  # fmt: skip
    return x + _dense(self.width, self.dtype, "linear2", "mlp", "embed")(self.activation(y))


class VisionTransformer(nn.Module):
  """Patches and a class token through a Transformer; the token is what is pooled.

  Attributes:
    width: channels; a multiple of 64.
    layers: of the Transformer.
    patch: side of a patch in pixels.
    features: of the pooled vector; 0 leaves it out.
    dtype: of the computation.
  """

  width: int
  layers: int
  patch: int
  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, images: Float[Array, "B H W 3"]) -> Seen:
    """Encodes standardised pictures, all of the size that the weights were made for."""
    x = nn.Conv(
        self.width,
        (self.patch, self.patch),
        strides=self.patch,
        padding="VALID",
        use_bias=False,
        dtype=self.dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name="patches",
    )(images)
    x = x.reshape(len(x), -1, self.width)  # [B, S, D]
    spread = nn.initializers.normal(self.width**-0.5)
    token = self.param("token", partitioned(spread, "embed"), (self.width,))
    x = jnp.concatenate([jnp.broadcast_to(token.astype(x.dtype), (len(x), 1, self.width)), x], 1)
    positions = self.param("positions", partitioned(spread, None, "embed"), x.shape[1:])
    x = layer_norm(self.dtype, "norm_in")(x + positions.astype(x.dtype))
    everything = jnp.ones((x.shape[1],) * 2, bool)
    for i in range(self.layers):
      x = Block(self.width, self.dtype, name=f"block_{i}")(x, everything)
    x = layer_norm(self.dtype, "norm_out")(x)
    if not self.features:
      return Seen(x, x[:, 0, :0])
    project = _dense(self.features, self.dtype, "project", "embed", "mlp", bias=False)
    return Seen(x, project(x[:, 0]))


class Bottleneck(nn.Module):
  """1x1, 3x3 and 1x1 convolutions and a shortcut; strides are taken by average pooling."""

  channels: int
  stride: int
  dtype: DTypeLike

  @nn.compact
  def __call__(
      self, x: Float[Array, "B H W C"], *, train: bool = False
  ) -> Float[Array, "B h w D"]:
    width = EXPANSION * self.channels
    y = nn.relu(_normed_conv(self.channels, 1, self.dtype, "conv1", "bn1")(x, train))
    y = nn.relu(_normed_conv(self.channels, 3, self.dtype, "conv2", "bn2")(y, train))
    y = _normed_conv(width, 1, self.dtype, "conv3", "bn3")(_pool(y, self.stride), train)
    if self.stride > 1 or x.shape[-1] != width:
      shortcut = _normed_conv(width, 1, self.dtype, "shortcut", "bn_shortcut")
      x = shortcut(_pool(x, self.stride), train)
    return nn.relu(x + y)


def _pool(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B h w C"]:
  return nn.avg_pool(x, (side, side), (side, side)) if side > 1 else x


def _normed_conv(channels: int, side: int, dtype: DTypeLike, conv: str, norm: str, stride: int = 1):
  """A convolution without bias and its batch norm."""

  def apply(x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w D"]:
    x = nn.Conv(
        channels,
        (side, side),
        strides=stride,
        padding=side // 2,
        use_bias=False,
        dtype=dtype,
        kernel_init=partitioned(fan_in_uniform, None, None, None, "embed"),
        name=conv,
    )(x)
    return BatchNorm(dtype=dtype, name=norm)(x, None, train=train)

  return apply


class AttentionPool(nn.Module):
  """The mean of all cells looks at them, and at itself."""

  features: int
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "B S D"]) -> Float[Array, "B E"]:
    width = x.shape[-1]
    x = jnp.concatenate([x.mean(1, keepdims=True), x], 1)  # [B, 1 + S, D]
    spread = nn.initializers.normal(width**-0.5)
    x = x + self.param("positions", partitioned(spread, None, "embed"), x.shape[1:]).astype(x.dtype)

    def project(name, x):
      y = _dense(width, self.dtype, name, "embed", "heads")(x)
      return y.reshape(*y.shape[:-1], width // HEAD, HEAD)

    query, key, value = project("query", x[:, 0]), project("key", x), project("value", x)
    scores = jnp.einsum("bnk,bsnk->bns", query * HEAD**-0.5, key).astype(jnp.float32)
    seen = jnp.einsum("bns,bsnk->bnk", jax.nn.softmax(scores).astype(self.dtype), value)
    return _dense(self.features, self.dtype, "out", "heads", "embed")(seen.reshape(len(x), width))


class ModifiedResNet(nn.Module):
  """A residual network with three stem convolutions, average pooling and pooling by attention.

  Attributes:
    width: channels of the stem; a multiple of 2, and 32 of them of 64.
    layers: bottlenecks in each of the four stages.
    features: of the pooled vector; 0 leaves it out, and pictures may then be of any size.
    dtype: of the computation.
  """

  width: int
  layers: tuple[int, ...]
  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, images: Float[Array, "B H W 3"], *, train: bool = False) -> Seen:
    """Encodes standardised pictures, all of the size that the weights were made for.

    Args:
      images: [B, H, W, 3].
      train: use and move the batch statistics.
    """
    x = images.astype(self.dtype)
    stem = ((self.width // 2, 2), (self.width // 2, 1), (self.width, 1))
    for i, (channels, stride) in enumerate(stem, 1):
      x = nn.relu(_normed_conv(channels, 3, self.dtype, f"conv{i}", f"bn{i}", stride)(x, train))
    x = _pool(x, 2)
    for stage, depth in enumerate(self.layers):
      for i in range(depth):
        stride = 2 if stage and not i else 1
        name = f"layer{stage + 1}_{i}"
        x = Bottleneck(self.width * 2**stage, stride, self.dtype, name=name)(x, train=train)
    x = x.reshape(len(x), -1, x.shape[-1])  # [B, S, D]
    if not self.features:
      return Seen(x, x[:, 0, :0])
    return Seen(x, AttentionPool(self.features, self.dtype, name="pool")(x))


class TextTransformer(nn.Module):
  """Words through a causal Transformer; the state at the end-of-text token is the sentence's.

  Attributes:
    vocabulary_size: the largest number marks the end of the text.
    width: channels; a multiple of 64.
    layers: of the Transformer.
    features: of the sentence's vector; 0 leaves out the projection to it, the state is returned.
    dtype: of the computation.
  """

  vocabulary_size: int
  width: int
  layers: int
  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, tokens: Int[Array, "B T"]) -> Float[Array, "B E"]:
    """Encodes rows that are padded to the length that the weights were made for."""
    embed = nn.Embed(
        self.vocabulary_size,
        self.width,
        dtype=self.dtype,
        embedding_init=partitioned(nn.initializers.normal(0.02), "vocab", "embed"),
        name="words",
    )
    shape = (tokens.shape[1], self.width)
    positions = self.param(
        "positions", partitioned(nn.initializers.normal(0.01), None, "embed"), shape)  # fmt: skip
    x = embed(tokens) + positions.astype(self.dtype)
    before = jnp.tril(jnp.ones((shape[0], shape[0]), bool))
    for i in range(self.layers):
      x = Block(self.width, self.dtype, name=f"block_{i}")(x, before)
    x = layer_norm(self.dtype, "norm_out")(x)
    end = jnp.take_along_axis(x, tokens.argmax(1)[:, None, None], 1)[:, 0]
    if not self.features:
      return end
    return _dense(self.features, self.dtype, "project", "embed", "mlp", bias=False)(end)


class CLIP(nn.Module):
  """Both towers.

  Attributes:
    features: of the space that they share.
    image_width: see the image towers.
    image_layers: four numbers for the residual network, one for the vision transformer.
    patch: of the vision transformer.
    vocabulary_size: see the text tower.
    text_width: see the text tower.
    text_layers: see the text tower.
    dtype: of the computation.
  """

  features: int
  image_width: int
  image_layers: int | tuple[int, ...]
  patch: int
  vocabulary_size: int
  text_width: int
  text_layers: int
  dtype: DTypeLike = jnp.float32

  def setup(self):
    if isinstance(self.image_layers, int):
      self.visual = VisionTransformer(
          self.image_width, self.image_layers, self.patch, self.features, self.dtype)  # fmt: skip
    else:
      self.visual = ModifiedResNet(
          self.image_width, tuple(self.image_layers), self.features, self.dtype)  # fmt: skip
    self.textual = TextTransformer(
        self.vocabulary_size, self.text_width, self.text_layers, self.features, self.dtype)
    start = nn.initializers.constant(math.log(1 / 0.07))
    self.logit_scale = self.param("logit_scale", partitioned(start), ())

  def image(self, images: Float[Array, "B H W 3"]) -> Seen:
    """Features of standardised pictures."""
    return self.visual(images)

  def text(self, tokens: Int[Array, "B T"]) -> Float[Array, "B E"]:
    """Features of sentences."""
    return self.textual(tokens)

  def __call__(
      self, images: Float[Array, "B H W 3"], tokens: Int[Array, "M T"]
  ) -> Float[Array, "B M"]:
    """Scaled cosines of every picture with every sentence."""
    unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    pictures, sentences = unit(self.image(images).pooled), unit(self.text(tokens))
    return jnp.exp(self.logit_scale) * pictures @ sentences.T
