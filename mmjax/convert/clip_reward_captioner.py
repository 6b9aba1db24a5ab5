"""Weights of the CLIP-reward captioner -> variables of `mmjax.models.clip_reward_captioner`.

The reference counts 0 for start, end and padding, then the words from 1. Ours has 0 padding, 1
start, 2 end, then the words from 3: its padding and start get rows of their own.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mmjax import losses
from mmjax.convert import state_dict as sd
from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.options import DecodeOptions
from mmjax.decode.search import search
from mmjax.models.clip_reward_captioner import ClipRewardCaptioner
from mmjax.text.vocabulary import EOS, PAD, SOS, Vocabulary

NEVER = -1e9  # the logit of what the reference cannot write


def convert(arrays: dict[str, np.ndarray], *, heads: int = 8) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before them is removed. The published file's pickles
      (`_vocab`, `_opt`) are not read: the words come with the data set.
    heads: attention heads, which no array tells.

  Returns:
    {"params": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "att_embed.0.weight")
  w.ignore(r"_vocab|_opt|.*\.pe")
  sd.linear(w, "att_embed.0", "feature_proj")
  for part, ours, attentions in (
      ("encoder", "picture", {"self_attn": "self_attention"}),
      ("decoder", "decoder", {"self_attn": "self_attention", "src_attn": "cross_attention"}),
  ):
    for (i,) in w.matches(rf"model\.{part}\.layers\.(\d+)\."):
      old, new = f"model.{part}.layers.{i}", f"{ours}_{i}"
      for name, attention in attentions.items():
        _attention(w, f"{old}.{name}", f"{new}/{attention}", heads)
      for n in (1, 2):
        sd.linear(w, f"{old}.feed_forward.w_{n}", f"{new}/feed_forward/linear{n}")
      norms = ("norm1", "norm2", "norm3") if part == "decoder" else ("norm1", "norm3")
      for n, norm in enumerate(norms):
        _norm(w, f"{old}.sublayer.{n}.norm", f"{new}/{norm}")
    _norm(w, f"model.{part}.norm", f"{ours}_norm")
  words = w.take("model.tgt_embed.0.lut.weight", None, None)
  w.put("params/word_embed/embedding", np.concatenate([words[:1], words[:1], words]))
  kernel = w.take("model.generator.proj.weight", *words.shape)
  bias = w.take("model.generator.proj.bias", len(words))
  w.put("params/word_proj/kernel", np.concatenate([np.zeros_like(kernel[:EOS]), kernel]).T)
  w.put("params/word_proj/bias", np.concatenate([np.full(EOS, NEVER, np.float32), bias]))
  return w.finish()


def _attention(w: sd.Weights, name: str, path: str, heads: int) -> None:
  """The linears 0, 1, 2, 3: query, key, value, output."""
  bias = w.take(f"{name}.linears.3.bias", None)
  w.put(f"params/{path}/out/bias", bias)
  size = len(bias)
  if size % heads:
    raise sd.WeightsError(f"{name} has {size} channels, which {heads} heads do not divide")
  for i, part in enumerate(("query", "key", "value")):
    kernel = w.take(f"{name}.linears.{i}.weight", size, size).T.reshape(size, heads, -1)
    w.put(f"params/{path}/{part}/kernel", kernel)
    bias = w.take(f"{name}.linears.{i}.bias", size).reshape(heads, -1)
    w.put(f"params/{path}/{part}/bias", bias)
  out = w.take(f"{name}.linears.3.weight", size, size).T.reshape(heads, -1, size)
  w.put(f"params/{path}/out/kernel", out)


def _norm(w: sd.Weights, name: str, path: str) -> None:
  w.put(f"params/{path}/scale", w.take(f"{name}.a_2", None))
  w.put(f"params/{path}/bias", w.take(f"{name}.b_2", None))


def as_ours(numbers: Int[np.ndarray, "B T"]) -> Int[np.ndarray, "B T"]:
  """The reference's rows of words and a closing 0, as ours: PAD behind the first end."""
  numbers = np.asarray(numbers)
  ended = np.cumsum(numbers == 0, -1)
  return np.where(ended == 0, numbers + EOS, np.where(ended == 1, EOS, PAD) * (numbers == 0))


def checks(sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
           ) -> Iterator[Check]:  # fmt: skip
  """Recorded outputs against ours: log-probabilities, both searches, the loss of REINFORCE.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: cells [B, S, D], rows of 0, words and 0.
  """
  variables = convert(state, heads=sizes["heads"])
  model = ClipRewardCaptioner(
      vocabulary_size=sizes["vocab_size"] + 1 + EOS,
      width=sizes["d_model"],
      heads=sizes["heads"],
      layers=sizes["N_enc"],
      hidden=sizes["d_ff"],
  )
  call = functools.partial(model.apply, variables)
  cells = jnp.asarray(arrays["in/att_feats"])[:, None]  # [B, 1, S, D]
  memory = jax.jit(functools.partial(call, method="encode_features"))(cells)
  memory = memory._replace(valid=jnp.asarray(arrays["in/att_masks"]) > 0)
  decode = jax.jit(functools.partial(call, method="decode"))

  def log_probs(words_in: np.ndarray):
    logits = decode(jnp.asarray(words_in, jnp.int32)[:, None], memory)[:, 0]
    return jax.nn.log_softmax(logits)[..., EOS:]

  seq = arrays["in/seq"]
  words_in = np.where(seq == 0, PAD, seq + EOS)
  words_in[:, 0] = SOS
  yield compare("log_probs", log_probs(words_in), arrays["out/log_probs"])

  real = jnp.ones(len(seq), bool)
  for name, beam in (("greedy", 1), ("beam", sizes["beam"])):
    found = _search(call, memory, real, beam, sizes["max_length"])
    written = np.maximum(np.asarray(found.tokens[:, 0]) - EOS, 0)
    yield compare(f"{name}_seq", written, arrays[f"out/{name}_seq"])
    if name == "beam":
      yield compare("beam_score", found.scores[:, 0], arrays["out/beam_score"], SCORE_TOLERANCE)
      continue
    tokens_out = as_ours(arrays["out/greedy_seq"])
    words_in = np.concatenate([np.full((len(seq), 1), SOS), tokens_out[:, :-1]], 1)
    chosen = np.maximum(tokens_out - EOS, 0)
    of_words = jnp.take_along_axis(log_probs(words_in), chosen[..., None], -1)[..., 0]
    mask = tokens_out != PAD
    of_words = jnp.where(mask, of_words, 0)
    yield compare("greedy_log_probs", of_words, arrays["out/greedy_log_probs"])
    total, weight = losses.policy_gradient(of_words, jnp.asarray(arrays["in/reward"]), mask)
    yield compare("reinforce_loss", total / weight, arrays["out/reinforce_loss"])


def _search(call, memory, real, beam: int, max_length: int):
  shared, _ = call(memory, beam, 1, method="init_cache")
  return search(
      lambda tokens, at, cache: call(tokens, at, cache, shared, method="step"),
      lambda length: call(memory, beam, length, method="init_cache")[1],
      real,
      # Sums of log-probabilities; hypotheses that end leave their places to others.
      DecodeOptions(beam=beam, max_length=max_length, length_penalty=0.0, normalise="each"),
      Vocabulary(()),
  )
