"""Pictures and captions to vectors, and on to CLIPScore, with a small CLIP of random weights."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mmjax.convert.arrays import read_arrays
from mmjax.convert.clip import convert, model_of
from mmjax.infer.embed import find_pictures, main, square
from mmjax.infer.pictures import PictureError
from mmjax.metrics.__main__ import main as metrics
from mmjax.metrics.clipscore import PROMPT, Embeddings
from mmjax.modules.clip import standardise
from mmjax.text.clip_bpe import Tokenizer

REFERENCES = {"7": ["a dog", "one dog"], "cat": ["a cat"]}
HYPOTHESES = {"7": "a dog ", "cat": "two cats"}


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
  """Weights, merges, pictures, references and hypotheses."""
  folder = tmp_path_factory.mktemp("embed")
  (folder / "merges").write_text("header\na t</w>\nd o\n")
  arrays = read_arrays(shared / "golden" / "clip_vit_small.npz")
  state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
  rng = np.random.default_rng(0)
  state["token_embedding.weight"] = rng.normal(0, 0.5, (516, 64)).astype(np.float32)
  state["positional_embedding"] = rng.normal(0, 0.1, (40, 64)).astype(np.float32)
  np.savez(folder / "clip.npz", **state)
  (folder / "images").mkdir()
  for name, size in (("COCO_val2014_000000000007.jpg", (60, 40)), ("cat.png", (32, 50))):
    pixels = rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images" / name)
  (folder / "r").write_text(json.dumps(REFERENCES))
  (folder / "h").write_text(json.dumps(HYPOTHESES))
  return folder


def arguments(folder, **changes):
  given = {"clip": folder / "clip.npz", "merges": folder / "merges", "images": folder / "images",
           "refs": folder / "r", "hyps": folder / "h", "out": folder / "e.npz"}  # fmt: skip
  return [f"--{name}={value}" for name, value in (given | changes).items()]


def cosine(a, b):
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_vectors_and_scores(folder, capsys):
  assert main([*arguments(folder), "--batch=2"]) == 0
  assert "2 pictures and 4 texts in" in capsys.readouterr().out
  found = Embeddings.load(folder / "e.npz")
  assert found.pictures.keys() == {"7", "cat"}
  assert found.texts.keys() == {"a dog", "one dog", "a cat", "two cats"}

  variables = convert(read_arrays(folder / "clip.npz"))
  tokens = Tokenizer(folder / "merges").rows([PROMPT + text for text in found.texts], 40)
  load = lambda name: square(np.asarray(Image.open(folder / "images" / name)), 32)
  images = np.stack([load("COCO_val2014_000000000007.jpg"), load("cat.png")])
  logits = jax.jit(model_of(variables).apply)(variables, standardise(jnp.asarray(images)), tokens)
  expected = np.asarray(logits) / np.exp(variables["params"]["logit_scale"])
  for i, seen in enumerate(found.pictures.values()):
    for j, text in enumerate(found.texts.values()):
      assert cosine(seen, text) == pytest.approx(expected[i, j], abs=1e-5)

  assert metrics([f"--refs={folder}/r", f"--hyps={folder}/h", "--metrics=clipscore", "--json",
                  f"--clip_embeddings={folder}/e.npz"]) == 0  # fmt: skip
  scores = json.loads(capsys.readouterr().out)
  expected = [max(cosine(found.pictures[k], found.texts[HYPOTHESES[k].strip()]), 0) * 2.5
              for k in HYPOTHESES]  # fmt: skip
  assert scores["clipscore"] == pytest.approx(np.mean(expected))


def test_the_middle_square():
  pixels = np.zeros((40, 80, 3), np.uint8)
  pixels[:, 20:60] = 200  # the middle
  assert square(pixels, 40).shape == (40, 40, 3) and (square(pixels, 40) == 200).all()
  assert square(pixels, 10).shape == (10, 10, 3) and square(pixels, 10)[:, 1:-1].min() > 190
  assert square(pixels.swapaxes(0, 1)[:50], 16).shape == (16, 16, 3)


def test_pictures_are_found_by_id(folder):
  found = find_pictures(folder / "images", ["7", "cat"])
  assert [p.name for p in found.values()] == ["COCO_val2014_000000000007.jpg", "cat.png"]
  assert find_pictures(folder / "images", ["cat.png"]) == {"cat.png": found["cat"]}
  with pytest.raises(PictureError, match="has no picture of 2 ids, the first: 8"):
    find_pictures(folder / "images", ["8", "cat", "dog"])


def test_bad_input_is_refused(folder, capsys, tmp_path):
  (tmp_path / "more").write_text("header\na t</w>\nd o\ndo g</w>\n")
  (tmp_path / "h").write_text(json.dumps({"q": "a"}))
  for changes, message in (
      ({"clip": folder / "h"}, "not a checkpoint"),
      ({"merges": tmp_path / "more"}, "makes 517 words, "),
      ({"merges": tmp_path / "none"}, "merges of CLIP's tokenizer cannot be read"),
      ({"hyps": tmp_path / "h"}, "has no picture of 1 ids, the first: q"),
      ({"refs": tmp_path / "none"}, "no such file"),
  ):
    assert main(arguments(folder, **changes)) == 2
    assert message in capsys.readouterr().err
