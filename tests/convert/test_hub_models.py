"""Every known architecture of the hub against what the transformers package computes.

Weights are drawn by name, so that the recorded numbers hang on every array's name and form.
"""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.convert import florence2, hub_checks, hub_decoders, hub_encoders, hub_models
from mmjax.convert.state_dict import WeightsError
from mmjax.decode.generation import Generation
from mmjax.models.vision_encoder_decoder import Memory
from tests.convert import hub_cases as cases

PLAIN = {"do_normalize": False}


@functools.cache
def record():
  return json.loads(cases.RECORDED.read_text())


@functools.cache
def weights(name):
  """A folder's weights, as our own table names and shapes them."""
  config = cases.CASES[name]
  shapes = hub_models.shapes(hub_models.from_config(config, cases.preprocessor(config)))
  empty = hub_models.to_state(config, jax.tree.map(lambda x: np.zeros(x.shape), shapes))
  return {k: cases.weight(k, v.shape) for k, v in empty.items()}


@functools.cache
def filled(name):
  """The model and its variables."""
  config = cases.CASES[name]
  model = hub_models.from_config(config, cases.preprocessor(config))
  if name == "florence2":
    model = florence2.fit(model, cases.FLORENCE_SIZE, cases.PROMPT)
  return model, hub_models.to_variables(config, weights(name))


@pytest.mark.parametrize("name", cases.CASES)
def test_logits(name):
  model, variables = filled(name)
  pixels, tokens = cases.inputs(name, cases.CASES[name])

  def run(model, pixels, tokens):
    return model.decode(tokens, model.encode_pixels(pixels))[:, 0]

  run = jax.jit(functools.partial(model.apply, method=run))
  logits = run(variables, pixels, jnp.asarray(tokens, jnp.int32)[:, None])
  theirs = np.array(record()["cases"][name]["logits"])
  assert np.abs(theirs).max() > 0.5
  np.testing.assert_allclose(logits[:, 1::4], theirs, atol=1e-4)


# Searches in which some text ends, so that the rules of ending are felt.
@pytest.mark.parametrize(
    "name, search, forced",
    [
        ("beit unscaled, roberta", "early", None),
        ("vit, trocr with sinusoids", "early", None),
        ("swin with positions, bart", "never", cases.EOS),
        ("pix2struct", "greedy", None),
        ("pix2struct", "beams", None),
        ("florence2", "greedy", cases.EOS),
        ("florence2", "beams", cases.EOS),
    ],
)
def test_texts_and_scores(name, search, forced):
  config = cases.CASES[name]
  start = cases.decoder_config(config)["bos_token_id"]
  settings = Generation(
      (start,), (cases.EOS,), forced_last=forced, **cases.SEARCHES[search])  # fmt: skip
  model, variables = filled(name)
  pixels = cases.inputs(name, config)[0]
  memory = model.apply(variables, pixels, method="encode_pixels")
  found = hub_checks.found(model, variables, memory, settings)
  theirs = record()["cases"][name]["searches"][search]
  for row, tokens, length in zip(theirs["sequences"], found.tokens[:, 0], found.lengths[:, 0]):
    words = row[1 : row.index(cases.EOS)] if cases.EOS in row else row[1:]
    assert tokens[:length].tolist() == words
  if settings.beam > 1:
    np.testing.assert_allclose(found.scores[:, 0], theirs["scores"], atol=1e-3)


@pytest.mark.parametrize("name", cases.CASES)
def test_names_are_those_of_a_folder(name):
  """All of a folder's names are ours or ignored; so are those of newer versions in memory."""
  config = cases.CASES[name]
  table = hub_models.FAMILIES[config["model_type"]].names(config)
  theirs = record()["cases"][name]
  used = lambda names: {n for n in names if not any(re.fullmatch(p, n) for p in table.ignored)}
  assert weights(name).keys() == used(theirs["names"]) - table.copies.keys()
  renamed = set()
  for newer in theirs["newer_names"]:
    for pattern, replacement in table.renamed:
      newer = re.sub(pattern, replacement, newer)
    renamed.add(newer)
  ours = {n for n in weights(name) if n.startswith("encoder.")}
  assert used(renamed) == ours


@pytest.mark.parametrize("name", cases.CASES)
def test_weights_come_back_as_they_were(name):
  config, state = cases.CASES[name], weights(name)
  again = hub_models.to_state(config, hub_models.to_variables(config, state))
  assert again.keys() == state.keys()
  for key, array in state.items():
    np.testing.assert_array_equal(again[key], array, err_msg=key)


def test_defaults_are_those_of_the_package():
  families = {**hub_encoders.FAMILIES, **hub_decoders.FAMILIES}
  assert record()["defaults"].keys() == families.keys()
  for kind, theirs in record()["defaults"].items():
    ours = families[kind].defaults
    listed = lambda x: list(x) if isinstance(x, tuple) else x
    assert {k: listed(ours[k]) for k in theirs} == theirs, kind


GPT2 = "vit, gpt2 untied"


def test_pixels_are_standardised_as_the_preprocessor_says():
  config = cases.CASES[GPT2]
  said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2], "rescale_factor": 1 / 255}
  image = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
  pixels = (image / 255 - said["image_mean"]) / said["image_std"]
  variables = hub_models.to_variables(config, weights(GPT2))
  model = hub_models.from_config(config, said)
  raw = model.apply(variables, image, np.ones((2, 24, 24), bool), method="encode")
  ready = model.apply(variables, jnp.asarray(pixels, jnp.float32), method="encode_pixels")
  np.testing.assert_allclose(raw.features, ready.features, atol=1e-5)
  assert raw.valid.all() and raw.features.shape == (2, 10, 16)
  with pytest.raises(ValueError, match=r"preprocessor's configuration lacks image_std"):
    hub_models.from_config(config, {"image_mean": [0.5] * 3})


def test_weights_must_fit():
  config, state = cases.CASES[GPT2], weights(GPT2)
  convert = functools.partial(hub_models.to_variables, config)
  gone = "decoder.transformer.h.1.crossattention.c_attn.bias"
  with pytest.raises(WeightsError, match=f"weight {re.escape(gone)} is missing"):
    convert({k: v for k, v in state.items() if k != gone})
  with pytest.raises(WeightsError, match=r"1 weights have no place: \['decoder.more'\]"):
    convert(state | {"decoder.more": np.zeros(3)})
  with pytest.raises(WeightsError, match=r"c_attn.bias has the shape \(31,\), which does not fit"):
    convert(state | {gone: np.zeros(31)})
  with pytest.raises(WeightsError, match=r"words.*\(25, 16\) in the file, \(24, 16\) in the model"):
    convert(state | {"decoder.transformer.wte.weight": np.zeros((25, 16))})
  with pytest.raises(WeightsError, match="variables and configuration differ at"):
    hub_models.to_state(cases.CASES["git"], convert(state))


def test_tied_words():
  """The matrix of the logits may be missing, or be there twice, or alone; never another one."""
  name = "vit without biases, gpt2 of another width"
  config, state = cases.CASES[name], weights(name)
  words, head = "decoder.transformer.wte.weight", "decoder.lm_head.weight"
  once = hub_models.to_variables(config, state)
  other = {head if k == words else k: v for k, v in state.items()}
  for folder in (state | {head: state[words]}, other):
    jax.tree.map(np.testing.assert_array_equal, hub_models.to_variables(config, folder), once)
  with pytest.raises(WeightsError, match=f"{head} differs from {words}"):
    hub_models.to_variables(config, state | {head: state[words] + 1})


def changed(part, **options):
  config = cases.CASES[GPT2]
  return {**config, part: {**config[part], **options}}


@pytest.mark.parametrize(
    "config, message",
    [
        ({"model_type": "llava"}, r"no architecture 'llava'; there are: .*blip, git"),
        (changed("encoder", model_type="resnet"), r"no encoder 'resnet'; there are: vit, deit"),
        (changed("decoder", model_type="opt"), r"no decoder 'opt'; there are: gpt2, bert"),
        (changed("encoder", hidden_act="swish"), "no activation .swish.; there are: gelu"),
        (changed("decoder", scale_attn_weights=False), "gpt2 with scale_attn_weights=False"),
        (
            {"model_type": "git", "num_image_with_embedding": 6},
            "num_image_with_embedding=6 is a model of videos",
        ),
        (
            changed("encoder", model_type="beit", use_relative_position_bias=True,
                    image_size=[24, 32]),
            "beit with relative positions has square pictures, not 24x32",
        ),
        (
            changed("encoder", model_type="swin", image_size=40, window_size=7),
            r"stage 1 has 5x5 cells, fewer than its windows of side 7",
        ),
        (
            changed("decoder", model_type="bert", position_embedding_type="relative_key"),
            "bert with position_embedding_type='relative_key'",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_named(config, message):
  with pytest.raises(ValueError, match=message):
    hub_models.from_config(config, PLAIN)


def test_sizes_must_fit():
  model, variables = filled(GPT2)
  with pytest.raises(ValueError, match="pictures of 16x24 pixels for an encoder of 24x24"):
    model.apply(variables, jnp.zeros((1, 16, 24, 3)), method="encode_pixels")
  memory = Memory(jnp.zeros((1, 10, 16)), jnp.ones((1, 10), bool))
  with pytest.raises(ValueError, match="33 tokens for a decoder that has places for 32"):
    model.apply(variables, jnp.zeros((1, 1, 33), int), memory, method="decode")
  with pytest.raises(ValueError, match="33 tokens for a decoder that has places for 32"):
    model.apply(variables, memory, 1, 33, method="init_cache")
