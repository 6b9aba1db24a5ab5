"""Published CoMER weights -> variables of `mmjax.models.comer`."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax import losses
from mmjax.convert import state_dict as sd
from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.options import DecodeOptions
from mmjax.models.comer import CoMER
from mmjax.tasks.bidirectional import Task
from mmjax.text.vocabulary import Vocabulary


def convert(arrays: dict[str, np.ndarray], *, heads: int = 8) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before them (`comer_model.`) is removed.
    heads: attention heads, which no array tells.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "encoder.model.conv1.weight")
  w.ignore(r".*\.num_batches_tracked|.*\.pe")
  sd.densenet(w, "encoder.model", "encoder", norms=True)
  sd.pointwise(w, "encoder.feature_proj", "feature_proj", bias=True)
  sd.layer_norm(w, "encoder.norm", "feature_norm")
  sd.embedding(w, "decoder.word_embed.0", "word_embed")
  sd.layer_norm(w, "decoder.word_embed.1", "word_norm")
  sd.layer_norm(w, "decoder.norm", "position_norm")
  sd.decoder_layers(w, "decoder.model.layers", "decoder", heads)
  if w.matches(r"decoder\.model\.(arm)\."):  # the baseline has none
    sd.convolution(w, "decoder.model.arm.conv", "refinement/conv", bias=True)
    sd.pointwise(w, "decoder.model.arm.proj", "refinement/proj")
    sd.batch_norm(w, "decoder.model.arm.post_norm.bn", "refinement/post_norm")
  sd.linear(w, "decoder.proj", "word_proj")
  return w.finish()


def model_of(sizes: dict) -> CoMER:
  """Our model at the sizes that the reference records under its own names."""
  chosen = (("self", sizes["self_coverage"]), ("cross", sizes["cross_coverage"]))
  coverage: Any = tuple(name for name, used in chosen if used)
  return CoMER(
      vocabulary_size=sizes["vocab_size"],
      width=sizes["d_model"],
      heads=sizes["nhead"],
      layers=sizes["num_decoder_layers"],
      hidden=sizes["dim_feedforward"],
      growth=sizes["growth_rate"],
      encoder_layers=(sizes["num_layers"],) * 3,
      coverage=coverage,
      coverage_channels=sizes["dc"],
  )


def checks(
    sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[Check]:
  """Recorded outputs against ours: features, logits, loss, and the best text of each picture.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: pictures [B, 1, H, W] in 0..1, masks True on
      padding, left-to-right rows before right-to-left ones.
  """
  variables = convert(state, heads=sizes["nhead"])
  model = model_of(sizes)
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

  # The reference counts the start token as part of the longest text.
  options = DecodeOptions(
      beam=sizes["beam"], max_length=sizes["max_len"] - 1, length_penalty=sizes["alpha"],
      normalise="each",
  )  # fmt: skip
  task = Task(model, Vocabulary(()), options)
  search = jax.jit(task.search)
  for i, (height, width) in enumerate(sizes["sizes"]):
    image = images[i : i + 1, :height, :width]
    memory = encode(image, jnp.ones(image.shape[:3], bool))
    best = jax.tree.map(lambda x: x[0, 0], search(variables, memory, jnp.ones(1, bool)))
    tokens = np.asarray(best.tokens)[: int(best.lengths)]
    yield compare(f"best{i}_seq", tokens, arrays[f"out/best{i}_seq"])
    yield compare(f"best{i}_score", best.scores, arrays[f"out/best{i}_score"], SCORE_TOLERANCE)
