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


def bidirectional_search(model, beam, max_length, length_penalty):
  """[(tokens in reading order, score), ...], best first."""
  found = []
  for backward, (start, stop) in enumerate([(SOS, EOS), (EOS, SOS)]):
    for tokens, own in beam_search(model, start, stop, beam, max_length):
      total = own + score(model, tokens[::-1], start=stop, stop=start)
      text = tokens[::-1] if backward else tokens
      found.append((text, total / max(len(tokens), 1) ** length_penalty))
  return sorted(found, key=lambda h: -h[1])
