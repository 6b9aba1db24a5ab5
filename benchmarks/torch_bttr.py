"""BTTR and CoMER in PyTorch, written from the papers and our specification, to race against.

State-dict names are those of the published checkpoints. Masks are True on padding, as there.
References: Zhao et al., Handwritten Mathematical Expression Recognition with Bidirectionally
Trained Transformer, ICDAR 2021; Zhao and Gao, CoMER: Modeling Coverage for Transformer-based
Handwritten Mathematical Expression Recognition, ECCV 2022.
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
  mask: Bool[Tensor, "b h w"], d_model: int, paired: bool
) -> Float[Tensor, "b h w {d_model}"]:
  """Sinusoids of the relative column, then row; BTTR gives every channel its own frequency.

  `paired`: a sine and a cosine share one (CoMER).
  """
  half = d_model // 2
  valid = (~mask).float()
  y, x = valid.cumsum(1), valid.cumsum(2)
  y = 2 * math.pi * y / (y[:, -1:, :] + 1e-6)
  x = 2 * math.pi * x / (x[:, :, -1:] + 1e-6)
  channel = torch.arange(half, dtype=torch.float32, device=mask.device)
  if paired:
    channel -= channel % 2
  frequency = 10000.0 ** (-channel / half)

  def encode(position: Tensor) -> Tensor:
    angle = position[..., None] * frequency
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1).flatten(-2)

  return torch.cat([encode(x), encode(y)], -1)


class Encoder(nn.Module):
  """Picture to a map of features: of CoMER, or with `early_norm` of BTTR."""

  def __init__(
    self, d_model: int, growth_rate: int, num_layers: int | Sequence[int], early_norm: bool
  ):
    super().__init__()
    self.model = DenseNet(growth_rate, num_layers)
    project = nn.Conv2d(self.model.out_channels, d_model, 1)
    self.feature_proj = nn.Sequential(project, nn.ReLU()) if early_norm else project
    self.norm = nn.LayerNorm(d_model)
    self.early_norm = early_norm

  def forward(
    self, img: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b h w"]
  ) -> tuple[Float[Tensor, "b h2 w2 d"], Bool[Tensor, "b h2 w2"]]:
    feature = self.feature_proj(self.model(img)).permute(0, 2, 3, 1)
    mask = mask[:, :: self.model.stride, :: self.model.stride]
    positions = image_positions(mask, feature.shape[-1], paired=not self.early_norm)
    if self.early_norm:
      return self.norm(feature) + positions, mask
    return self.norm(feature + positions), mask


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


class Refinement(nn.Module):
  """Past attention of all heads -> what is taken from the scores, normalised over valid cells."""

  def __init__(self, nhead: int, maps: int, dc: int):
    super().__init__()
    self.conv = nn.Conv2d(maps * nhead, dc, 5, padding=2)
    self.proj = nn.Conv2d(dc, nhead, 1, bias=False)
    self.post_norm = nn.ModuleDict({"bn": nn.BatchNorm1d(nhead)})

  def forward(
    self, maps: Float[Tensor, "b m t s"], mask: Bool[Tensor, "b h w"]
  ) -> Float[Tensor, "b n t s"]:
    b, m, t, s = maps.shape
    past = (maps.cumsum(2) - maps).transpose(1, 2).reshape(b * t, m, *mask.shape[1:])
    valid = ~mask.repeat_interleave(t, 0)
    x = F.relu(self.conv(past)) * valid[:, None]
    x = self.proj(x).permute(0, 2, 3, 1)
    x = x.new_zeros(x.shape).masked_scatter(valid[..., None], self.post_norm.bn(x[valid]))
    return x.view(b, t, s, -1).permute(0, 3, 1, 2)


class RefinedLayer(nn.TransformerDecoderLayer):
  """The usual layer, but the attention to the picture is refined by where it has been."""

  def forward(
    self,
    x: Float[Tensor, "b t d"],
    memory: Float[Tensor, "b s d"],
    causal: Bool[Tensor, "t t"],
    padding: Bool[Tensor, "b t"],
    mask: Bool[Tensor, "b h w"],
    below: Float[Tensor, "b n t s"] | None,
    arm: Refinement | None,
    coverage: Sequence[str],
  ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b n t s"]]:
    x = self.norm1(x + self._sa_block(x, causal, padding, is_causal=True))
    attention = self.multihead_attn
    heads = lambda y: y.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    weight, bias = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    query = heads(F.linear(x, weight[0], bias[0]))
    keys, values = (heads(F.linear(memory, weight[i], bias[i])) for i in (1, 2))
    scores = query @ keys.transpose(-1, -2) / math.sqrt(query.shape[-1])

    def softmax(scores: Tensor) -> Tensor:
      weights = scores.masked_fill(mask.flatten(1)[:, None, None], float("-inf")).softmax(-1)
      return F.dropout(weights, attention.dropout, self.training)

    weights = softmax(scores)
    if arm is not None and below is not None:
      maps = [y for name, y in (("cross", below), ("self", weights)) if name in coverage]
      weights = softmax(scores - arm(torch.cat(maps, 1), mask))
    seen = attention.out_proj((weights @ values).transpose(1, 2).flatten(2))
    x = self.norm2(x + self.dropout2(seen))
    return self.norm3(x + self._ff_block(x)), weights


class RefinedLayers(nn.Module):
  """Layers that share one refinement, which the first goes without."""

  def __init__(self, layers: list[RefinedLayer], coverage: Sequence[str], nhead: int, dc: int):
    super().__init__()
    self.layers = nn.ModuleList(layers)
    self.arm = Refinement(nhead, len(coverage), dc) if coverage else None
    self.coverage = tuple(coverage)

  def forward(self, x, memory, causal, padding, mask):
    below = None
    for layer in self.layers:
      x, below = layer(x, memory, causal, padding, mask, below, self.arm, self.coverage)
    return x


class Decoder(nn.Module):
  """Post-norm Transformer decoder over tokens."""

  def __init__(
    self, d_model, nhead, num_decoder_layers, dim_feedforward, dropout, vocab_size, coverage, dc
  ):
    super().__init__()
    self.word_embed = nn.Sequential(nn.Embedding(vocab_size, d_model), nn.LayerNorm(d_model))
    self.pos_enc = WordPositions(d_model)
    sizes = (d_model, nhead, dim_feedforward, dropout)
    if coverage is None:
      layer = nn.TransformerDecoderLayer(*sizes, batch_first=True)
      self.model = nn.TransformerDecoder(layer, num_decoder_layers)
    else:
      self.norm = nn.LayerNorm(d_model)
      layers = [RefinedLayer(*sizes, batch_first=True) for _ in range(num_decoder_layers)]
      self.model = RefinedLayers(layers, coverage, nhead, dc)
    self.proj = nn.Linear(d_model, vocab_size)

  def forward(
    self,
    memory: Float[Tensor, "b h w d"],
    memory_mask: Bool[Tensor, "b h w"],
    tgt: Int[Tensor, "b t"],
  ) -> Float[Tensor, "b t v"]:
    t = tgt.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=tgt.device).triu(1)
    x = self.pos_enc(self.word_embed(tgt))
    if isinstance(self.model, RefinedLayers):
      x = self.model(self.norm(x), memory.flatten(1, 2), causal, tgt == PAD, memory_mask)
    else:
      x = self.model(
        x,
        memory.flatten(1, 2),
        tgt_mask=causal,
        tgt_is_causal=True,  # a promise, which spares the layer its own comparison of the mask
        tgt_key_padding_mask=tgt == PAD,
        memory_key_padding_mask=memory_mask.flatten(1),
      )
    return self.proj(x)


class Bttr(nn.Module):
  """The whole network of BTTR, or with `coverage` of CoMER.

  `coverage` names whose past attention refines: of the layer itself ("self"), of the layer below
  ("cross"), both or neither; `dc` are the refinement's channels. `channels_last` keeps pictures and
  kernels in NHWC memory order.
  """

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
    coverage: Sequence[str] | None = None,
    dc: int = 32,
    channels_last: bool = False,
  ):
    super().__init__()
    self.encoder = Encoder(d_model, growth_rate, num_layers, early_norm=coverage is None)
    self.decoder = Decoder(
      d_model, nhead, num_decoder_layers, dim_feedforward, dropout, vocab_size, coverage, dc
    )
    self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
    self.to(memory_format=self.memory_format)

  def encode(
    self, img: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b h w"]
  ) -> tuple[Float[Tensor, "b h2 w2 d"], Bool[Tensor, "b h2 w2"]]:
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
    return self.decoder(feature.repeat(2, 1, 1, 1), feature_mask.repeat(2, 1, 1), tgt)


def loss(logits: Float[Tensor, "b t v"], out: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
  """Cross-entropy averaged over the tokens of both directions that are not padding."""
  return F.cross_entropy(logits.flatten(0, 1), out.flatten(), ignore_index=PAD)


def load_reference(model: Bttr, state: Mapping[str, Tensor]) -> None:
  """Loads a reference state dict strictly; the position table is computed, hence skipped."""
  model.load_state_dict({k: v for k, v in state.items() if not k.endswith("pos_enc.pe")})
