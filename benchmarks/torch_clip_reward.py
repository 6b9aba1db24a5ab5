"""The CLIP-reward captioner in PyTorch, from our specification: the stand-in that we race against.

Names and order of computation are those of the references (Cho et al.'s CLIP-Caption-Reward, whose
Transformer and training step are those of Luo's ImageCaptioning.pytorch). Their captioner keeps
nothing while it draws: at each word the decoder reads the whole prefix, and projects the picture's
cells, copied for each drawn caption, anew. The gradient goes through the very pass that drew, with
all of its prefixes. Checked by `python -m benchmarks.check_clip_reward_twin`.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

LONGEST, SIGMA = 4, 6.0  # of CIDEr-D
END = 0  # start, end and padding


class Norm(nn.Module):
  """The annotated Transformer's: deviation over D - 1, epsilon outside the root."""

  def __init__(self, width: int):
    super().__init__()
    self.a_2, self.b_2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

  def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    deviation = x.std(-1, keepdim=True)
    return self.a_2 * (x - x.mean(-1, keepdim=True)) / (deviation + 1e-6) + self.b_2


class Attention(nn.Module):
  """The linears are query, key, value and output."""

  def __init__(self, width: int, heads: int, dropout: float):
    super().__init__()
    self.heads, self.drop = heads, nn.Dropout(dropout)
    self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(4))

  def forward(
    self, x: Float[Tensor, "b t d"], y: Float[Tensor, "b s d"], seen: Bool[Tensor, "#b #t s"]
  ) -> Float[Tensor, "b t d"]:
    query, key, value = (
      linear(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
      for linear, z in zip(self.linears, (x, y, y))
    )
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    weights = self.drop(scores.masked_fill(~seen[:, None], -1e9).softmax(-1))
    return self.linears[-1]((weights @ value).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
  """w_2(dropout(relu(w_1 x)))."""

  def __init__(self, width: int, hidden: int, dropout: float):
    super().__init__()
    self.w_1, self.w_2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
    self.drop = nn.Dropout(dropout)

  def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    return self.w_2(self.drop(F.relu(self.w_1(x))))


class Sublayer(nn.Module):
  """x + dropout(part(norm x))."""

  def __init__(self, width: int, dropout: float):
    super().__init__()
    self.norm, self.drop = Norm(width), nn.Dropout(dropout)

  def forward(self, x, part):
    return x + self.drop(part(self.norm(x)))


class Layer(nn.Module):
  """Of the encoder; of the decoder where it `crosses` to the picture."""

  def __init__(self, width: int, heads: int, hidden: int, dropout: float, crosses: bool):
    super().__init__()
    self.self_attn = Attention(width, heads, dropout)
    if crosses:
      self.src_attn = Attention(width, heads, dropout)
    self.feed_forward = FeedForward(width, hidden, dropout)
    self.sublayer = nn.ModuleList(Sublayer(width, dropout) for _ in range(2 + crosses))

  def forward(self, x, seen, memory=None, cells=None):
    x = self.sublayer[0](x, lambda y: self.self_attn(y, y, seen))
    if memory is not None:
      x = self.sublayer[1](x, lambda y: self.src_attn(y, memory, cells))
    return self.sublayer[-1](x, self.feed_forward)


class Stack(nn.Module):
  """Layers and a norm."""

  def __init__(self, count: int, layer: Layer, width: int):
    super().__init__()
    self.layers, self.norm = nn.ModuleList(copy.deepcopy(layer) for _ in range(count)), Norm(width)

  def forward(self, x, *others):
    for layer in self.layers:
      x = layer(x, *others)
    return self.norm(x)


class Words(nn.Module):
  def __init__(self, words: int, width: int):
    super().__init__()
    self.lut = nn.Embedding(words, width)

  def forward(self, x: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
    return self.lut(x) * math.sqrt(self.lut.embedding_dim)


class Positions(nn.Module):
  """Sines on even channels, cosines on odd ones."""

  def __init__(self, width: int, dropout: float, longest: int = 5000):
    super().__init__()
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(longest)[:, None] * rates
    self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[None])
    self.drop = nn.Dropout(dropout)

  def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    return self.drop(x + self.pe[:, : x.shape[1]])


class Captioner(nn.Module):
  """The network, with the names of the published state dict; words are 1 .. `words`."""

  def __init__(
    self, words: int, channels: int, width: int, heads: int, layers: int, hidden: int,
    dropout: float, feature_dropout: float,
  ):  # fmt: skip
    super().__init__()
    self.att_embed = nn.Sequential(
      nn.Linear(channels, width), nn.ReLU(), nn.Dropout(feature_dropout)
    )
    stack = lambda crosses: Stack(layers, Layer(width, heads, hidden, dropout, crosses), width)
    self.model = nn.ModuleDict({
      "encoder": stack(False),
      "decoder": stack(True),
      "tgt_embed": nn.Sequential(Words(words + 1, width), Positions(width, dropout)),
      "generator": nn.ModuleDict({"proj": nn.Linear(width, words + 1)}),
    })  # fmt: skip
    for weight in self.model.parameters():
      if weight.dim() > 1:
        nn.init.xavier_uniform_(weight)

  def encode(
    self, features: Float[Tensor, "b s c"], cells: Bool[Tensor, "b 1 s"]
  ) -> Float[Tensor, "b s d"]:
    return self.model["encoder"](self.att_embed(features), cells)

  def decode(
    self, tokens: Int[Tensor, "b t"], memory: Float[Tensor, "b s d"], cells: Bool[Tensor, "b 1 s"],
    seen: Bool[Tensor, "#b t t"],
  ) -> Float[Tensor, "b t d"]:  # fmt: skip
    return self.model["decoder"](self.model["tgt_embed"](tokens), seen, memory, cells)

  def log_probs(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
    return F.log_softmax(self.model["generator"]["proj"](x), -1)

  def sample(
    self,
    features: Float[Tensor, "b s c"],
    cells: Bool[Tensor, "b 1 s"],
    longest: int,
    captions: int = 1,
    *,
    greedy: bool = False,
  ) -> tuple[Int[Tensor, "n t"], Float[Tensor, "n t v"]]:
    """Captions of each picture, and the log-probabilities of all words at each of their places.

    As the references do, a step more than `longest` is computed where a caption has no end.
    """
    memory = self.encode(features, cells).repeat_interleave(captions, 0)
    cells = cells.repeat_interleave(captions, 0)
    tokens = torch.zeros(len(memory), longest, dtype=torch.long)
    of_all = memory.new_zeros(len(memory), longest, self.model["generator"]["proj"].out_features)
    unfinished = torch.ones(len(memory), dtype=torch.bool)
    prefix = tokens.new_full((len(memory), 1), END)
    for t in range(longest + 1):
      seen = torch.ones(t + 1, t + 1, dtype=torch.bool).tril()[None]
      log_probs = self.log_probs(self.decode(prefix, memory, cells, seen)[:, -1])
      if t == longest:
        break
      if greedy:
        word = log_probs.argmax(-1)
      else:
        word = torch.distributions.Categorical(logits=log_probs.detach()).sample()
      word = torch.where(unfinished, word, END)
      tokens[:, t], of_all[:, t] = word, log_probs * unfinished[:, None]
      unfinished = unfinished & (word != END)
      if not unfinished.any():
        break
      prefix = torch.cat([prefix, word[:, None]], 1)
    return tokens, of_all


def reinforce(
  log_probs: Float[Tensor, "n t"], tokens: Int[Tensor, "n t"], advantages: Float[Tensor, "n"]
) -> Float[Tensor, ""]:
  """-sum(advantage log p) / words, over the words that were drawn and one end of each caption."""
  written = F.pad(tokens[:, :-1] != END, (1, 0), value=True)
  return -(advantages[:, None] * log_probs * written).sum() / written.sum()


class CiderD:
  """CIDEr-D caption by caption in plain Python, as the references have it on the host.

  Args:
    references: of each picture, its captions as words, whose n-grams are counted.
  """

  def __init__(self, references: Iterable[Sequence[Sequence[str]]]):
    self.frequencies: Counter[tuple[str, ...]] = Counter()
    pictures = 0
    for captions in references:
      pictures += 1
      self.frequencies.update({gram for words in captions for gram in _grams(words)})
    self.unseen = math.log(pictures)

  def score(self, words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Of one caption, 0 to 10."""
    vectors, norms, length = self._vectors(words)
    total = 0.0
    for reference in references:
      others, other_norms, other_length = self._vectors(reference)
      closeness = math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
      for n in range(LONGEST):
        product = 0.0
        for gram, weight in vectors[n].items():
          other = others[n].get(gram, 0.0)
          product += min(weight, other) * other
        if norms[n] and other_norms[n]:
          product /= norms[n] * other_norms[n]
        total += product * closeness
    return 10 * total / LONGEST / len(references)

  def _vectors(self, words):
    vectors: list[dict] = [{} for _ in range(LONGEST)]
    for gram, times in _grams(words).items():
      weight = self.unseen - math.log(max(1, self.frequencies.get(gram, 0)))
      vectors[len(gram) - 1][gram] = times * weight
    norms = [math.sqrt(sum(x * x for x in vector.values())) for vector in vectors]
    return vectors, norms, max(len(words) - 1, 0)


def _grams(words: Sequence[str]) -> Counter:
  return Counter(
    tuple(words[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1)
  )
