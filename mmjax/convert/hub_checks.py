"""Recorded outputs of the transformers package against those of a model of the hub."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mmjax.convert.parity import SCORE_TOLERANCE, Check, compare
from mmjax.decode.bidirectional import Decoded
from mmjax.decode.generation import Generation, generate
from mmjax.models.vision_encoder_decoder import Memory, VisionEncoderDecoder


def encoded(
    model: VisionEncoderDecoder, variables: dict, arrays: Mapping[str, np.ndarray]
) -> Memory:
  """The memory of the recorded standardised pictures, [B, 3, H, W]."""
  pixels = jnp.asarray(arrays["in/pixel_values"]).transpose(0, 2, 3, 1)
  return jax.jit(lambda v, p: model.apply(v, p, method="encode_pixels"))(variables, pixels)


def logits(model: VisionEncoderDecoder, variables: dict, memory: Memory, tokens: np.ndarray):
  """[B, T, V] of recorded tokens [B, T], teacher forced."""
  rows = jnp.asarray(tokens, jnp.int32)[:, None]
  decode = jax.jit(lambda v, t, m: model.apply(v, t, m, method="decode"))
  return decode(variables, rows, memory)[:, 0]


def found(
    model: VisionEncoderDecoder, variables: dict, memory: Memory, settings: Generation
) -> Decoded:
  """What `generate` finds."""

  def search(variables, memory):
    bound = model.bind(variables)
    shared, _ = bound.init_cache(memory, settings.beam, 1)
    step = lambda tokens, position, cache: bound.step(tokens, position, cache, shared)
    cache_of = lambda length: bound.init_cache(memory, settings.beam, length)[1]
    real = jnp.ones(len(memory.features), bool)
    return generate(step, cache_of, real, settings, model.decoder.vocabulary_size)

  return jax.jit(search)(variables, memory)


def searches(
    model: VisionEncoderDecoder,
    variables: dict,
    memory: Memory,
    arrays: Mapping[str, np.ndarray],
    settings: Generation,
    pad: int,
) -> Iterator[Check]:
  """The greedy sequences, and the best ones of a beam where some are recorded."""
  greedy = Generation(settings.start, settings.stop, max_length=settings.max_length)
  ours = found(model, variables, memory, greedy)
  yield compare("greedy", sequences(ours, settings, pad), arrays["out/greedy"])
  if "out/beam" in arrays:
    ours = found(model, variables, memory, settings)
    yield compare("beam", sequences(ours, settings, pad), arrays["out/beam"])
    yield compare("beam_score", ours.scores[:, 0], arrays["out/beam_score"], SCORE_TOLERANCE)


def sequences(found: Decoded, settings: Generation, pad: int) -> Int[np.ndarray, "B L"]:
  """The best texts as `generate` returns them: start, text, stop, and `pad` up to the longest."""
  tokens, lengths = np.asarray(found.tokens[:, 0]), np.asarray(found.lengths[:, 0])
  rows = []
  for row, length in zip(tokens, lengths):
    whole = [*settings.start, *row[:length].tolist(), settings.stop[0]]
    rows.append(whole[: settings.max_length])
  longest = max(map(len, rows))
  return np.array([row + [pad] * (longest - len(row)) for row in rows])


def settings_of(sizes: Mapping[str, Any], start: int, stop: int) -> Generation:
  """The recorded search's settings."""
  return Generation(
      start=(start,),
      stop=(stop,),
      beam=sizes.get("beam", 1),
      max_length=1 + sizes["max_new_tokens"],
      length_penalty=sizes.get("length_penalty", 1.0),
      early_stopping=sizes.get("early_stopping", False),
  )
