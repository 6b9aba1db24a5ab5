"""Published weights of the GloVe captioner -> variables of `mmjax.models.caption_transformer`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import state_dict as sd
from mmjax.convert.parity import Check, compare
from mmjax.models.caption_transformer import CaptionTransformer
from mmjax.text.vocabulary import PAD


def convert(arrays: dict[str, np.ndarray], *, heads: int = 16) -> dict:
  """Variables from the reference's state dict, which numbers its specials as we do.

  Args:
    arrays: name -> array; a wrapper's name before them is removed.
    heads: attention heads, which no array tells.

  Returns:
    {"params": ..., "given": ...} of float32 arrays, of all but the encoder, which no file of the
    reference holds.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  w = sd.Weights(arrays, "entry_mapping_img.weight")
  w.ignore(r"positional_encodings\..*")
  w.put("given/word_vectors", w.take("embedding_layer.weight", None, None))
  for old, new in (
      ("entry_mapping_img", "feature_proj"),
      ("entry_mapping_words", "word_entry"),
      ("res_block.block.0", "word_mix1"),
      ("res_block.block.2", "word_mix2"),
      ("classifier", "word_proj"),
  ):
    sd.linear(w, old, new)
  sd.decoder_layers(w, "decoder.layers", "decoder", heads)
  return w.finish()


def model_of(sizes: dict) -> CaptionTransformer:
  """Our model at the sizes that the reference records under its own names."""
  return CaptionTransformer(
      vocabulary_size=sizes["vocab_size"],
      width=sizes["d_model"],
      heads=sizes["heads"],
      layers=sizes["decoder_layers"],
      hidden=sizes["ff_dim"],
      pre_norm=False,
      positions="steep",
      tied=False,
      given_words=sizes["embedding_dim"],
      causal=False,
  )


def checks(
    sizes: dict, state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[Check]:
  """Recorded logits of teacher forcing against ours, where there is a word.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: features [B, S, D], words [B, T].
  """
  variables = convert(state, heads=sizes["heads"])
  model = model_of(sizes)
  call = lambda method: jax.jit(functools.partial(model.apply, variables, method=method))
  memory = call("encode_features")(jnp.asarray(arrays["in/image_features"])[:, None])
  tokens = jnp.asarray(arrays["in/tokens"], jnp.int32)
  logits = call("decode")(tokens[:, None], memory)[:, 0]
  word = arrays["in/tokens"][..., None] != PAD
  yield compare("logits", np.where(word, logits, 0), np.where(word, arrays["out/logits"], 0))
