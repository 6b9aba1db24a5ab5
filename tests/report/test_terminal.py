import json

from mmjax.report.terminal import samples


def written(folder, rows):
  path = folder / "predictions.jsonl"
  path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
  return path


def test_formulas_show_what_was_read_if_it_is_wrong(tmp_path):
  rows = [{"reference": "x", "hypothesis": "x", "distance": 0},
          {"reference": "y", "hypothesis": "z", "distance": 1},
          {"reference": "w", "hypothesis": None, "distance": 1}]
  assert samples(written(tmp_path, rows)).splitlines() == [
    "right  x", "WRONG  y", "   read  z", "WRONG  w", "   read  (dropped)"]


def test_captions_show_their_score_and_one_by_people(tmp_path):
  rows = [{"references": ["a dog", "dogs"], "hypothesis": "a cat", "cider": 1.234},
          {"reference": "一只狗", "hypothesis": None, "cider": 0.0},
          {"references": ["a"], "hypothesis": "b", "bleu_4": 0.5}]
  lines = samples(written(tmp_path, rows)).splitlines()
  assert [line.split() for line in lines] == [
    ["CIDEr", "123.4", "a", "cat"], ["by", "people", "a", "dog"],
    ["CIDEr", "0.0", "(dropped)"], ["by", "people", "一只狗"], ["b"], ["by", "people", "a"]]


def test_samples_are_spread_evenly(tmp_path):
  rows = [{"reference": str(i), "hypothesis": str(i), "distance": 0} for i in range(100)]
  shown = samples(written(tmp_path, rows), count=4).splitlines()
  assert shown == ["right  12", "right  37", "right  62", "right  87"]


def test_what_writes_no_texts_shows_none(tmp_path):
  assert samples(written(tmp_path, [{"references": ["a"], "cosines": [0.5]}])) == ""
