"""Published BTTR weights -> variables of `mmjax.models.bttr`."""

import numpy as np

from mmjax.convert import state_dict as sd


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
