"""Captions by the nearest sentence."""

import json

import captions_set
import numpy as np
import pytest

from data_pipelines import datasets
from mmjax.infer.nearest_sentence import Corpus, Weights, main
from mmjax.metrics.files import read_hypotheses, read_references
from mmjax.text.concepts import Concept

SENTENCES = [s.split() for s in (
    "a woman with two dogs on the grass",
    "a dog on the grass",
    "a man on a horse on the grass",
    "a red frisbee on the grass",
    "the grass",
)]  # fmt: skip
WORDS = ("person", "dog", "horse", "frisbee")


def nearest(*scores, unseen=0.1, common=0.0):
  seen = [Concept(w, s, i) for i, (w, s) in enumerate(zip(WORDS, scores)) if s]
  ((number, score),) = Corpus(SENTENCES, WORDS, "en").nearest([seen], Weights(unseen, common))
  return number, round(score, 6)


def test_what_sentences_name():
  corpus = Corpus(SENTENCES, WORDS, "en")
  named = [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
  np.testing.assert_array_equal(corpus.named, np.array(named, bool))
  grass = np.log(5 / 29)  # of 29 words "the" and "grass" are 5 each
  assert corpus.common[4] == pytest.approx(grass, abs=1e-5)


def test_the_sentence_that_says_most():
  assert nearest(0.9, 0.8, 0, 0) == (0, 1.7)
  assert nearest(0, 0.8, 0, 0) == (1, 0.8)  # no woman was seen
  assert nearest(0.9, 0, 0.2, 0) == (2, 1.1)
  assert nearest(0.1, 0, 0, 0.9) == (3, 0.9)
  assert nearest(0, 0, 0, 0) == (4, 0.0)


def test_what_nobody_saw_costs():
  assert nearest(0.9, 0, 0, 0, unseen=0.1)[0] == 0
  assert nearest(0.1, 0.3, 0, 0.35, unseen=0)[0] == 0
  assert nearest(0, 0.3, 0, 0.35, unseen=0)[0] == 3
  assert nearest(0.05, 0, 0, 0, unseen=0.1) == (4, 0.0)


def test_of_equal_sentences_the_common_one():
  alike = [s.split() for s in ("dog zebra", "a dog", "a cow", "a cow")]
  corpus = Corpus(alike, ("dog",), "en")
  seen = [[Concept("dog", 0.5, 0)]] * 300  # more than are compared at once
  assert list(corpus.nearest(seen, Weights(0.1, 0.01))) == [(1, 0.5)] * 300
  assert list(corpus.nearest(seen[:1], Weights(0.1, 0.0))) == [(0, 0.5)]


def test_chinese_sentences():
  sentences = [["两只", "小狗"], ["一个", "女孩"]]
  corpus = Corpus(sentences, ("dog", "person"), "zh")
  np.testing.assert_array_equal(corpus.named, [[True, False], [False, True]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A data set of pictures whose captions name animals, a corpus, and what was seen."""
  patch = pytest.MonkeyPatch()
  patch.setitem(datasets.DATASETS, "captioned", captions_set.ROW)
  folder = tmp_path_factory.mktemp("nearest")
  captions_set.Captioned(data_dir=folder, file_format="array_record").download_and_prepare()
  texts = [f"One {n} runs over the very green grass today." for n in captions_set.NOUNS]
  (folder / "corpus.txt").write_text("\n".join([*texts, "A dog."]))
  rows = [{"id": f"validation-{i}", "objects": [
      {"label": captions_set.NOUNS[i % 4], "score": 0.7, "class": i % 4}]} for i in range(7)]
  (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
  yield folder
  patch.undo()


def arguments(folder, **changes):
  given = {"data": "captioned", "data_dir": folder, "split": "validation",
           "concepts": folder / "d.jsonl", "corpus": folder / "corpus.txt",
           "output": folder / "out.jsonl"}  # fmt: skip
  return [f"--{name}={value}" for name, value in (given | changes).items()]


def test_the_output_is_what_metrics_read(folder, capsys):
  assert main(arguments(folder)) == 0
  assert "7 pictures, 4 sentences" in capsys.readouterr().out
  written = read_hypotheses(folder / "out.jsonl").texts
  assert written == {f"validation-{i}": [
      f"one {captions_set.NOUNS[i % 4]} runs over the very green grass today"] for i in range(7)}
  references = read_references(folder / "out.jsonl").texts
  assert references["validation-3"] == list(captions_set.texts_of(3))


def test_bad_input_is_refused(folder, capsys, tmp_path):
  (tmp_path / "cut").write_text((folder / "d.jsonl").read_text()[:-20])
  for changes, message in (
      ({"split": "train"}, "no detections of 24 of 24 pictures of captioned/train, the first: t"),
      ({"split": "test"}, "no split 'test'"),
      ({"concepts": tmp_path / "cut"}, "cut, line 7: not JSON"),
      ({"corpus": tmp_path / "none"}, "none: no such file"),
      ({"max_words": 8}, "no sentence of 8 to 8 words"),
      ({"data": "else"}, "else"),
  ):
    assert main(arguments(folder, **changes)) == 2
    assert message in capsys.readouterr().err
  assert main(arguments(folder, output=tmp_path / "none" / "out")) == 1
