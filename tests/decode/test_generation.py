"""What Hugging Face's `generate` found with the toy models, recorded by `record_generate`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.decode.beam_search import NEGATIVE
from mmjax.decode.generation import Generation, generate
from tests.decode import record_generate, toy

RECORDED = json.loads(record_generate.FILE.read_text())["answers"]
TABLES = np.concatenate([
    toy.random_tables(seed, 1, record_generate.WORDS, spread=spread, stop_bonus=bonus)
    for seed, spread, bonus in record_generate.MODELS
])


def settings_of(options):
  options = {"eos_token_id": 2} | options
  changes = {"start": tuple(options.pop("start", [1]))}
  return Generation.from_config(options, **changes)


def text(tokens, settings):
  """A recorded row without start and forced first token, cut at its stop."""
  tokens = tokens[len(settings.prompt) :]
  for at, token in enumerate(tokens):
    if token in settings.stop:
      return tokens[:at]
  return tokens


@pytest.mark.parametrize("number", range(len(record_generate.SETTINGS)))
def test_finds_what_generate_finds(number):
  settings = settings_of(record_generate.SETTINGS[number])
  step, cache_of = toy.cached(TABLES, settings.beam)
  real = jnp.ones(len(TABLES), bool)
  found = jax.jit(lambda: generate(step, cache_of, real, settings, record_generate.WORDS))()
  compared = 0
  for b, answers in enumerate(RECORDED[number]):
    for k, (row, score) in enumerate(answers):
      length = int(found.lengths[b, k])
      if score is not None and score < NEGATIVE / 100:  # a place that it could not fill
        assert found.scores[b, k] < NEGATIVE / 100
        continue
      ours = found.tokens[b, k, :length].tolist()
      assert ours == text(row, settings)
      if score is not None:
        assert found.scores[b, k] == pytest.approx(score, abs=1e-4)
      compared += 1
  assert compared >= len(TABLES)


def test_settings_of_a_generation_config():
  stored = {"bos_token_id": 7, "eos_token_id": 50256, "max_length": 16, "num_beams": 4}
  settings = Generation.from_config(stored)
  assert settings == Generation((7,), (50256,), beam=4, max_length=16)
  bart = stored | {
      "decoder_start_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2,
      "max_new_tokens": 5, "eos_token_id": [2, 3], "early_stopping": True,
  }  # fmt: skip
  settings = Generation.from_config(bart, beam=2)
  assert settings.prompt == (2, 0) and settings.stop == (2, 3) and settings.beam == 2
  assert settings.max_length == 6 and settings.words == 3
  prompted = Generation.from_config(bart, start=(5, 6))
  assert prompted.prompt == (5, 6)  # no token is forced behind a prompt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_sample": True}, "do_sample is True; this search has False"),
        ({"eos_token_id": None}, "needs a start and a stop"),
        ({"max_length": 1}, "raise it to 2"),
        ({"early_stopping": "maybe"}, "early_stopping is 'maybe'"),
    ],
)
def test_settings_that_it_has_not_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    Generation.from_config({"bos_token_id": 1, "eos_token_id": 2} | changes)
