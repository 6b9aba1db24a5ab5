"""The two players of unsupervised captioning in NumPy, word by word, from their equations."""

import numpy as np


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def unit(x):
  return x / np.sqrt(max((x * x).sum(), 1e-12))


def log_softmax(x):
  x = x - x.max()
  return x - np.log(np.exp(x).sum())


def cell(weights, x, h, c):
  """One step of BasicLSTMCell: its kernel is over [x, h], its gates are i, j, f, o."""
  i, j, f, o = np.split(np.concatenate([x, h]) @ weights["kernel"] + weights["bias"], 4)
  c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
  return sigmoid(o) * np.tanh(c), c


def start_of(generator, feature):
  """l2norm(W f + b)."""
  return unit(feature @ generator["projection"]["kernel"] + generator["projection"]["bias"])


def generator_logits(generator, start, words):
  """[T, V] of the word after each of `words`; the output at the start is thrown away."""
  table, size = generator["embedding"], generator["embedding"].shape[1]
  h, c = cell(generator["lstm"], start, np.zeros(size), np.zeros(size))
  out = []
  for word in words:
    h, c = cell(generator["lstm"], table[word], h, c)
    out.append(h @ table.T + generator["bias"])
  return np.array(out)


def discriminator(player, words, length):
  """(logits [T], vector, last state) of words of which `length` are there."""
  table, size = player["embedding"], player["embedding"].shape[1]
  h, c, outputs = np.zeros(size), np.zeros(size), []
  for t, word in enumerate(words):
    if t < length:
      h, c = cell(player["lstm"], table[word], h, c)
    outputs.append(h if t < length else np.zeros(size))
  verdict, recon = player["verdict"], player["recon"]
  logits = np.array(outputs) @ verdict["kernel"][:, 0] + verdict["bias"][0]
  vector = unit(outputs[length - 1] @ recon["kernel"] + recon["bias"])
  return logits, vector, h


def length_of(words, end):
  """Up to the first end, which counts."""
  words = list(words)
  return words.index(end) + 1 if end in words else len(words)


def concept_rewards(words, live, concepts, scores):
  """The score of each concept where it stands first among the first `live` words."""
  out = np.zeros(len(words))
  for concept, score in zip(concepts, scores):
    places = [t for t in range(live) if words[t] == concept]
    if concept and places:
      out[places[0]] += score
  return out


def returns(rewards, q, discount):
  """G_t = q + sum_{s >= t} discount^(s - t) r_s."""
  n = len(rewards)
  return np.array(
      [q + sum(discount ** (s - t) * rewards[s] for s in range(t, n)) for t in range(n)]
  )
