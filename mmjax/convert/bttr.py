"""Published BTTR weights -> variables of `mmjax.models.bttr`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax import losses
from mmjax.convert import state_dict as sd
from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.beam_search import NEGATIVE
from mmjax.decode.bidirectional import Decoded
from mmjax.decode.options import DecodeOptions
from mmjax.models.bttr import BTTR
from mmjax.tasks.bidirectional import Task
from mmjax.text.vocabulary import Vocabulary


def convert(arrays: dict[str, np.ndarray], *, heads: int = 8) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before them (`bttr.`) is removed.
    heads: attention heads, which no array tells.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "encoder.model.conv1.weight")
  w.ignore(r".*\.num_batches_tracked|.*\.pe")

  sd.densenet(w, "encoder.model", "encoder", norms=True)
  sd.pointwise(w, "encoder.feature_proj.0", "feature_proj", bias=True)
  sd.layer_norm(w, "encoder.norm", "feature_norm")

  sd.embedding(w, "decoder.word_embed.0", "word_embed")
  sd.layer_norm(w, "decoder.word_embed.1", "word_norm")
  sd.decoder_layers(w, "decoder.model.layers", "decoder", heads)
  sd.linear(w, "decoder.proj", "word_proj")
  return w.finish()


def checks(sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
           ) -> Iterator[Check]:  # fmt: skip
  """Recorded outputs against ours: features, logits, loss, and the search of each picture.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: pictures [B, 1, H, W] in 0..1, masks True on
      padding, left-to-right rows before right-to-left ones.
  """
  variables = convert(state, heads=sizes["nhead"])
  model = BTTR(
      vocabulary_size=sizes["vocab_size"],
      width=sizes["d_model"],
      heads=sizes["nhead"],
      layers=sizes["num_decoder_layers"],
      hidden=sizes["dim_feedforward"],
      growth=sizes["growth_rate"],
      encoder_layers=(sizes["num_layers"],) * 3,
  )
  apply = lambda method: functools.partial(jax.jit(model.apply, static_argnames="method"),
                                           variables, method=method)  # fmt: skip
  encode, decode = apply("encode"), apply("decode")
  images = jnp.asarray(arrays["in/img"]).transpose(0, 2, 3, 1) * 255
  memory = encode(images, ~jnp.asarray(arrays["in/mask"]))
  yield compare("encoder_feature", memory.features, arrays["out/encoder_feature"])
  yield compare("encoder_mask", ~memory.valid, arrays["out/encoder_mask"])

  rows = lambda x: jnp.asarray(x, jnp.int32).reshape(2, len(images), -1).swapaxes(0, 1)
  logits = decode(rows(arrays["in/tgt"]), memory)
  theirs = arrays["out/logits"]
  yield compare("logits", logits.swapaxes(0, 1).reshape(theirs.shape), theirs)
  total, weight = losses.cross_entropy(logits, rows(arrays["in/out"]))
  yield compare("loss", total / weight, arrays["out/loss"])

  options = DecodeOptions(
      beam=sizes["beam"], max_length=sizes["max_len"], length_penalty=0.0
  )
  task = Task(model, Vocabulary(()), options)
  search = jax.jit(task.search)
  for i, (height, width) in enumerate(sizes["sizes"]):
    image = images[i : i + 1, :height, :width]
    memory = encode(image, jnp.ones(image.shape[:3], bool))
    found = search(variables, memory, jnp.ones(1, bool))
    sequences, scores = arrays[f"out/beam{i}_seq"], arrays[f"out/beam{i}_score"]
    our_sequences, our_scores = _in_order_of(scores, found)
    yield compare(f"beam{i}_seq", our_sequences, sequences)
    yield compare(f"beam{i}_score", our_scores, scores, SCORE_TOLERANCE)


def _in_order_of(scores: np.ndarray, found: Decoded) -> tuple[np.ndarray, np.ndarray]:
  """Our hypotheses, -1 behind the end, and their scores, ranked as the reference's are.

  Ours come best first, the reference's by direction. Where the numbers of hypotheses differ, ours
  stay as they are and compare as another shape.
  """
  there = np.asarray(found.scores[0]) > NEGATIVE / 2
  tokens, lengths = np.asarray(found.tokens[0])[there], np.asarray(found.lengths[0])[there]
  tokens = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, -1)
  ranks = np.argsort(np.argsort(-scores, kind="stable"), kind="stable")
  order = ranks if len(ranks) == len(tokens) else slice(None)
  return tokens[order], np.asarray(found.scores[0])[there][order]
