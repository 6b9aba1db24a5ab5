"""Beam search and mutual rescoring in plain Python, written from the rules alone.

Rules (Zhao et al., 2021): each step keeps the best (beam - finished) continuations of the live
hypotheses; one that ends with the stop token is finished, its stop counted in the sum of
log-probabilities. The search ends when `beam` are finished or at `max_length`; with none finished
the best live one counts. Hypotheses of both directions are scored by the other one as well.

A model is a function of the tokens so far, the start token first, that returns logits.
"""

import math

PAD, SOS, EOS = 0, 1, 2


def log_softmax(logits):
  top = max(logits)
  total = top + math.log(sum(math.exp(x - top) for x in logits))
  return [x - total for x in logits]


def beam_search(model, start, stop, beam, max_length):
  """[(tokens, score), ...] in the order in which they were finished."""
  live, finished = [((), 0.0)], []
  for _ in range(max_length):
    candidates = [
        (score + log_prob, (*tokens, word))
        for tokens, score in live
        for word, log_prob in enumerate(log_softmax(model((start, *tokens))))
    ]
    candidates.sort(key=lambda c: -c[0])  # stable: the earlier of two equal ones comes first
    live, best = [], candidates[: beam - len(finished)]
    for score, tokens in best:
      if tokens[-1] == stop:
        finished.append((tokens[:-1], score))
      else:
        live.append((tokens, score))
    if len(finished) == beam:
      break
  return finished or [max(live, key=lambda h: h[1])]


def normalised_beam_search(model, start, stop, beam, max_length, length_penalty):
  """[(tokens, score), ...], best first, with the rules of Zhao and Gao (2022).

  Of the best 2 * beam continuations those that stop among the first `beam` are finished, with
  score = log p / (tokens + 1) ** length_penalty; the best `beam` of the others go on. The best
  `beam` finished ones are kept. The end: they are full, and the worst of them is no worse than the
  best continuation would be if it stopped here; or `max_length`, where live ones count too.
  """
  live, finished = [((), 0.0)], []

  def add(tokens, score):
    finished.append((tokens, score / (len(tokens) + 1) ** length_penalty))
    finished.sort(key=lambda h: -h[1])
    del finished[beam:]

  for length in range(1, max_length + 1):
    candidates = [
        (score + log_prob, (*tokens, word))
        for tokens, score in live
        for word, log_prob in enumerate(log_softmax(model((start, *tokens))))
    ]
    candidates.sort(key=lambda c: -c[0])
    live = []
    for rank, (score, tokens) in enumerate(candidates[: 2 * beam]):
      if tokens[-1] != stop:
        live.append((tokens, score))
      elif rank < beam:
        add(tokens[:-1], score)
    live = live[:beam]
    if len(finished) == beam and finished[-1][1] >= candidates[0][0] / length**length_penalty:
      return finished
  for tokens, score in live:
    add(tokens, score)
  return finished


def greedy(model, start, stop, max_length):
  """Tokens and score of taking the likeliest word until the stop token or `max_length`."""
  tokens, score = (), 0.0
  for _ in range(max_length):
    log_probs = log_softmax(model((start, *tokens)))
    word = log_probs.index(max(log_probs))
    score += log_probs[word]
    if word == stop:
      break
    tokens = (*tokens, word)
  return tokens, score


def score(model, tokens, start, stop):
  """Log-probability of `tokens` and the stop token; PAD is never scored."""
  words = (*tokens, stop)
  return sum(
      log_softmax(model((start, *tokens[:i])))[word] for i, word in enumerate(words) if word != PAD
  )


def bidirectional_search(model, beam, max_length, length_penalty, normalise="sum"):
  """[(tokens in reading order, score), ...], best first."""
  found = []
  for backward, (start, stop) in enumerate([(SOS, EOS), (EOS, SOS)]):
    if normalise == "each":
      own = normalised_beam_search(model, start, stop, beam, max_length, length_penalty)
    else:
      own = beam_search(model, start, stop, beam, max_length)
    for tokens, first in own:
      other = score(model, tokens[::-1], start=stop, stop=start)
      if normalise == "each":
        total = first + other / (len(tokens) + 1) ** length_penalty
      else:
        total = (first + other) / max(len(tokens), 1) ** length_penalty
      found.append((tokens[::-1] if backward else tokens, total))
  return sorted(found, key=lambda h: -h[1])
