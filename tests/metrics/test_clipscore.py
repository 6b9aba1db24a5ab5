"""CLIPScore by its definition, on vectors of a real CLIP with random weights."""

import json

import numpy as np
import pytest

from mmjax.metrics.__main__ import main
from mmjax.metrics.clipscore import Embeddings, measure, scores


@pytest.fixture(scope="module")
def recorded(shared):
  """Vectors of three pictures and three sentences, by the reference network."""
  arrays = np.load(shared / "golden" / "clip_vit_small.npz")
  return arrays["out/image_features"], arrays["out/text_features"], np.exp(
      arrays["state/logit_scale"]), arrays["out/logits_per_image"]


def test_the_cosine_is_that_of_the_network(recorded):
  """The network's own logits are scaled cosines of every picture with every sentence."""
  images, texts, scale, logits = recorded
  for i in range(3):
    for j in range(3):
      expected = 2.5 * max(logits[i, j] / scale, 0)
      assert scores(images[i], texts[j], texts)["clipscore"] == pytest.approx(expected, abs=1e-6)


def test_references_by_definition(recorded):
  images, texts, _, logits = recorded
  i, j = np.unravel_index(logits.argmax(), logits.shape)
  others = np.delete(texts, j, 0)
  found = scores(images[i], texts[j], others)
  cosines = [t @ texts[j] / np.linalg.norm(t) / np.linalg.norm(texts[j]) for t in others]
  near = max(*cosines, 0)
  a = found["clipscore"]
  assert a > 0
  assert found["refclipscore"] == pytest.approx(2 * a * near / (a + near))
  assert found["refclipscore_reward"] == pytest.approx(5 * a * near / (a + 2.5 * near))
  own = scores(images[i], texts[j], texts)  # the caption is among its references: near = 1
  assert own["refclipscore"] == pytest.approx(2 * a / (a + 1))
  assert own["refclipscore_reward"] == pytest.approx(5 * a / (a + 2.5))


@pytest.mark.parametrize("degrees, reference, clip, ref, reward", [
  (60, 60, 1.25, 2 * 1.25 / 2.25, 2 * 1.25 * 2.5 / 3.75),
  (120, 120, 0, 0, 0),
  (0, 60, 2.5, 2 * 2.5 * 0.5 / 3, 2 * 2.5 * 1.25 / 3.75),
])
def test_angles(degrees, reference, clip, ref, reward):
  at = lambda angle: np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
  found = scores(3 * at(0), 7 * at(degrees), np.stack([at(180), 2 * at(reference)]))
  assert found == pytest.approx(
      {"clipscore": clip, "refclipscore": ref, "refclipscore_reward": reward}, abs=1e-12)


@pytest.fixture
def files(recorded, tmp_path):
  images, texts, *_ = recorded
  pictures = dict(zip("abc", images))
  Embeddings(pictures, dict(zip(("one", "two", "three"), texts))).save(tmp_path / "e.npz")
  (tmp_path / "r").write_text(json.dumps({"a": ["one", "two"], "b": "three", "c": "two"}))
  (tmp_path / "h").write_text(json.dumps({"a": "one ", "b": "two", "c": "two"}))
  return tmp_path


def test_the_command(files, recorded, capsys):
  images, texts, *_ = recorded
  arguments = [f"--refs={files}/r", f"--hyps={files}/h", "--metrics=clipscore", "--json"]
  assert main([*arguments, f"--clip_embeddings={files}/e.npz"]) == 0
  found = json.loads(capsys.readouterr().out)
  expected = [
      scores(images[0], texts[0], texts[:2]), scores(images[1], texts[1], texts[2:]),
      scores(images[2], texts[1], texts[1:2])]
  for name in ("clipscore", "refclipscore", "refclipscore_reward"):
    assert found[name] == pytest.approx(np.mean([row[name] for row in expected]), rel=1e-6)
    assert len(found["intervals"][name]) == 2
  assert main(arguments[:-1]) == 1
  assert "clipscore not available: give --clip_embeddings=FILE" in capsys.readouterr().out


def test_what_is_missing_is_named(files, capsys):
  np.savez(files / "no.npz", texts=["one"])
  base = [f"--hyps={files}/h", "--metrics=clipscore"]
  (files / "other").write_text(json.dumps({"a": ["four"], "b": "three", "c": "two"}))
  for file, refs, message in (
      ("e.npz", "other", "1 texts have no vector in --clip_embeddings, the first: 'four'"),
      ("none.npz", "r", "none.npz: no such file"),
      ("no.npz", "r", "no.npz: not an .npz of pictures, picture_features"),
      ("r", "r", "r: not an .npz of pictures"),
  ):
    code = main([*base, f"--refs={files}/{refs}", f"--clip_embeddings={files}/{file}"])
    assert code == 2 and message in capsys.readouterr().err
  with pytest.raises(ValueError, match="1 pictures have no vector"):
    measure([["one"]], ["one"], ids=["z"], clip_embeddings=Embeddings.load(files / "e.npz"))
  np.savez(files / "bad.npz", pictures=["a"], picture_features=np.ones((1, 3)), texts=["one"],
           text_features=np.ones((1, 4)))  # fmt: skip
  with pytest.raises(ValueError, match=r"1 pictures with features \(1, 3\), 1 texts with \(1, 4\)"):
    Embeddings.load(files / "bad.npz")
