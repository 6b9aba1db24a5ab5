"""Folders of the hub: what is read, what is refused and how, and the way back."""

import json
import pickle
import shutil

import numpy as np
import pytest

from mmjax.convert import hub, parity
from mmjax.convert.hub import export
from mmjax.convert.hub.folder import HubError, read_state
from mmjax.convert.hub.generation import from_dicts
from mmjax.text.vocabulary import UnknownWordError
from tests.convert import made_hub

st = pytest.importorskip("safetensors.numpy", reason="pip install 'mmjax[hub]'")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  return made_hub.make_folder(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture
def folder(made, tmp_path):
  """A copy to spoil."""
  return shutil.copytree(made, tmp_path / "tiny")


def change(folder, name, **changes):
  path = folder / name
  made_hub.write_json(path, json.loads(path.read_text()) | changes)


def shard(folder, names):
  """Cuts the weights into files of these names, with an index."""
  state = st.load_file(folder / "model.safetensors")
  (folder / "model.safetensors").unlink()
  parts = {n: dict(list(sorted(state.items()))[i :: len(names)]) for i, n in enumerate(names)}
  for name, part in parts.items():
    st.save_file(part, folder / name)
  listed = {key: name for name, part in parts.items() for key in part}
  made_hub.write_json(folder / "model.safetensors.index.json", {"weight_map": listed})
  return state


def test_everything_of_a_folder(made):
  found = hub.read(made)
  assert found.preprocessing.canvas == (32, 32)
  words = found.vocabulary
  assert words.generation.beam == 2 and words.generation.start == words.generation.stop == (2,)
  assert len(words) == len(words.words) and words.words[2] == "</s>"
  numbers = words.encode(["a", "man", "riding", "a", "wave"])
  assert numbers[0] == words.begins[0] == 0  # as its texts were framed in training
  assert words.decode([*numbers, 2, 5, 5]) == ["a", "man", "riding", "a", "wave"]
  assert hub.read(made).vocabulary == words and hash(hub.read(made).vocabulary) == hash(words)


def test_formulas_are_cut_into_their_words(made):
  words = hub.read(made, formulas=True).vocabulary
  for text in made_hub.TEXTS[:2]:
    assert words.decode(words.encode(text.split())) == text.split()
  spaceless = words.tokenizer.encode(r"\frac{a}{b}", add_special_tokens=False).ids
  assert words.decode(spaceless) == [r"\frac", r"{", r"a", r"}", r"{", r"b", r"}"]


def test_a_tokenizer_that_cannot_write_formulas(made, folder):
  """One that knows lower-case words alone."""
  (folder / "tokenizer.json").unlink()
  known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "x", "frac"] + [f"w{i}" for i in range(285)]
  (folder / "vocab.txt").write_text("\n".join(known) + "\n")
  change(folder, "config.json", decoder=made_hub.config_for(len(known))["decoder"])
  words = hub.read(folder, formulas=True).vocabulary
  assert words.encode(["x"]) == [words.begins[0], 4]
  with pytest.raises(UnknownWordError, match=r"reads '\\\\frac x' back as"):
    words.encode([r"\frac", "x"])


def test_byte_pairs_from_two_files(folder):
  words = hub.read(folder).vocabulary
  words.tokenizer.model.save(str(folder))  # vocab.json, merges.txt
  (folder / "tokenizer.json").unlink()
  named = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
  made_hub.write_json(folder / "special_tokens_map.json", named)
  made_hub.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer"})
  again = hub.read(folder).vocabulary
  assert again.begins == words.begins == (0,) and again.words == words.words
  for text in made_hub.TEXTS:
    assert again.encode(text.split()) == words.encode(text.split())
  assert again.text([0, *again.encode(["x"]), 1]) == "x"  # specials are no text


def test_sentence_pieces_are_cut_as_sentencepiece_does(folder, tmp_path):
  pieces = pytest.importorskip("sentencepiece", reason="pip install 'mmjax[captions]'")
  (tmp_path / "text").write_text("\n".join(made_hub.TEXTS * 5))
  pieces.SentencePieceTrainer.train(
      input=str(tmp_path / "text"), model_prefix=str(tmp_path / "m"), vocab_size=40,
      minloglevel=9, character_coverage=1.0, hard_vocab_limit=False,
  )  # fmt: skip
  model = pieces.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
  (folder / "tokenizer.json").unlink()
  shutil.copy(tmp_path / "m.model", folder / "sentencepiece.bpe.model")
  change(folder, "config.json", decoder=made_hub.config_for(model.vocab_size() + 2)["decoder"])
  words = hub.read(folder).vocabulary
  for text in ("a man riding two dogs", "x ^ { 2 } = a", "dogs  play"):
    # fairseq's numbers: one more for all but the specials
    expected = [n + 1 if n else 3 for n in model.encode(text)]
    assert words.encode([text]) == [0, *expected] and words.begins == (0,)
    assert words.text([0, *expected, 2]) == model.decode(model.encode(text))


def test_the_way_back_is_exact(made, tmp_path):
  found = hub.read(made)
  export.write(found, found.variables(), tmp_path / "out")
  before, after = read_state(made), read_state(tmp_path / "out")
  assert before.keys() == after.keys()
  for name, array in before.items():
    assert after[name].dtype == array.dtype
    np.testing.assert_array_equal(after[name], array)
  for name in ("config.json", "generation_config.json", "preprocessor_config.json",
               "tokenizer.json"):  # fmt: skip
    assert (tmp_path / "out" / name).read_bytes() == (made / name).read_bytes()
  with pytest.raises(HubError, match="is there already"):
    export.write(found, found.variables(), tmp_path / "out")


def test_half_precision_comes_and_goes(made, folder, tmp_path):
  import ml_dtypes

  state = {k: v.astype(ml_dtypes.bfloat16) for k, v in read_state(made).items()}
  st.save_file(state, folder / "model.safetensors")
  change(folder, "config.json", torch_dtype="bfloat16")
  found = hub.read(folder)
  export.write(found, found.variables(), tmp_path / "out")
  after = read_state(tmp_path / "out")
  for name, array in state.items():
    assert after[name].dtype == array.dtype
    np.testing.assert_array_equal(after[name].view(np.uint16), array.view(np.uint16))


def test_shards(folder):
  names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
  state = shard(folder, names)
  found = read_state(folder)
  assert found.keys() == state.keys()
  assert all((found[k] == state[k]).all() for k in state)
  (folder / names[1]).unlink()
  with pytest.raises(HubError, match=f"lacks 1 of the 3 files of weights.*{names[1]}"):
    read_state(folder)


def test_pickles_are_read_when_told_so(folder):
  (folder / "model.safetensors").unlink()
  with open(folder / "pytorch_model.bin", "wb") as file:
    pickle.dump({"a": 1}, file)
  with pytest.raises(HubError, match=r"as a pickle alone.*config\.model\.unpickle=True"):
    read_state(folder)
  with pytest.raises(ValueError, match=r"not one of torch\.save"):
    read_state(folder, unpickle=True)


def remove(name):
  return lambda folder: (folder / name).unlink()


def cut(name, size):
  def spoil(folder):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: size or len(data) - 7])

  return spoil


def table_of(size):
  def spoil(folder):
    config = made_hub.config_for(size)
    made_hub.write_json(folder / "config.json", config)

  return spoil


FAULTS = {
    "no config": (remove("config.json"), r"config.json is missing \(there is .*download it"),
    "no weights": (remove("model.safetensors"), "model.safetensors is missing"),
    "no tokenizer": (remove("tokenizer.json"), "has no tokenizer: download tokenizer.json"),
    "no processor": (remove("preprocessor_config.json"), "says how pictures are scaled"),
    "cut weights": (cut("model.safetensors", 0), "model.safetensors: truncated or damaged"),
    "cut header": (cut("model.safetensors", 5), "model.safetensors: truncated or damaged"),
    "cut config": (cut("config.json", 40), "config.json: no JSON, truncated or damaged"),
    "cut tokenizer": (cut("tokenizer.json", 0), "the tokenizer cannot be read"),
    "another tokenizer": (table_of(200), "tokens, up to number 289; the model .* has 200"),
    "a larger table": (table_of(5000), "has 290 tokens.* has 5000: they are not of one model"),
    "unknown architecture": (
        lambda f: change(f, "config.json", model_type="kosmos-2"),
        "no architecture 'kosmos-2'; there are: .*blip",
    ),
    "nothing to start with": (
        lambda f: change(f, "generation_config.json", decoder_start_token_id=None),
        "start",
    ),
    "a rule not known": (
        lambda f: change(f, "generation_config.json", repetition_penalty=1.2),
        "repetition_penalty is 1.2",
    ),
    "pictures of another size": (
        lambda f: change(f, "preprocessor_config.json", size=64),
        "pictures of 64 x 64 .* model .* 32 x 32",
    ),
    "weights of another model": (
        lambda f: change(f, "config.json", encoder=made_hub.config_for(290)["encoder"]
                         | {"hidden_size": 32}),
        "tiny: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(folder, fault):
  spoil, message = FAULTS[fault]
  spoil(folder)
  with pytest.raises(HubError, match=message):
    hub.read(folder).variables()


def test_no_folder(tmp_path):
  with pytest.raises(HubError, match="no such folder"):
    hub.read(tmp_path / "none")


def test_old_configs_say_how_texts_are_searched_for():
  config = {
      "model_type": "vision-encoder-decoder",
      "eos_token_id": 5,
      "decoder": {"bos_token_id": 4, "eos_token_id": 9, "max_length": 30, "num_beams": 3},
  }
  rules = from_dicts(config, None)
  assert (rules.start, rules.stop, rules.beam, rules.max_length) == ((4,), (5,), 3, 30)
  # The library counts its default of 20 behind the start.
  given = {"decoder_start_token_id": 7, "eos_token_id": [1, 2], "bad_words_ids": [[3]]}
  rules = from_dicts(config, given)
  assert (rules.start, rules.stop, rules.words) == ((7,), (1, 2), 20)
  assert rules.suppressed == (3,)
  blip = {"model_type": "blip", "text_config": {"bos_token_id": 8, "sep_token_id": 6}}
  rules = from_dicts(blip, {"bos_token_id": 1, "eos_token_id": 2})
  assert (rules.start, rules.stop) == ((8,), (6,))


def test_what_parity_needs_is_named(made, monkeypatch, capsys):
  monkeypatch.setitem(__import__("sys").modules, "transformers", None)
  assert parity.main(["--hub", str(made)]) == 1
  assert "pip install torch transformers" in capsys.readouterr().err
