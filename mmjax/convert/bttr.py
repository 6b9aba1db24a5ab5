"""Published BTTR weights -> variables of `mmjax.models.bttr`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax import losses
from mmjax.convert import state_dict as sd
from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.bidirectional import bidirectional_search
from mmjax.models.bttr import BTTR


def convert(arrays: dict[str, np.ndarray], *, heads: int = 8) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before them (`bttr.`) is removed.
    heads: attention heads, which no array tells.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing or left over.
  """
  w = sd.Weights(arrays, "encoder.model.conv1.weight")
  w.ignore(r".*\.num_batches_tracked|.*\.pe")

  sd.convolution(w, "encoder.model.conv1", "encoder/conv1")
  for norm in ("norm1", "post_norm"):
    sd.batch_norm(w, f"encoder.model.{norm}", f"encoder/{norm}")
  for block, i in w.matches(r"encoder\.model\.dense(\d+)\.(\d+)\."):
    old, new = f"encoder.model.dense{block}.{i}", f"encoder/dense{block}_{i}"
    sd.pointwise(w, f"{old}.conv1", f"{new}/conv1")
    sd.batch_norm(w, f"{old}.bn1", f"{new}/bn1")
    sd.convolution(w, f"{old}.conv2", f"{new}/conv2")
    sd.batch_norm(w, f"{old}.bn2", f"{new}/bn2")
  for (i,) in w.matches(r"encoder\.model\.trans(\d+)\."):
    sd.pointwise(w, f"encoder.model.trans{i}.conv1", f"encoder/trans{i}/conv1")
    sd.batch_norm(w, f"encoder.model.trans{i}.bn1", f"encoder/trans{i}/bn1")
  sd.pointwise(w, "encoder.feature_proj.0", "feature_proj")
  sd.layer_norm(w, "encoder.norm", "feature_norm")

  w.put("params/word_embed/embedding", w.take("decoder.word_embed.0.weight"))
  sd.layer_norm(w, "decoder.word_embed.1", "word_norm")
  for (i,) in w.matches(r"decoder\.model\.layers\.(\d+)\."):
    old, new = f"decoder.model.layers.{i}", f"decoder_{i}"
    sd.attention(w, f"{old}.self_attn", f"{new}/self_attention", heads)
    sd.attention(w, f"{old}.multihead_attn", f"{new}/cross_attention", heads)
    for part in ("linear1", "linear2"):
      sd.linear(w, f"{old}.{part}", f"{new}/{part}")
    for part in ("norm1", "norm2", "norm3"):
      sd.layer_norm(w, f"{old}.{part}", f"{new}/{part}")
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
  call = functools.partial(model.apply, variables)
  images = jnp.asarray(arrays["in/img"]).transpose(0, 2, 3, 1) * 255
  memory = call(images, ~jnp.asarray(arrays["in/mask"]), method="encode")
  yield compare("encoder_feature", memory.features, arrays["out/encoder_feature"])
  yield compare("encoder_mask", ~memory.valid, arrays["out/encoder_mask"])

  batch = len(images)
  rows = lambda x: jnp.asarray(x, jnp.int32).reshape(2, batch, -1).swapaxes(0, 1)
  logits = call(rows(arrays["in/tgt"]), memory, method="decode")
  theirs = arrays["out/logits"]
  yield compare("logits", logits.swapaxes(0, 1).reshape(theirs.shape), theirs)
  total, weight = losses.cross_entropy(logits, rows(arrays["in/out"]))
  yield compare("loss", total / weight, arrays["out/loss"])

  for i, (height, width) in enumerate(sizes["sizes"]):
    found = jax.jit(functools.partial(_search, call, sizes))(images[i : i + 1, :height, :width])
    order = _reference_order(found, arrays[f"out/beam{i}_score"])
    padded = jnp.where(jnp.arange(sizes["max_len"]) < found.lengths[0, :, None], found.tokens[0], -1)
    yield compare(f"beam{i}_seq", padded[order], arrays[f"out/beam{i}_seq"])
    scores = arrays[f"out/beam{i}_score"]
    yield compare(f"beam{i}_score", found.scores[0, order], scores, SCORE_TOLERANCE)


def _search(call, sizes, image):
  memory = call(image, jnp.ones(image.shape[:3], bool), method="encode")
  rows = 2 * sizes["beam"]
  shared, _ = call(memory, rows, 1, method="init_cache")
  return bidirectional_search(
      lambda tokens, at, cache: call(tokens, at, cache, shared, method="step"),
      lambda length: call(memory, rows, length, method="init_cache")[1],
      lambda tokens: call(tokens, memory, method="decode"),
      jnp.ones(1, bool),
      beam=sizes["beam"],
      max_length=sizes["max_len"],
      length_penalty=0.0,
  )


def _reference_order(found, scores: np.ndarray) -> np.ndarray:
  """Ours come best first, the reference's by direction: ours in the order of the reference's."""
  ranks = np.argsort(np.argsort(-scores, kind="stable"), kind="stable")
  return np.arange(found.scores.shape[1])[: len(scores)][ranks]
