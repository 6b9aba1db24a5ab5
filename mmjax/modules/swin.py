"""Swin: attention inside windows that every second layer shifts, on ever coarser grids.

References: Liu et al., 2021 (Swin); Kim et al., 2022 (the encoder of Donut: without a last norm).
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mmjax.modules.attention_layer import Layer, dense, layer_norm
from mmjax.modules.dropout import Dropout
from mmjax.modules.initializers import partitioned
from mmjax.modules.vit import window_distances

_NORM_EPSILON = 1e-5  # of the norms outside the layers, in every size


class Swin(nn.Module):
  """Patches through stages; between two, four neighbours become one with twice the channels.

  Attributes:
    width: channels of the first stage.
    depths: layers of each stage.
    heads: attention heads of each stage.
    image_size: height and width of every picture, in pixels.
    patch: side of a patch.
    window: side of a window, in cells.
    expansion: channels of the feed-forward part over those of its stage.
    activation, epsilon, biased: see `Layer`.
    positions: learned positions are added.
    norm_out: a norm behind the last stage.
    dropout, attention_dropout: see `Layer`.
    dtype: of the computation.

  Raises:
    ValueError: a stage's grid is smaller than the window.
  """

  width: int
  depths: tuple[int, ...]
  heads: tuple[int, ...]
  image_size: tuple[int, int]
  patch: int = 4
  window: int = 7
  expansion: float = 4.0
  activation: str = "gelu"
  epsilon: float = 1e-5
  biased: tuple[str, ...] = ("query", "key", "value")
  positions: bool = False
  norm_out: bool = True
  dropout: float = 0.0
  attention_dropout: float = 0.0
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    super().__post_init__()
    for stage, grid in enumerate(self.grids):
      if min(grid) < self.window:
        rows, columns = grid
        raise ValueError(
            f"stage {stage + 1} has {rows}x{columns} cells, fewer than its windows of side"
            f" {self.window}; image_size {self.image_size} is too small"
        )

  @property
  def grids(self) -> list[tuple[int, int]]:
    """Rows and columns of cells of each stage."""
    h, w = (-(-side // self.patch) for side in self.image_size)
    return [(-(-h // 2**stage), -(-w // 2**stage)) for stage in range(len(self.depths))]

  def setup(self):
    self.patches = nn.Conv(
        self.width,
        (self.patch, self.patch),
        strides=self.patch,
        padding="VALID",
        dtype=self.dtype,
        kernel_init=partitioned(nn.initializers.normal(0.02), None, None, None, "embed"),
    )
    self.norm_before = layer_norm(_NORM_EPSILON, self.dtype)
    if self.positions:
      h, w = self.grids[0]
      self.position_table = self.param(
          "position_table", partitioned(nn.initializers.zeros, None, "embed"), (h * w, self.width)
      )
    blocks, merges = [], []
    for stage, depth in enumerate(self.depths):
      width = self.width * 2**stage
      blocks.append([self._layer(stage, width, shifted=i % 2 == 1) for i in range(depth)])
      if stage + 1 < len(self.depths):
        merges.append(Merge(2 * width, self.dtype))
    self.blocks, self.merges = blocks, merges
    if self.norm_out:
      self.norm_after = layer_norm(self.epsilon, self.dtype)
    self.drop = Dropout(self.dropout)

  def _layer(self, stage: int, width: int, *, shifted: bool) -> "WindowLayer":
    grid = self.grids[stage]
    return WindowLayer(
        grid,
        self.window,
        self.window // 2 if shifted and min(grid) > self.window else 0,
        Layer(
            width,
            self.heads[stage],
            int(self.expansion * width),
            activation=self.activation,
            epsilon=self.epsilon,
            biased=self.biased,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            dtype=self.dtype,
        ),
    )

  def __call__(
      self, images: Float[Array, "B H W C"], *, train: bool = False
  ) -> Float[Array, "B S D"]:
    """Features of standardised pictures, the last stage's cells row by row.

    Raises:
      ValueError: the pictures have another size than the weights are for.
    """
    if images.shape[1:3] != tuple(self.image_size):
      ours, theirs = ("x".join(map(str, s)) for s in (self.image_size, images.shape[1:3]))
      raise ValueError(f"pictures of {theirs} pixels for an encoder of {ours}; resize them")
    rest = [-side % self.patch for side in self.image_size]
    images = jnp.pad(images, [(0, 0), (0, rest[0]), (0, rest[1]), (0, 0)])
    x = self.patches(images.astype(self.dtype))
    x = self.norm_before(x.reshape(len(x), -1, self.width))
    if self.positions:
      x = x + self.position_table.astype(x.dtype)
    x = self.drop(x, train=train)
    for stage, blocks in enumerate(self.blocks):
      for block in blocks:
        x = block(x, train=train)
      if stage < len(self.merges):
        x = self.merges[stage](x.reshape(len(x), *self.grids[stage], x.shape[-1]))
    return self.norm_after(x) if self.norm_out else x


class Merge(nn.Module):
  """Four neighbours' channels behind one another, normed and halved by a linear map."""

  features: int
  dtype: DTypeLike

  def setup(self):
    self.norm = layer_norm(_NORM_EPSILON, self.dtype)
    self.reduce = dense(self.features, self.dtype, None, "embed", bias=False)

  def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B S D"]:
    """Cells outside an odd grid count as zeros."""
    x = jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)])
    x = jnp.concatenate([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
    return self.reduce(self.norm(x.reshape(len(x), -1, x.shape[-1])))


class WindowLayer(nn.Module):
  """A layer whose self-attention stays inside windows of a grid.

  Attributes:
    grid: rows and columns.
    window: side of a window.
    shift: cells by which the windows stand off the grid's corner.
    layer: all but the windows.
  """

  grid: tuple[int, int]
  window: int
  shift: int
  layer: Layer

  @nn.compact
  def __call__(self, x: Float[Array, "B S C"], *, train: bool) -> Float[Array, "B S C"]:
    heads = self.layer.heads
    rows = (2 * self.window - 1) ** 2
    table = self.param(
        "relative_table", partitioned(nn.initializers.zeros, None, "heads"), (rows, heads)
    )
    bias = table[window_distances(self.window, self.window)].transpose(2, 0, 1)
    seen = jnp.asarray(self._together())

    def attend(y):
      attention = self.layer.self_attention
      cells = y.reshape(len(y), *self.grid, y.shape[-1])
      windows = into_windows(cells, self.window, self.shift)  # the windows are the rows
      words = attention.project(windows)
      mixed = attention.over_words(windows, words, seen, train=train, bias=bias)
      return out_of_windows(mixed, self.grid, self.window, self.shift).reshape(y.shape)

    return self.layer.around(attend, x[:, None], train=train)[:, 0]

  @property
  def _padded(self) -> tuple[int, int]:
    h, w = (side + -side % self.window for side in self.grid)
    return h, w

  def _together(self) -> Bool[np.ndarray, "R T T"]:
    """True for two cells of a window that the shift did not bring together over the border."""
    regions = []
    for side in self._padded:
      at = np.arange(side)
      moved = (at >= side - self.shift) if self.shift else np.zeros(side, bool)
      regions.append((at >= side - self.window).astype(int) + moved)
    n, (tall, wide) = self.window, self._padded
    region = (3 * regions[0][:, None] + regions[1]).reshape(tall // n, n, wide // n, n)
    region = region.swapaxes(1, 2).reshape(-1, n * n)
    return region[:, :, None] == region[:, None]


def into_windows(
    x: Float[Array, "B h w C"], window: int, shift: int = 0
) -> Float[Array, "B R T C"]:
  """Windows row by row, the shift done; zeros behind the grid fill the last ones."""
  n = window
  x = jnp.pad(x, [(0, 0), (0, -x.shape[1] % n), (0, -x.shape[2] % n), (0, 0)])
  x = jnp.roll(x, (-shift, -shift), (1, 2))
  b, tall, wide, c = x.shape
  x = x.reshape(b, tall // n, n, wide // n, n, c).swapaxes(2, 3)
  return x.reshape(b, -1, n * n, c)


def out_of_windows(
    x: Float[Array, "B R T C"], grid: tuple[int, ...], window: int, shift: int = 0
) -> Float[Array, "B h w C"]:
  """The grid that `into_windows` cut up."""
  (h, w), n = grid, window
  tall, wide = h + -h % n, w + -w % n
  x = x.reshape(len(x), tall // n, wide // n, n, n, -1).swapaxes(2, 3)
  x = x.reshape(len(x), tall, wide, -1)
  return jnp.roll(x, (shift, shift), (1, 2))[:, :h, :w]
