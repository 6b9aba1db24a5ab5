"""The references' ways of decoding, without a cache.

The memory is copied to each hypothesis and the whole prefix is computed again at each step. BTTR
goes picture by picture and direction by direction; CoMER takes both directions of several pictures
in one batch, which goes on until the last of them is done.
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
  memory: Float[Tensor, "1 h w d"],
  memory_mask: Bool[Tensor, "1 h w"],
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
    logits = model.decoder(memory.repeat(k, 1, 1, 1), memory_mask.repeat(k, 1, 1), prefix)[:, -1]
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
  memory: Float[Tensor, "n h w d"],
  memory_mask: Bool[Tensor, "n h w"],
  sequences: list[list[int]],
  starts: list[int],
  stops: list[int],
) -> list[float]:
  """Summed log p of each sequence, its stop token included."""
  n, longest = len(sequences), max(map(len, sequences))
  tgt = torch.full((n, longest + 1), PAD)
  out = torch.full((n, longest + 1), PAD)
  for i, (tokens, start, stop) in enumerate(zip(sequences, starts, stops)):
    tgt[i, : len(tokens) + 1] = torch.tensor([start, *tokens])
    out[i, : len(tokens) + 1] = torch.tensor([*tokens, stop])
  tgt, out = tgt.to(memory.device), out.to(memory.device)
  logits = model.decoder(memory, memory_mask, tgt)
  nll = F.cross_entropy(logits.transpose(1, 2), out, ignore_index=PAD, reduction="none")
  return (-nll.sum(1)).tolist()


@torch.inference_mode()
def search(
  model: Bttr, img: Float[Tensor, "1 1 h w"], beam: int = 10, max_len: int = 200
) -> list[Hypothesis]:
  """BTTR's: hypotheses for one unpadded picture, scored by own plus other direction.

  The left-to-right ones come first. The model must be in evaluation mode.
  """
  mask = torch.zeros(1, *img.shape[2:], dtype=torch.bool, device=img.device)
  memory, memory_mask = model.encode(img, mask)
  directions = ((SOS, EOS), (EOS, SOS))
  l2r, r2l = (one_direction(model, memory, memory_mask, *d, beam, max_len) for d in directions)
  for found, (stop, start) in ((l2r, directions[0]), (r2l, directions[1])):
    n = len(found)
    other = sequence_scores(
      model,
      memory.repeat(n, 1, 1, 1),
      memory_mask.repeat(n, 1, 1),
      [h.tokens[::-1] for h in found],
      [start] * n,
      [stop] * n,
    )
    for hypothesis, score in zip(found, other):
      hypothesis.score += score
  for hypothesis in r2l:
    hypothesis.tokens.reverse()
  return l2r + r2l


def best(hypotheses: list[Hypothesis]) -> Hypothesis:
  """The hypothesis with the highest score per token, the first one of equals."""
  return max(hypotheses, key=lambda h: h.score / max(len(h.tokens), 1))


@torch.inference_mode()
def batched_search(
  model: Bttr,
  img: Float[Tensor, "b 1 h w"],
  mask: Bool[Tensor, "b h w"],
  beam: int = 10,
  max_len: int = 200,
  alpha: float = 1.0,
) -> list[Hypothesis]:
  """CoMER's: the best hypothesis of each picture, whose scores are means over the tokens.

  A mean is over (tokens + 1) ** alpha; the score is the sum of both directions' means. `max_len` is
  without the start token. The model must be in evaluation mode.
  """
  memory, memory_mask = model.encode(img, mask)
  memory, memory_mask = memory.repeat(2, 1, 1, 1), memory_mask.repeat(2, 1, 1)
  starts = [SOS] * len(img) + [EOS] * len(img)
  stops = [EOS] * len(img) + [SOS] * len(img)
  found = both_directions(model, memory, memory_mask, starts, stops, beam, max_len, alpha)
  rows = [row for row, hypotheses in enumerate(found) for _ in hypotheses]
  flat = [hypothesis for hypotheses in found for hypothesis in hypotheses]
  other = sequence_scores(
    model,
    memory[rows],
    memory_mask[rows],
    [h.tokens[::-1] for h in flat],
    [stops[row] for row in rows],
    [starts[row] for row in rows],
  )
  for hypothesis, score in zip(flat, other):
    hypothesis.score += score / (len(hypothesis.tokens) + 1) ** alpha
  for hypothesis in (h for hypotheses in found[len(img) :] for h in hypotheses):
    hypothesis.tokens.reverse()
  pairs = zip(found, found[len(img) :])
  return [max(l2r + r2l, key=lambda h: h.score) for l2r, r2l in pairs]


def both_directions(
  model: Bttr,
  memory: Float[Tensor, "n h w d"],
  memory_mask: Bool[Tensor, "n h w"],
  starts: list[int],
  stops: list[int],
  beam: int,
  max_len: int,
  alpha: float,
) -> list[list[Hypothesis]]:
  """The best `beam` hypotheses of each row, in its own direction and with its own score alone.

  Of the best 2 * beam continuations those that end among the first `beam` are kept, and the first
  `beam` of the others go on, until the worst of `beam` kept ones is as
  good as the best continuation.
  """
  rows = len(starts)
  prefix = torch.tensor(starts, device=memory.device)[:, None]
  scores = torch.zeros(rows, device=memory.device)
  done: list[list[Hypothesis]] = [[] for _ in starts]
  over = [False] * rows
  while prefix.shape[1] <= max_len and not all(over):
    logits = model.decoder(memory, memory_mask, prefix)[:, -1]
    total = (scores[:, None] + F.log_softmax(logits, -1)).view(rows, -1)
    top, flat = total.topk(2 * beam)
    if len(prefix) == rows:  # the first step has one hypothesis a row
      memory, memory_mask = (x.repeat_interleave(beam, 0) for x in (memory, memory_mask))
      prefix = prefix.repeat_interleave(beam, 0)
    size = prefix.shape[1] ** alpha
    texts = prefix.tolist()
    source, tokens, kept = [], [], []
    for row, (values, places) in enumerate(zip(top.tolist(), flat.tolist())):
      live = [(0, PAD, 0.0)] * beam if over[row] else []
      for rank, (score, place) in enumerate(zip(values, places)):
        parent, token = divmod(place, logits.shape[1])
        if len(live) == beam:
          break
        if token != stops[row]:
          live.append((parent, token, score))
        elif rank < beam:
          done[row].append(Hypothesis(texts[row * beam + parent][1:], score / size))
      done[row] = sorted(done[row], key=lambda h: -h.score)[:beam]
      over[row] |= len(done[row]) == beam and done[row][-1].score >= values[0] / size
      source += [row * beam + parent for parent, _, _ in live]
      tokens += [token for _, token, _ in live]
      kept += [score for _, _, score in live]
    new = torch.tensor(tokens, device=prefix.device)[:, None]
    prefix = torch.cat([prefix[source], new], 1)
    scores = torch.tensor(kept, device=prefix.device)
  size = prefix.shape[1] ** alpha
  for row in (row for row in range(rows) if not over[row]):
    at = slice(row * beam, (row + 1) * beam)
    running = zip(prefix[at, 1:].tolist(), scores[at].tolist())
    done[row] += [Hypothesis(tokens, score / size) for tokens, score in running]
    done[row] = sorted(done[row], key=lambda h: -h.score)[:beam]
  return done
