"""Published Show, Attend and Tell weights -> variables of `mmjax.models.show_attend_tell`."""

import functools
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import encoders
from mmjax.convert import state_dict as sd
from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.options import DecodeOptions
from mmjax.models.show_attend_tell import Memory, ShowAttendTell
from mmjax.modules.resnet import ResNet
from mmjax.tasks.recognition import Task
from mmjax.text.vocabulary import Vocabulary

ENCODER = re.compile(r"(?:.*\.)?resnet\.(\d+)\.(\d+)?.*")


def word_order(vocabulary_size: int) -> np.ndarray:
  """Number in the reference of each of our words.

  There: padding, the words, unknown, start, end. Ours: padding, start, end, unknown, the words; so
  our vocabulary is `<unk>` and the words in the order of the reference's map.
  """
  n = vocabulary_size
  return np.array([0, n - 2, n - 1, n - 3, *range(1, n - 3)])


def convert(arrays: dict[str, np.ndarray]) -> dict:
  """Variables from the reference's state dicts, or from its pickle of whole modules.

  Args:
    arrays: name -> array; names of the encoder hold `resnet.`, and without any the variables are
      those of the decoder alone. A wrapper's name before them is removed.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays, words in our order.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  pictures = {k: v for k, v in arrays.items() if ENCODER.fullmatch(k)}
  w = sd.Weights({k: v for k, v in arrays.items() if k not in pictures}, "decode_step.weight_ih")
  words = w.take("embedding.weight", None, None)
  n, embedding = words.shape
  order = word_order(n)
  w.put("params/word_embed/embedding", words[order])
  w.put("params/word_proj/kernel", w.take("fc.weight", n, None)[order].T)
  w.put("params/word_proj/bias", w.take("fc.bias", n)[order])
  inputs = w.take("decode_step.weight_ih", None, None).T
  w.put("params/from_word/kernel", inputs[:embedding])
  w.put("params/from_word/bias", w.take("decode_step.bias_ih", None))
  w.put("params/from_picture/kernel", inputs[embedding:])
  w.put("params/from_state/kernel", w.take("decode_step.weight_hh", None, None).T)
  w.put("params/from_state/bias", w.take("decode_step.bias_hh", None))
  w.put("params/score", w.take("attention.full_att.weight", 1, None)[0])
  w.take("attention.full_att.bias", 1)  # of no effect: all scores move alike
  for old, new in (
      ("attention.encoder_att", "cells"),
      ("attention.decoder_att", "query"),
      ("f_beta", "gate"),
      ("init_h", "start_h"),
      ("init_c", "start_c"),
  ):
    sd.linear(w, old, new)
  variables = w.finish()
  if pictures:
    encoder = encoders.convert(pictures, _encoder_of(pictures))
    variables["params"]["encoder"] = encoder["params"]
    variables["batch_stats"] = {"encoder": encoder["batch_stats"]}
  return variables


def _encoder_of(arrays) -> ResNet:
  """The network, from how many blocks its names count."""
  blocks = {m.groups() for m in map(ENCODER.fullmatch, arrays) if m and m[2]}
  layers = tuple(sum(stage == str(n) for stage, _ in blocks) for n in (4, 5, 6, 7))
  stem = next((v for k, v in arrays.items() if k.endswith("resnet.0.weight")), None)
  if stem is None:
    raise sd.WeightsError("weight resnet.0.weight is missing")
  return ResNet(layers, stem.shape[0])


def model_of(sizes: dict) -> ShowAttendTell:
  """Our model at the sizes that the reference records under its own names."""
  return ShowAttendTell(
      vocabulary_size=sizes["vocab_size"],
      hidden=sizes["decoder_dim"],
      embedding=sizes["embed_dim"],
      attention=sizes["attention_dim"],
  )


def checks(
    sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[Check]:
  """Recorded outputs against ours: logits, attention, and the best hypothesis of each picture.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: features [B, h, w, D], captions with both specials
      and their lengths; outputs are zero where nothing is written.
  """
  variables = convert(state)
  model = model_of(sizes)
  order = word_order(sizes["vocab_size"])
  ours = np.argsort(order)
  features = jnp.asarray(arrays["in/encoder_out"])
  memory = Memory(features.reshape(len(features), -1, features.shape[-1]))
  tokens = jnp.asarray(ours[arrays["in/captions"][:, :-1]])[:, None]
  decode = functools.partial(model.apply, method="decode", mutable=["intermediates"])
  logits, seen = jax.jit(decode)(variables, tokens, memory)
  written = (np.arange(tokens.shape[-1]) < arrays["in/lengths"][:, None] - 1)[..., None]
  yield compare("logits", np.where(written, logits[:, 0][..., ours], 0), arrays["out/logits"])
  (alphas,) = seen["intermediates"]["picture"]
  yield compare("alphas", np.where(written, alphas[:, 0], 0), arrays["out/alphas"])

  options = DecodeOptions(
      beam=sizes["beam"], max_length=sizes["max_steps"] + 1, length_penalty=0.0
  )
  task = Task(model, Vocabulary(()), options)
  found = jax.jit(task.search)(variables, memory, jnp.ones(len(features), bool))
  for i in range(len(features)):
    words = order[found.tokens[i, 0, : found.lengths[i, 0]]]
    sequence = np.array([sizes["start"], *words, sizes["end"]])
    yield compare(f"beam{i}_seq", sequence, arrays[f"out/beam{i}_seq"])
    score, theirs = found.scores[i, 0], arrays[f"out/beam{i}_score"]
    yield compare(f"beam{i}_score", score, theirs, SCORE_TOLERANCE)
