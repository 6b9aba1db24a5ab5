"""The reference's way of decoding: picture by picture, direction by direction, without a cache.

The memory is copied to each hypothesis and the whole prefix is computed again at each step.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from benchmarks.torch_bttr import PAD, Bttr

SOS = 1
EOS = 2


@dataclasses.dataclass
class Hypothesis:
  """Tokens without specials, in reading order once a search returns, and their summed log p."""

  tokens: list[int]
  score: float


def one_direction(
  model: Bttr,
  memory: Float[Tensor, "1 s d"],
  memory_mask: Bool[Tensor, "1 s"],
  start: int,
  stop: int,
  beam: int,
  max_len: int,
) -> list[Hypothesis]:
  """Hypotheses in the order they ended, or the best live one (without stop) if none ended."""
  done: list[Hypothesis] = []
  prefix = torch.full((1, 1), start, device=memory.device)
  scores = torch.zeros(1, device=memory.device)
  for _ in range(max_len):
    k = len(prefix)
    logits = model.decoder(memory.repeat(k, 1, 1), memory_mask.repeat(k, 1), prefix)[:, -1]
    total = scores[:, None] + F.log_softmax(logits, -1)  # [k, v]
    scores, flat = total.flatten().topk(beam - len(done))
    parent, token = flat // total.shape[1], flat % total.shape[1]
    prefix = torch.cat([prefix[parent], token[:, None]], 1)
    ended = token == stop
    for row, score in zip(prefix[ended].tolist(), scores[ended].tolist()):
      done.append(Hypothesis(row[1:-1], score))
    prefix, scores = prefix[~ended], scores[~ended]
    if len(done) == beam:
      break
  return done or [Hypothesis(prefix[0, 1:].tolist(), scores[0].item())]


def sequence_scores(
  model: Bttr,
  memory: Float[Tensor, "1 s d"],
  memory_mask: Bool[Tensor, "1 s"],
  sequences: list[list[int]],
  start: int,
  stop: int,
) -> list[float]:
  """Summed log p of each sequence, its stop token included."""
  n, longest = len(sequences), max(map(len, sequences))
  tgt = torch.full((n, longest + 1), PAD)
  out = torch.full((n, longest + 1), PAD)
  for i, tokens in enumerate(sequences):
    tgt[i, : len(tokens) + 1] = torch.tensor([start, *tokens])
    out[i, : len(tokens) + 1] = torch.tensor([*tokens, stop])
  tgt, out = tgt.to(memory.device), out.to(memory.device)
  logits = model.decoder(memory.repeat(n, 1, 1), memory_mask.repeat(n, 1), tgt)
  nll = F.cross_entropy(logits.transpose(1, 2), out, ignore_index=PAD, reduction="none")
  return (-nll.sum(1)).tolist()


@torch.inference_mode()
def search(
  model: Bttr, img: Float[Tensor, "1 1 h w"], beam: int = 10, max_len: int = 200
) -> list[Hypothesis]:
  """Hypotheses of both directions for one unpadded picture, scored by own plus other direction.

  The left-to-right ones come first. The model must be in evaluation mode.
  """
  mask = torch.zeros(1, *img.shape[2:], dtype=torch.bool, device=img.device)
  memory = model.encode(img, mask)
  l2r = one_direction(model, *memory, SOS, EOS, beam, max_len)
  r2l = one_direction(model, *memory, EOS, SOS, beam, max_len)
  other = sequence_scores(model, *memory, [h.tokens[::-1] for h in l2r], EOS, SOS)
  other += sequence_scores(model, *memory, [h.tokens[::-1] for h in r2l], SOS, EOS)
  for hypothesis in r2l:
    hypothesis.tokens.reverse()
  for hypothesis, score in zip(l2r + r2l, other):
    hypothesis.score += score
  return l2r + r2l


def best(hypotheses: list[Hypothesis]) -> Hypothesis:
  """The hypothesis with the highest score per token, the first one of equals."""
  return max(hypotheses, key=lambda h: h.score / max(len(h.tokens), 1))
