"""Show, Attend and Tell in PyTorch, from our specification: the stand-in that we race against.

Names, order of computation and training batches are those of the reference (sgrvinod's
"a-PyTorch-Tutorial-to-Image-Captioning"): rows sorted by length, and at each step the attention of
those alone that still have a word to write. Checked against recorded outputs by
`python -m benchmarks.check_sat_twin`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
  """ReLU attention of one state to all cells."""

  def __init__(self, encoder_dim: int, decoder_dim: int, attention_dim: int):
    super().__init__()
    self.encoder_att = nn.Linear(encoder_dim, attention_dim)
    self.decoder_att = nn.Linear(decoder_dim, attention_dim)
    self.full_att = nn.Linear(attention_dim, 1)

  def forward(
    self, cells: Float[Tensor, "b p d"], h: Float[Tensor, "b h"]
  ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b p"]]:
    total = self.encoder_att(cells) + self.decoder_att(h)[:, None]
    alpha = self.full_att(F.relu(total)).squeeze(2).softmax(1)
    return (cells * alpha[..., None]).sum(1), alpha


class Decoder(nn.Module):
  """The decoder, with the names of the published state dict."""

  def __init__(
    self,
    vocab_size: int,
    encoder_dim: int = 2048,
    attention_dim: int = 512,
    embed_dim: int = 512,
    decoder_dim: int = 512,
    dropout: float = 0.5,
  ):
    super().__init__()
    self.attention = Attention(encoder_dim, decoder_dim, attention_dim)
    self.embedding = nn.Embedding(vocab_size, embed_dim)
    self.dropout = nn.Dropout(dropout)
    self.decode_step = nn.LSTMCell(embed_dim + encoder_dim, decoder_dim)
    self.init_h = nn.Linear(encoder_dim, decoder_dim)
    self.init_c = nn.Linear(encoder_dim, decoder_dim)
    self.f_beta = nn.Linear(decoder_dim, encoder_dim)
    self.fc = nn.Linear(decoder_dim, vocab_size)
    nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
    nn.init.uniform_(self.fc.weight, -0.1, 0.1)
    nn.init.zeros_(self.fc.bias)

  def start(self, cells: Float[Tensor, "b p d"]) -> tuple[Tensor, Tensor]:
    """The first h and c."""
    mean = cells.mean(1)
    return self.init_h(mean), self.init_c(mean)

  def step(
    self,
    words: Float[Tensor, "b e"],
    cells: Float[Tensor, "b p d"],
    h: Float[Tensor, "b h"],
    c: Float[Tensor, "b h"],
  ) -> tuple[Tensor, Tensor, Tensor]:
    """The next h and c, and the attention [b, p]."""
    found, alpha = self.attention(cells, h)
    found = torch.sigmoid(self.f_beta(h)) * found
    h, c = self.decode_step(torch.cat([words, found], 1), (h, c))
    return h, c, alpha

  def forward(
    self,
    cells: Float[Tensor, "b p d"],
    captions: Int[Tensor, "b l"],
    lengths: Int[Tensor, "b"],
  ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b t p"], Int[Tensor, "b"]]:
    """Teacher forcing of captions [start, words, end, pads] of so many `lengths`.

    Returns:
      Logits and attention, zero behind the end, of the rows sorted by length; the order of these.
    """
    lengths, order = lengths.sort(descending=True)
    cells, captions = cells[order], captions[order]
    words = self.embedding(captions)
    h, c = self.start(cells)
    steps = (lengths - 1).tolist()
    logits = cells.new_zeros(len(cells), max(steps), self.fc.out_features)
    alphas = cells.new_zeros(len(cells), max(steps), cells.shape[1])
    for t in range(max(steps)):
      n = sum(length > t for length in steps)
      h, c, alpha = self.step(words[:n, t], cells[:n], h[:n], c[:n])
      logits[:n, t] = self.fc(self.dropout(h))
      alphas[:n, t] = alpha
    return logits, alphas, order


def loss(
  logits: Float[Tensor, "b t v"],
  alphas: Float[Tensor, "b t p"],
  captions: Int[Tensor, "b l"],
  lengths: Int[Tensor, "b"],
) -> Float[Tensor, ""]:
  """Mean cross-entropy of the written words, and the attention penalty; rows in sorted order."""
  steps = lengths - 1
  written = torch.arange(logits.shape[1])[None] < steps[:, None]
  targets = captions[:, 1 : 1 + logits.shape[1]]
  words = F.cross_entropy(logits[written], targets[written])
  return words + ((1 - alphas.sum(1)) ** 2).mean()


@torch.inference_mode()
def search(
  model: Decoder,
  cells: Float[Tensor, "1 p d"],
  start: int,
  end: int,
  beam: int = 5,
  max_steps: int = 51,
) -> tuple[list[int], float]:
  """Words of the best hypothesis of one picture without specials, and its summed log p.

  The cells are copied to every hypothesis and the beam shrinks with each that ends. Where none has
  ended after `max_steps`, the best running one counts.
  """
  k = beam
  cells = cells.expand(k, -1, -1)
  sequences = torch.full((k, 1), start)
  scores = torch.zeros(k)
  h, c = model.start(cells)
  done: list[tuple[list[int], float]] = []
  for t in range(max_steps):
    h, c, _ = model.step(model.embedding(sequences[:, -1]), cells, h, c)
    total = scores[:, None] + F.log_softmax(model.fc(h), 1)
    scores, flat = (total[0] if t == 0 else total.flatten()).topk(k)
    parent, word = flat // total.shape[1], flat % total.shape[1]
    sequences = torch.cat([sequences[parent], word[:, None]], 1)
    live = word != end
    for row, score in zip(sequences[~live].tolist(), scores[~live].tolist()):
      done.append((row[1:-1], score))
    k = int(live.sum())
    if not k:
      break
    kept = parent[live]
    h, c, cells = h[kept], c[kept], cells[kept]
    sequences, scores = sequences[live], scores[live]
  return max(done or [(sequences[0, 1:].tolist(), scores[0].item())], key=lambda x: x[1])
