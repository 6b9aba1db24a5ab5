"""BTTR in PyTorch, written from the paper and our specification: the stand-in that we race against.

State-dict names are those of the published checkpoints. Masks are True on padding, as there.
Reference: Zhao et al., Handwritten Mathematical Expression Recognition with Bidirectionally
Trained Transformer, ICDAR 2021.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

PAD = 0
ENCODER_DROPOUT = 0.2
MAX_POSITIONS = 500


class DenseLayer(nn.Module):
  """1x1 then 3x3 convolution, each followed by BN, ReLU and dropout; the result is appended."""

  def __init__(self, channels: int, growth_rate: int):
    super().__init__()
    self.conv1 = nn.Conv2d(channels, 4 * growth_rate, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(4 * growth_rate)
    self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
    self.bn2 = nn.BatchNorm2d(growth_rate)
    self.dropout = nn.Dropout(ENCODER_DROPOUT)

  def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
    new = self.dropout(F.relu(self.bn1(self.conv1(x)), inplace=True))
    new = self.dropout(F.relu(self.bn2(self.conv2(new)), inplace=True))
    return torch.cat([x, new], 1)


class Transition(nn.Module):
  """Halves the channels and, rounding up, both sides."""

  def __init__(self, channels: int):
    super().__init__()
    self.conv1 = nn.Conv2d(channels, channels // 2, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(channels // 2)
    self.dropout = nn.Dropout(ENCODER_DROPOUT)

  def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
    x = self.dropout(F.relu(self.bn1(self.conv1(x)), inplace=True))
    return F.avg_pool2d(x, 2, ceil_mode=True)


class DenseNet(nn.Module):
  """Three dense blocks of `num_layers` layers, or as many blocks as numbers of layers.

  The stride is 16 with three blocks, and half or twice as much with one less or more; sides are
  rounded up.
  """

  def __init__(self, growth_rate: int, num_layers: int | Sequence[int]):
    super().__init__()
    channels = 2 * growth_rate
    self.conv1 = nn.Conv2d(1, channels, 7, stride=2, padding=3, bias=False)
    self.norm1 = nn.BatchNorm2d(channels)
    depths = [num_layers] * 3 if isinstance(num_layers, int) else num_layers
    self.blocks = len(depths)
    self.stride = 2 ** (self.blocks + 1)
    for i, depth in enumerate(depths, start=1):
      block, channels = dense_block(channels, growth_rate, depth)
      self.add_module(f"dense{i}", block)
      if i < self.blocks:
        self.add_module(f"trans{i}", Transition(channels))
        channels //= 2
    self.post_norm = nn.BatchNorm2d(channels)
    self.out_channels = channels

  def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h2 w2"]:
    x = F.relu(self.norm1(self.conv1(x)), inplace=True)
    x = F.max_pool2d(x, 2, ceil_mode=True)
    for i in range(1, self.blocks + 1):
      x = self.get_submodule(f"dense{i}")(x)
      if i < self.blocks:
        x = self.get_submodule(f"trans{i}")(x)
    return self.post_norm(x)


def dense_block(channels: int, growth_rate: int, num_layers: int) -> tuple[nn.Sequential, int]:
  """Returns a block of dense layers and its number of output channels."""
  layers = [DenseLayer(channels + i * growth_rate, growth_rate) for i in range(num_layers)]
  return nn.Sequential(*layers), channels + num_layers * growth_rate


def image_positions(
  mask: Bool[Tensor, "b h w"], d_model: int
) -> Float[Tensor, "b h w {d_model}"]:
  """Sinusoids of the relative column, then row; BTTR gives every channel its own frequency."""
  half = d_model // 2
  valid = (~mask).float()
  y, x = valid.cumsum(1), valid.cumsum(2)
  y = 2 * math.pi * y / (y[:, -1:, :] + 1e-6)
  x = 2 * math.pi * x / (x[:, :, -1:] + 1e-6)
  channel = torch.arange(half, dtype=torch.float32, device=mask.device)
  frequency = 10000.0 ** (-channel / half)

  def encode(position: Tensor) -> Tensor:
    angle = position[..., None] * frequency
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1).flatten(-2)

  return torch.cat([encode(x), encode(y)], -1)


class Encoder(nn.Module):
  """Picture to a sequence of features, row by row."""

  def __init__(self, d_model: int, growth_rate: int, num_layers: int | Sequence[int]):
    super().__init__()
    self.model = DenseNet(growth_rate, num_layers)
    self.feature_proj = nn.Sequential(nn.Conv2d(self.model.out_channels, d_model, 1), nn.ReLU())
    self.norm = nn.LayerNorm(d_model)

  def forward(
    self, img: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b h w"]
  ) -> tuple[Float[Tensor, "b s d"], Bool[Tensor, "b s"]]:
    feature = self.feature_proj(self.model(img)).permute(0, 2, 3, 1)
    mask = mask[:, :: self.model.stride, :: self.model.stride]
    feature = self.norm(feature) + image_positions(mask, feature.shape[-1])
    return feature.flatten(1, 2), mask.flatten(1)


class WordPositions(nn.Module):
  """Adds the 1-D sinusoids."""

  def __init__(self, d_model: int):
    super().__init__()
    position = torch.arange(MAX_POSITIONS, dtype=torch.float32)[:, None]
    angle = position * torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
    table = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
    self.register_buffer("pe", table, persistent=False)

  def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    return x + self.pe[: x.shape[1]]


class Decoder(nn.Module):
  """Post-norm Transformer decoder over tokens."""

  def __init__(self, d_model, nhead, num_decoder_layers, dim_feedforward, dropout, vocab_size):
    super().__init__()
    self.word_embed = nn.Sequential(nn.Embedding(vocab_size, d_model), nn.LayerNorm(d_model))
    self.pos_enc = WordPositions(d_model)
    layer = nn.TransformerDecoderLayer(
      d_model, nhead, dim_feedforward, dropout, batch_first=True
    )
    self.model = nn.TransformerDecoder(layer, num_decoder_layers)
    self.proj = nn.Linear(d_model, vocab_size)

  def forward(
    self,
    memory: Float[Tensor, "b s d"],
    memory_mask: Bool[Tensor, "b s"],
    tgt: Int[Tensor, "b t"],
  ) -> Float[Tensor, "b t v"]:
    t = tgt.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=tgt.device).triu(1)
    x = self.model(
      self.pos_enc(self.word_embed(tgt)),
      memory,
      tgt_mask=causal,
      tgt_is_causal=True,  # a promise, which spares the layer its own comparison of the mask
      tgt_key_padding_mask=tgt == PAD,
      memory_key_padding_mask=memory_mask,
    )
    return self.proj(x)


class Bttr(nn.Module):
  """The whole network; `channels_last` keeps pictures and kernels in NHWC memory order."""

  def __init__(
    self,
    d_model: int = 256,
    growth_rate: int = 24,
    num_layers: int | Sequence[int] = 16,
    nhead: int = 8,
    num_decoder_layers: int = 3,
    dim_feedforward: int = 1024,
    dropout: float = 0.3,
    vocab_size: int = 113,
    channels_last: bool = False,
  ):
    super().__init__()
    self.encoder = Encoder(d_model, growth_rate, num_layers)
    self.decoder = Decoder(
      d_model, nhead, num_decoder_layers, dim_feedforward, dropout, vocab_size
    )
    self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
    self.to(memory_format=self.memory_format)

  def encode(
    self, img: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b h w"]
  ) -> tuple[Float[Tensor, "b s d"], Bool[Tensor, "b s"]]:
    """Features and padding mask of pictures in 0..1, strokes bright."""
    return self.encoder(img.contiguous(memory_format=self.memory_format), mask)

  def forward(
    self,
    img: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b h w"],
    tgt: Int[Tensor, "two_b t"],
  ) -> Float[Tensor, "two_b t v"]:
    """Teacher-forced logits; `tgt` holds all left-to-right rows, then all right-to-left rows."""
    feature, feature_mask = self.encode(img, mask)
    return self.decoder(feature.repeat(2, 1, 1), feature_mask.repeat(2, 1), tgt)


def loss(logits: Float[Tensor, "b t v"], out: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
  """Cross-entropy averaged over the tokens of both directions that are not padding."""
  return F.cross_entropy(logits.flatten(0, 1), out.flatten(), ignore_index=PAD)


def load_reference(model: Bttr, state: Mapping[str, Tensor]) -> None:
  """Loads a reference state dict strictly; the position table is computed, hence skipped."""
  model.load_state_dict({k: v for k, v in state.items() if not k.endswith("pos_enc.pe")})
