"""Published CAN weights -> variables of `mmjax.models.can`."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmjax.convert import state_dict as sd
from mmjax.convert.parity import Check, compare
from mmjax.models.can import CAN

EOS, SOS = 0, 1  # of the published vocabulary, which has no padding word
UNCOUNTED = (EOS, SOS, 107, 108, 109, 110)  # the latter: ^ _ { }


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
  w.ignore(r".*\.num_batches_tracked")
  sd.densenet(w, "encoder", "encoder", norms=False)
  for i in range(2):
    old, new = f"counting_decoder{i + 1}", f"counters_{i}"
    sd.convolution(w, f"{old}.trans_layer.0", f"{new}/conv")
    sd.batch_norm(w, f"{old}.trans_layer.1", f"{new}/bn")
    sd.linear(w, f"{old}.channel_att.fc.0", f"{new}/squeeze")
    sd.linear(w, f"{old}.channel_att.fc.2", f"{new}/excite")
    sd.pointwise(w, f"{old}.pred_layer.0", f"{new}/maps")
  sd.linear(w, "decoder.init_weight", "start")
  sd.embedding(w, "decoder.embedding", "word_embed")
  sd.gru(w, "decoder.word_input_gru", "gru")
  sd.coverage_attention(w, "decoder.word_attention", "attend", cells="decoder.encoder_feature_conv")
  for old, new in (
      ("word_state_weight", "from_state"),
      ("word_embedding_weight", "from_word"),
      ("word_context_weight", "from_picture"),
      ("counting_context_weight", "from_counts"),
      ("word_convert", "word_proj"),
  ):
    sd.linear(w, f"decoder.{old}", new)
  return w.finish()


def model_of(sizes: dict) -> CAN:
  """Our model at the sizes that the reference records under its own names."""
  return CAN(
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
  """Recorded outputs against ours: features, counts, logits, both losses, and greedy decoding.

  Args:
    sizes: the reference's sizes, under its own names.
    state: its weights.
    arrays: `in/...` and `out/...` as recorded: pictures [B, 1, H, W] in 0..1, masks 1 on real
      pixels; labels [B, T] with the stop word as padding.
  """
  variables = convert(state)
  model = model_of(sizes)
  images = jnp.asarray(arrays["in/img"]).transpose(0, 2, 3, 1) * 255
  valid = jnp.asarray(arrays["in/img_mask"])[:, 0] > 0
  call = functools.partial(model.apply, variables)
  memory = jax.jit(functools.partial(call, method="encode"))(images, valid)
  features = arrays["out/encoder"]
  yield compare("encoder", memory.features.transpose(0, 3, 1, 2), features)
  yield compare("counts", memory.counts.mean(1), arrays["out/counts"])

  labels = jnp.asarray(arrays["in/labels"], jnp.int32)
  words_in = jnp.pad(labels, [(0, 0), (1, 0)], constant_values=SOS)[:, :-1]
  logits = jax.jit(functools.partial(call, method="decode"))(words_in[:, None], memory)[:, 0]
  yield compare("word_logits", logits, arrays["out/word_logits"])
  # The published loss counts padding: its label mask is switched off.
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
  yield compare("word_loss", loss, arrays["out/word_loss"])
  real = arrays["in/labels_mask"][..., None]
  counts = (jax.nn.one_hot(labels, sizes["word_num"]) * real).sum(1)
  counts = counts.at[:, [n for n in UNCOUNTED if n < sizes["word_num"]]].set(0)
  counting = jax.jit(functools.partial(call, method="counting_loss"))(memory, counts)
  yield compare("counting_loss", counting.mean(), arrays["out/counting_loss"])

  greedy = arrays["out/greedy_logits"]
  length = greedy.shape[1]
  ours, alphas = jax.jit(functools.partial(_greedy, call), static_argnums=1)(memory, length)
  yield compare("greedy_logits", ours, greedy)
  yield compare("greedy_alphas", alphas, arrays["out/greedy_alphas"])


def _greedy(call, memory, length: int):
  """Logits [B, T, V] and attention [B, T, h, w] of taking the likeliest word `length` times."""
  shared, cache = call(memory, 1, length, method="init_cache")

  def step(carry, at):
    words, cache = carry
    logits, new = call(words, at, cache, shared, method="step")
    return (logits.argmax(-1), new), (logits[:, 0], (new.past - cache.past)[:, 0])

  first = jnp.full((memory.features.shape[0], 1), SOS)
  _, out = jax.lax.scan(step, (first, cache), jnp.arange(length))
  return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), out)
