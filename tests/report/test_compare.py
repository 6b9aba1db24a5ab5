import json
import re

import pytest
from html5 import Checked

from mmjax.metrics.exprate import per_sample
from mmjax.report import compare

REFERENCES = {"p": r"\frac { a } { b }", "q": "x ^ { 2 }", "<r>": "x + y"}
CAPTIONS = {"p": ["a dog runs", "dogs run", "the dog"], "q": ["a cat", "cats", "one cat"]}


def run(folder, config, rows, scores, splits=("validation",), losses=(3.0, 2.0)):
  """A workdir as training and evaluation leave it."""
  for split in splits:
    (folder / "evaluate" / split).mkdir(parents=True)
    lines = folder / "evaluate" / split / "predictions.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "evaluate" / split / "scores.json").write_text(json.dumps(scores))
  (folder / "run.json").write_text(json.dumps({"config": config}))
  metrics = [{"step": i, "train/loss": v, "validation/loss": v} for i, v in enumerate(losses)]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in metrics))
  return folder


def formulas(folder, hypotheses, exprate, **kwargs):
  config = {"model": {"name": "bttr"}, "data": {"name": "crohme"}}
  rows = [
    {"id": id, "reference": REFERENCES[id], "hypothesis": text}
    | per_sample(None if text is None else text.split(), REFERENCES[id].split())
    for id, text in hypotheses.items()]
  scores = {"exprate": exprate, "ser": 1 - exprate, "pictures": 3, "dropped": 0, "step": 9}
  return run(folder, config, rows, scores, **kwargs)


def captions(folder, hypotheses, ciders, **data):
  data = {"name": "flickr8k", "texts": "references", "language": "en"} | data
  rows = [{"id": id, "references": CAPTIONS[id], "hypothesis": text, "cider": cider}
          for (id, text), cider in zip(hypotheses.items(), ciders)]
  scores = {"bleu_1": 0.5, "cider": sum(ciders) / len(ciders), "cider_d": 1.0, "pictures": 2}
  return run(folder, {"model": {"name": "sat"}, "data": data}, rows, scores)


@pytest.fixture
def two(tmp_path):
  first = {"p": r"\frac { a } { b }", "q": "x _ { 2 }", "<r>": "x + y"}
  second = {"p": r"\frac { a } { 6 }", "q": "x ^ { 2 }", "<r>": None}
  splits = ("test", "validation")
  return (formulas(tmp_path / "one", first, 2 / 3, splits=splits),
          formulas(tmp_path / "two", second, 1 / 3, splits=splits))


@pytest.fixture
def page(tmp_path):
  """Compares workdirs by the command; the page, once its tags balance."""
  def write(*workdirs, flags=()):
    path = tmp_path / "new" / "page.html"
    assert compare.main([*map(str, workdirs), f"--output={path}", *flags]) == 0
    text = path.read_text(encoding="utf-8")
    assert not Checked(text).open_tags
    assert all(u.startswith(("data:", "#")) for u in re.findall(r'(?:src|href)="(.*?)"', text))
    return text

  return write


def cells(text, row):
  """The cells of the first row of that name."""
  found = re.search(f'<th scope="row">{re.escape(row)}</th>(.*?)</tr>', text)
  return re.findall("<td>(.*?)</td>", found[1])


def test_scores_and_curves_stand_side_by_side(page, two):
  text = page(*two)
  assert cells(text, "ExpRate") == ["<strong>66.67 %</strong>", "33.33 %"]
  assert cells(text, "Symbol error rate") == ["<strong>33.33 %</strong>", "66.67 %"]
  assert text.index("<h3>validation</h3>") < text.index("<h3>test</h3>")
  assert text.count("<polyline") == 4 and "one 2<" in text and "two 2<" in text
  assert "bttr on crohme" in text and "samples and errors: validation" in text
  assert "samples and errors: test" in page(*two, flags=["--split=test"])


def test_errors_of_formulas_by_structure_by_length_and_by_token(page, two):
  text = page(*two)
  assert cells(text, "fraction") == ["1", "100.00 %", "0.00 %"]
  assert cells(text, "superscript") == ["1", "0.00 %", "100.00 %"]
  assert cells(text, "no structure") == ["1", "100.00 %", "0.00 %"]
  assert cells(text, "1 to 5 tokens") == ["2", "50.00 %", "50.00 %"]
  assert cells(text, "<code>^</code> → <code>_</code>") == ["1", "0"]
  assert cells(text, "<code>b</code> → <code>6</code>") == ["0", "1"]
  assert cells(text, "<code>+</code>") == ["0", "1"]  # left out: the picture was dropped


def test_samples_come_by_how_much_the_runs_differ(page, two):
  text = page(*two)
  shown = re.findall('<article class="card compared"><h3>(.*?)</h3>', text)
  assert shown == ["&lt;r&gt;", "q", "p"]  # 3 of 3 tokens, 1 of 5, 1 of 7
  card = text[text.index("<h3>&lt;r&gt;") :]
  assert card.index("one <span") < card.index("two <span") and "3 errors" in card
  assert 'class="print"' in text


def test_captions_are_compared_by_their_words(page, tmp_path):
  one = captions(tmp_path / "one", {"p": "a dog runs", "q": "a dog"}, [1.5, 0.25])
  two = captions(tmp_path / "two", {"p": "a red cat <unk>", "q": "a dog"}, [0.5, 0.25])
  text = page(one, two)
  assert cells(text, "CIDEr") == ["<strong>87.5</strong>", "37.5"] and "cider d" not in text
  assert cells(text, "BLEU-1") == ["50.0", "50.0"]
  assert cells(text, "nouns") == ["1", "2"] and cells(text, "colours") == ["0", "1"]
  assert cells(text, "other") == ["0", "1"]  # <unk>
  assert text.count("<article") == 1 and "CIDEr 150.0" in text and "dogs run" in text


def test_captions_in_two_languages_have_scores_alone(page, tmp_path):
  one = captions(tmp_path / "one", {"p": "a dog runs"}, [1.5])
  two = captions(tmp_path / "two", {"q": "一只狗"}, [0.5], language="zh")
  text = page(one, two)
  assert "share no picture with the same references" in text and "<article" not in text
  assert cells(text, "CIDEr") == ["<strong>150.0</strong>", "50.0"]


def test_runs_in_folders_of_one_name_are_told_apart(page, two, tmp_path):
  (tmp_path / "b").mkdir()
  other = two[1].rename(tmp_path / "b" / "one")
  text = page(two[0], other)
  assert str(two[0]) in text and str(other) in text


@pytest.mark.parametrize("damage, message", [
  (lambda one, two: (one / "run.json").unlink(), "one/run.json is missing; train first"),
  (lambda one, two: (two / "evaluate/validation/predictions.jsonl").write_text("{"), "is damaged"),
  (lambda one, two: (two / "evaluate/validation/predictions.jsonl").unlink(), "evaluate again"),
  (lambda one, two: (two / "evaluate").rename(two / "x"),
   "two holds no evaluation; run python -m mmjax.main --workdir="),
])
def test_what_is_missing_is_named(two, tmp_path, capsys, damage, message):
  damage(*two)
  assert compare.main([*map(str, two), f"--output={tmp_path / 'page.html'}"]) == 2
  said = capsys.readouterr().err
  assert said.startswith("error: ") and message in said
  assert not (tmp_path / "page.html").exists()


def test_runs_that_cannot_be_compared_are_refused(two, tmp_path, capsys):
  out = f"--output={tmp_path / 'page.html'}"
  assert compare.main([str(two[0]), out]) == 2
  assert "two or more runs, each once" in capsys.readouterr().err
  assert compare.main([*map(str, two), out, "--split=train"]) == 2
  assert "no evaluation of 'train', only of test, validation" in capsys.readouterr().err
  three = captions(tmp_path / "three", {"p": "a dog"}, [0.5])
  assert compare.main([str(two[0]), str(three), out]) == 2
  assert "three write captions, the others formulas" in capsys.readouterr().err
