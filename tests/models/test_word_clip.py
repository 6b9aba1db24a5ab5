"""A published CLIP that reads words: its pieces, its vectors and its head for grammar."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mmjax import convert, models
from mmjax.convert import clip, word_clip
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError
from mmjax.metrics.clipscore import PROMPT
from mmjax.modules.clip import DEVIATION, MEAN, standardise
from mmjax.text.clip_bpe import Tokenizer
from mmjax.text.vocabulary import Vocabulary
from tests.made_clip import write_clip

WORDS = Vocabulary.from_words(
    ["<unk>", "a", "cat", "dog", "don't", "3d", "x&y", "ünder", "at", "cats"])


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
  return write_clip(shared, tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def given(folder):
  """Variables with a head for grammar, and the tokenizer."""
  return word_clip.read(folder / "tuned.npz", WORDS), Tokenizer(folder / "merges.txt")


def texts(count, longest, seed=0):
  """Numbers of random texts, with noise behind their ends; and the texts."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(0, longest + 1, count)
  tokens = rng.integers(3, len(WORDS), (count, longest))
  spell = lambda row, n: " ".join("unk" if w == "<unk>" else w for w in WORDS.decode(row[:n]))
  return tokens, lengths, [spell(row, n) for row, n in zip(tokens, lengths)]


@pytest.mark.parametrize("prompt", [False, True])
def test_pieces_are_those_of_the_joined_text(given, prompt):
  """Also where a text is cut, which the longest of these are."""
  variables, tokenizer = given
  model = word_clip.model_of(variables, prompt=prompt)
  tokens, lengths, written = texts(200, 12)
  rows = jax.jit(lambda *x: model.apply(variables, *x, method="rows"))(tokens, lengths)
  expected = tokenizer.rows([(PROMPT if prompt else "") + text for text in written], 40)
  np.testing.assert_array_equal(rows, expected)
  full = (expected != 0).all(1)
  assert full.any() and not full.all() and (lengths == 0).any()


def test_vectors_are_those_of_the_network(folder, given):
  variables, tokenizer = given
  model = word_clip.model_of(variables, prompt=True)
  tokens, lengths, written = texts(6, 4)
  rng = np.random.default_rng(1)
  images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
  valid = np.ones((2, 32, 32), bool)
  run = jax.jit(lambda *x: model.apply(variables, *x))
  seen, read, factor = run(images, valid, tokens.reshape(2, 3, 4), lengths.reshape(2, 3))
  assert read.vectors.shape == (2, 3, 32) and read.grammar.shape == (2, 3, 2)
  plain = clip.convert(read_arrays(folder / "plain.npz"))
  rows = tokenizer.rows([PROMPT + text for text in written], 40)
  standard = standardise(jnp.asarray(images))
  logits = jax.jit(clip.model_of(plain).apply)(plain, standard, rows)
  ours = factor * np.einsum("ie,te->it", seen, read.vectors.reshape(6, 32))
  np.testing.assert_allclose(ours, logits, atol=1e-4)

  head = [a for n, a in sorted(read_arrays(folder / "tuned.npz").items()) if "grammar" in n]
  states = model.apply(variables, rows, method=lambda m, x: m.textual(x))
  expected = np.maximum(np.asarray(states) @ head[0].T, 0) @ head[1].T
  np.testing.assert_allclose(read.grammar.reshape(6, 2), expected, rtol=1e-5, atol=1e-5)
  assert np.abs(expected[:, 1] - expected[:, 0]).max() > 1e-2


def sizes_of(variables, **changes):
  model = word_clip.model_of(variables, prompt=False)
  names = ("features", "picture_size", "image_width", "image_layers", "patch", "text_words",
           "text_width", "text_layers", "text_length", "pieces")  # fmt: skip
  return {name: getattr(model, name) for name in names} | changes


def target_of(variables, **changes):
  """Shapes of a new model, as `convert.load` wants them."""
  model = models.build("word_clip", len(WORDS), **sizes_of(variables, **changes))
  inputs = (jnp.zeros((1, 32, 32, 3), jnp.uint8), jnp.ones((1, 32, 32), bool),
            jnp.ones((1, 2), int), jnp.ones(1, int))  # fmt: skip
  shapes = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), *inputs))
  made = dict(jax.tree.map(lambda x: np.full(x.shape, 0.5, x.dtype), shapes))

  class Target:
    params, model_state = made.pop("params"), made

  return Target


def test_weights_to_start_from(folder, given):
  variables, _ = given
  room = variables["constants"]["pieces"].shape[1] + 2
  target = target_of(variables, pieces=room)
  load = lambda name, target: convert.load("word_clip", folder / name, {}, target, WORDS)
  tuned, plain = load("tuned.npz", target), load("plain.npz", target)
  assert tuned["constants"]["pieces"].shape == (len(WORDS) + 3, room)
  np.testing.assert_array_equal(
      tuned["params"]["grammar_out"]["kernel"], variables["params"]["grammar_out"]["kernel"])
  for name in word_clip.HEADS:  # of a CLIP that was never tuned it stays as it was born
    np.testing.assert_array_equal(
        plain["params"][name]["kernel"], target.params[name]["kernel"])
  few = target_of(variables, pieces=room - 3)
  with pytest.raises(WeightsError, match=f"a word has {room - 2} pieces: set config.model.pieces"):
    load("plain.npz", few)
  other = target_of(variables, text_layers=1)
  with pytest.raises(WeightsError, match=r"do not fit the model .*\n.*textual"):
    load("plain.npz", other)


def test_a_folder_of_the_hub_is_the_same(folder, given):
  safetensors = pytest.importorskip("safetensors.numpy", reason="pip install 'mmjax[hub]'")
  from tests.convert.test_clip import transformers_names

  state = transformers_names(dict(read_arrays(folder / "plain.npz")))
  (folder / "hub").mkdir()
  state = {k: v.copy(order="C") for k, v in state.items()}
  safetensors.save_file(state, folder / "hub" / "model.safetensors")
  (folder / "hub" / "merges.txt").write_bytes((folder / "merges.txt").read_bytes())
  found = word_clip.read(folder / "hub", WORDS)
  expected = word_clip.read(folder / "plain.npz", WORDS)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  assert not found["params"].keys() & {*word_clip.HEADS}


def test_the_residual_network_is_converted(shared, folder):
  arrays = read_arrays(shared / "golden" / "clip_resnet_small.npz")
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  variables = word_clip.convert(state) | {"constants": {"pieces": np.zeros((3, 1), np.int32)}}
  model = word_clip.model_of(variables, prompt=False)
  images = jnp.asarray(arrays["in/image"]).transpose(0, 2, 3, 1)
  pixels = images * jnp.array(DEVIATION) + jnp.array(MEAN)
  see = jax.jit(lambda x: model.apply(variables, x, method=lambda m, x: m.encoder(x)))
  np.testing.assert_allclose(see(255 * pixels)[:, 0, 0], arrays["out/image_features"], atol=1e-4)


def test_what_does_not_belong_together_is_named(folder, tmp_path):
  weights = tmp_path / "w.npz"
  weights.write_bytes((folder / "tuned.npz").read_bytes())
  with pytest.raises(WeightsError, match=r"has no merges.txt and no bpe_simple_vocab_16e6.txt.gz"):
    word_clip.read(weights, WORDS)
  (tmp_path / "merges.txt").write_text("header\na t</w>\n")
  with pytest.raises(WeightsError, match=r"makes 515 pieces, .* knows 516; give the merges that"):
    word_clip.read(weights, WORDS)
  (tmp_path / "merges.txt").write_text("header\na\n")
  with pytest.raises(WeightsError, match="not merges of CLIP's tokenizer"):
    word_clip.read(weights, WORDS)
  with pytest.raises(WeightsError, match=r"none\.pt: no such file or folder"):
    word_clip.read(tmp_path / "none.pt", WORDS)
  arrays = read_arrays(folder / "tuned.npz")
  arrays.pop("grammar_score_head.2.weight")
  with pytest.raises(WeightsError, match=r"grammar_score_head\.2\.weight is missing"):
    word_clip.convert(arrays)
