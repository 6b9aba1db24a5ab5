"""Published weights of the DenseNet attention recognizer -> `mmjax.models.dense_attention`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import state_dict as sd
from mmjax.convert.parity import Check, compare
from mmjax.models.dense_attention import DenseAttention, Memory

UNUSED = r"decoder\.(emb|conv_et|bn)\..*|encoder\.classifier\..*"  # there, but never called


def convert(arrays: dict[str, np.ndarray]) -> dict:
  """Variables from the reference's state dicts.

  Args:
    arrays: name -> array, `decoder.` before the names of the decoder's file and `encoder.` before
      those of the encoder's; without any of the latter, variables of the decoder alone.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "decoder.embedding.weight")
  w.ignore(rf".*\.num_batches_tracked|{UNUSED}")
  if w.matches(r"(encoder)\."):
    _encoder(w, "encoder.features")
  sd.embedding(w, "decoder.embedding", "word_embed")
  for old, new in (("gru1", "word_gru"), ("gru", "picture_gru")):
    sd.gru(w, f"decoder.{old}", new)
  for old, new in (("conv1", "coverage"), ("conv_tan", "mix")):
    sd.convolution(w, f"decoder.{old}", new, bias=True)
  sd.batch_norm(w, "decoder.bn1", "mix_norm")
  for old, new in (
      ("hidden", "state"),
      ("ua", "cells"),
      ("uf", "past"),
      ("v", "cell_score"),
      ("hidden2", "from_state"),
      ("emb2", "from_word"),
      ("wc", "from_picture"),
      ("out", "word_proj"),
  ):
    sd.linear(w, f"decoder.{old}", new)
  return w.finish()


def _encoder(w: sd.Weights, name: str) -> None:
  sd.convolution(w, f"{name}.conv0_m", "encoder/conv0")
  for norm in ("norm0", "norm5"):
    sd.batch_norm(w, f"{name}.{norm}", f"encoder/{norm}")
  for block, i in w.matches(r"encoder\.features\.denseblock(\d+)\.denselayer(\d+)\."):
    old, new = f"{name}.denseblock{block}.denselayer{i}", f"encoder/dense{block}_{int(i) - 1}"
    sd.batch_norm(w, f"{old}.norm1", f"{new}/norm1")
    sd.pointwise(w, f"{old}.conv1", f"{new}/conv1")
    sd.batch_norm(w, f"{old}.norm2", f"{new}/norm2")
    sd.convolution(w, f"{old}.conv2", f"{new}/conv2")
  for (i,) in w.matches(r"encoder\.features\.transition(\d+)\."):
    sd.batch_norm(w, f"{name}.transition{i}.norm", f"encoder/trans{i}_norm")
    sd.pointwise(w, f"{name}.transition{i}.conv", f"encoder/trans{i}_conv")


def model_of(sizes: dict) -> DenseAttention:
  """Our model at the sizes that the reference records under its own names."""
  return DenseAttention(vocabulary_size=sizes["vocab"], hidden=sizes["hidden"])


def checks(
    sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[Check]:
  """Recorded outputs of the decoder against ours: log-probabilities and attention.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: features [B, C, h, w], the words and the state that
      the decoder is given, rows and columns of real cells.
  """
  variables = convert(state)
  model = model_of(sizes)
  features = jnp.asarray(arrays["in/encoder_out"]).transpose(0, 2, 3, 1)
  rows, columns = (jnp.arange(n) for n in features.shape[1:3])
  valid = (rows < arrays["in/h_mask"][:, None])[:, :, None]
  valid &= (columns < arrays["in/w_mask"][:, None])[:, None]
  memory = Memory(features, valid, jnp.asarray(arrays["in/hidden0"])[:, 0])
  tokens = jnp.asarray(arrays["in/tokens"], jnp.int32)[:, None]
  decode = functools.partial(model.apply, method="decode", mutable=["intermediates"])
  logits, seen = jax.jit(decode)(variables, tokens, memory)
  log_probs = jax.nn.log_softmax(logits[:, 0])
  yield compare("log_probs", log_probs, arrays["out/log_probs"])
  alphas = arrays["out/alphas"]
  (weights,) = seen["intermediates"]["picture"]
  yield compare("alphas", weights[:, 0].reshape(alphas.shape), alphas)
