"""Published SAN weights -> variables of `mmjax.models.san`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import state_dict as sd
from mmjax.convert.parity import Check, compare
from mmjax.models.san import SAN, Nodes, tree_losses

UNUSED = r"decoder\.struc_input_gru\..*"  # there, but never called


def convert(arrays: dict[str, np.ndarray]) -> dict:
  """Variables from the reference's state dict.

  Args:
    arrays: name -> array; a wrapper's name before them is removed.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "encoder.conv1.weight")
  w.ignore(rf".*\.num_batches_tracked|{UNUSED}")
  sd.densenet(w, "encoder", "encoder", norms=False)
  sd.embedding(w, "decoder.embedding", "word_embed")
  for old, new in (
      ("word_input_gru", "word_gru"),
      ("word_out_gru", "word_out_gru"),
      ("c2p_input_gru", "parent_gru"),
      ("c2p_out_gru", "parent_out_gru"),
  ):
    sd.gru(w, f"decoder.{old}", new)
  for old, new in (("word_attention", "attend"), ("c2p_attention", "parent_attend")):
    cells = f"decoder.{old}.encoder_feature_conv"
    sd.coverage_attention(w, f"decoder.{old}", new, cells=cells)
  for old, new in (
      ("init_weight", "start"),
      ("word_state_weight", "from_state"),
      ("word_embedding_weight", "from_word"),
      ("word_context_weight", "from_picture"),
      ("word_convert", "word_proj"),
      ("struct_convert", "relation_proj"),
      ("c2p_state_weight", "parent_from_state"),
      ("c2p_word_weight", "parent_from_word"),
      ("c2p_relation_weight", "parent_from_relation"),
      ("c2p_context_weight", "parent_from_picture"),
      ("c2p_convert", "parent_proj"),
  ):
    sd.linear(w, f"decoder.{old}", new)
  return w.finish()


def model_of(sizes: dict) -> SAN:
  """Our model at the sizes that the reference records under its own names."""
  return SAN(
      vocabulary_size=sizes["word_num"],
      hidden=sizes["hidden"],
      embedding=sizes["input_size"],
      attention=sizes["attention_dim"],
      growth=sizes["growth_rate"],
      encoder_layers=(sizes["layers_per_block"],) * 3,
  )


def checks(
    sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[Check]:
  """Recorded outputs against ours: features, logits, attention, and the four losses.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: pictures [B, 1, H, W] in 0..1, masks 1 on real
      pixels; labels [B, n, 4 + F] of id, word, parent's id, parent's word, and relation flags;
      masks [B, n, 2] of nodes and of nodes with flags.
  """
  variables = convert(state)
  model = model_of(sizes)
  images = jnp.asarray(arrays["in/img"]).transpose(0, 2, 3, 1) * 255
  valid = jnp.asarray(arrays["in/img_mask"])[:, 0] > 0
  call = functools.partial(model.apply, variables)
  memory = jax.jit(functools.partial(call, method="encode"))(images, valid)
  features = arrays["out/encoder"]
  yield compare("encoder", memory.features.transpose(0, 3, 1, 2), features)

  labels = jnp.asarray(arrays["in/labels"], jnp.int32)
  masks = jnp.asarray(arrays["in/labels_mask"]) > 0
  _, words, parents, parent_words, *relations = jnp.moveaxis(labels, -1, 0)
  flags = jnp.stack(relations, -1) > 0
  nodes = Nodes(words, parents, parent_words, flags, masks[..., 0], masks[..., 1])
  out = jax.jit(functools.partial(call, method="decode"))(nodes, memory)
  for theirs, ours in (
      ("word_logits", out.words),
      ("struct_logits", out.relations),
      ("parent_logits", out.parents),
      ("word_alphas", out.attention),
      ("parent_alphas", out.parent_attention),
  ):
    yield compare(theirs, ours, arrays[f"out/{theirs}"])
  losses = jax.jit(functools.partial(tree_losses, padding=True))(out, nodes)
  for theirs, name in (
      ("word_loss", "word"),
      ("struct_loss", "relations"),
      ("parent_loss", "parent"),
      ("kl_loss", "attention"),
  ):
    total, weight = losses[name]
    yield compare(theirs, total / weight, arrays[f"out/{theirs}"])
