import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from html5 import Checked
from PIL import Image, ImageDraw

from mmjax import api

BAD = {
    "bomb.png": "decompression bomb",
    "empty.png": "empty",
    "text.png": "a text file",
    "truncated.png": "truncated",
}
SAME = ("alpha.png", "deep.png", "good.png", "moving.gif", "moving.png")  # all show `drawn()`


def drawn(mode="L", paper=255, ink=0, size=(96, 48)) -> Image.Image:
  image = Image.new(mode, size, paper)
  draw = ImageDraw.Draw(image)
  draw.line((10, 10, 30, 38), fill=ink, width=3)
  draw.line((30, 10, 10, 38), fill=ink, width=3)
  draw.line((50, 24, 80, 24), fill=ink, width=3)
  return image


def bomb() -> bytes:
  """A PNG that says it has 90,000 x 90,000 pixels."""
  chunk = lambda kind, data: (
      struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
  )
  header = struct.pack(">IIBBBBB", 90_000, 90_000, 8, 0, 0, 0, 0)
  body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
  """Pictures as users have them, good and bad."""
  f = tmp_path_factory.mktemp("pictures")
  drawn().save(f / "good.png")
  drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)).save(f / "alpha.png")
  drawn("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)).save(f / "cmyk.jpg", quality=95)
  Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257).save(f / "deep.png")
  for name in ("moving.gif", "moving.png"):
    drawn().save(f / name, save_all=True, append_images=[drawn(paper=200)])
  drawn(size=(1, 1)).save(f / "one.png")
  drawn(size=(20_000, 20)).save(f / "wide.png")
  (f / "bomb.png").write_bytes(bomb())
  (f / "empty.png").write_bytes(b"")
  (f / "text.png").write_text("this is no picture\n")
  whole = (f / "good.png").read_bytes()
  (f / "truncated.png").write_bytes(whole[: len(whole) // 2])
  return f


@pytest.fixture(scope="module")
def predictor(trained):
  return api.load_predictor(trained)


@pytest.fixture(scope="module")
def answers(predictor, folder) -> dict:
  paths = sorted(folder.iterdir())
  return {p.name: a for p, a in zip(paths, predictor.predict(paths))}


def test_every_good_picture_is_answered_and_every_bad_one_named(answers, folder):
  for name, answer in answers.items():
    if name in BAD:
      assert answer.error.startswith(f"{folder / name}: ") and BAD[name] in answer.error
      assert answer.text == "" and answer.score == float("-inf")
    else:
      assert answer.error == "" and np.isfinite(answer.score)


def test_the_kind_of_file_does_not_change_the_answer(answers):
  for name in SAME:
    assert answers[name].words == answers["good.png"].words
    assert answers[name].score == pytest.approx(answers["good.png"].score, abs=1e-5)


def test_a_picture_has_the_same_answer_alone_and_among_others(answers, predictor, folder):
  (alone,) = predictor.predict([folder / "good.png"])
  assert alone.words == answers["good.png"].words
  assert alone.score == pytest.approx(answers["good.png"].score, abs=1e-4)


def test_arrays_images_and_bytes(answers, predictor, folder):
  image = drawn()
  forms = [image, np.asarray(image), 255 - np.asarray(image), (folder / "good.png").read_bytes()]
  # As many pictures as in `folder`, hence the same compiled shapes.
  out = predictor.predict([*forms, *[folder / "wide.png"] * 4, b"no picture"])
  assert "not a picture" in out[-1].error or "a text file" in out[-1].error
  for answer in out[:4]:
    assert answer.words == answers["good.png"].words
    assert answer.score == pytest.approx(answers["good.png"].score, abs=1e-4)


def test_photographs_are_shrunk_to_the_area_of_training(predictor, folder):
  large = drawn(size=(96, 48)).resize((96 * 40, 48 * 40))
  small = predictor._at_most(np.asarray(large))
  most = predictor.config.data.max_area
  assert 0.95 * most < small.size <= 1.05 * most
  assert small.shape[1] / small.shape[0] == pytest.approx(2, rel=0.02)
  assert predictor._at_most(np.asarray(drawn())).shape == (48, 96)


def test_the_command_prints_answers_and_problems_apart(
    trained, tiny_config, folder, answers, capsys, tmp_path
):
  missing = tmp_path / "missing.png"
  files = tmp_path / "files"
  code = api.print_predictions(tiny_config, trained, [f"{folder},{missing}"], output=files)
  out, err = capsys.readouterr()
  assert code == 1
  lines = [line.split("\t") for line in out.splitlines()]
  good = [n for n in answers if n not in BAD]
  assert [Path(path).name for path, _, _ in lines] == good
  for path, score, text in lines:
    answer = answers[Path(path).name]
    assert (score, text) == (f"{answer.score:.4f}", answer.text)
  *problems, first, second = err.splitlines()
  assert len(problems) == len(BAD) + 1 and all(p.startswith("error: ") for p in problems)
  assert f"error: {missing}: no such file; check the path" in problems
  assert (first, second) == (
      f"predictions: {files / 'predictions.jsonl'}", f"page: {files / 'index.html'}")  # fmt: skip

  rows = [json.loads(line) for line in (files / "predictions.jsonl").read_text().splitlines()]
  assert [Path(r["file"]).name for r in rows] == [*answers, "missing.png"]
  for row in rows:
    if "error" in row:
      assert row.keys() == {"file", "error"} and f"error: {row['error']}" in problems
      continue
    answer = answers[Path(row["file"]).name]
    assert (row["text"], row["score"]) == (answer.text, pytest.approx(answer.score, abs=1e-4))
    assert [o["text"] for o in row["others"]] == [text for text, _ in answer.others]

  page = (files / "index.html").read_text()
  assert not Checked(page).open_tags
  assert page.count("<article") == len(rows) and page.count(">not read<") == len(problems)
  assert page.count('<details class="attention"') == len(good)
  assert f"{len(rows)} pictures, {len(problems)} of them could not be read" in page
  assert "no such file; check the path" in page and "Formulas by bttr, trained on synthetic" in page


def test_the_files_lie_in_the_workdir_unless_told_otherwise(
    trained, tiny_config, folder, capsys, tmp_path
):
  copy = shutil.copytree(trained, tmp_path / "run")
  assert api.print_predictions(tiny_config, copy, [str(folder / "good.png")]) == 0
  capsys.readouterr()
  assert {p.name for p in (copy / "predict").iterdir()} == {"predictions.jsonl", "index.html"}
  (tmp_path / "file").touch()
  with pytest.raises(FileExistsError):
    api.print_predictions(tiny_config, copy, [str(folder / "good.png")], output=tmp_path / "file")
  assert capsys.readouterr().out == ""  # said before pictures are read


def test_nothing_to_read_is_an_error(trained, tiny_config, tmp_path):
  with pytest.raises(api.PictureError, match="no picture in"):
    api.print_predictions(tiny_config, trained, [str(tmp_path)])
  assert api.load_predictor(trained).predict([]) == []
