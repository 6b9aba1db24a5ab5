"""Sentences without pictures."""

import gzip
import hashlib
import json

import pytest

from mmjax.text import corpus
from mmjax.text.corpus import CorpusError
from mmjax.text.vocabulary import Vocabulary

TEXT = """Two dogs and three women play with glasses on a naïve beach.
A short one.

Two dogs and three women play with glasses on a naïve beach.
COCO_1#0\tThe children's dogs are on the beach with two buses
"""
FIRST, SECOND = (text.split() for text in (
    "two dog and three woman play with glasses on a naive beach",
    "the childrens dog are on the beach with two buses",
))  # fmt: skip
CONCEPTS = ("dog", "woman", "glass", "glasses", "zebra")


def in_forms(folder):
  """The same sentences in each form that is read."""
  (folder / "plain.txt").write_text(TEXT)
  (folder / "packed.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
  lines = [line.rpartition("\t")[2] for line in TEXT.split("\n")]
  rows = {"images": [], "annotations": [{"image_id": 1, "caption": line} for line in lines]}
  (folder / "coco.json").write_text(json.dumps(rows))
  (folder / "coco.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
  crawled = folder / "crawled"
  crawled.mkdir()
  (crawled / "0000.json").write_text(json.dumps({"1": [{"description": "\n".join(lines[:3])}]}))
  (crawled / "0001.json").write_text(json.dumps({"1": [], "2": [{"description": lines[4]}, {}]}))
  return [*folder.iterdir()]


def test_every_form_gives_the_same_words(tmp_path):
  paths = in_forms(tmp_path)
  assert len(paths) == 5
  for path in paths:
    assert corpus.read(path, "en", concepts=CONCEPTS) == [FIRST, SECOND], path


def test_short_sentences_are_left_out(tmp_path):
  (tmp_path / "c").write_text(TEXT)
  assert ["a", "short", "one"] in corpus.read(tmp_path / "c", "en", min_words=3)
  assert len(corpus.read(tmp_path / "c", "en", min_words=12)) == 1
  with pytest.raises(CorpusError, match="no sentence of 13 words or more; lower min_words"):
    corpus.read(tmp_path / "c", "en", min_words=13)


def test_plurals_stay_without_concepts_and_in_chinese(tmp_path):
  (tmp_path / "c").write_text(TEXT)
  assert corpus.read(tmp_path / "c", "en")[0][:2] == ["two", "dogs"]
  (tmp_path / "zh").write_text("1#0\t一个男人和两只dogs在海滩上玩。\n")
  (sentence,) = corpus.read(tmp_path / "zh", "zh", concepts=("dog", "男人"), min_words=5)
  assert "".join(sentence) == "一个男人和两只dogs在海滩上玩" and "男人" in sentence


def test_sentences_of_unknown_words_are_left_out(tmp_path):
  (tmp_path / "c").write_text(TEXT)
  words = Vocabulary(("<unk>", *dict.fromkeys(SECOND[2:] + SECOND[:1])))  # lacks 1 of 10 words
  read = lambda share: corpus.read(tmp_path / "c", "en", concepts=CONCEPTS, vocabulary=words,
                                   max_unknown=share)  # fmt: skip
  assert read(0.15) == read(0.1) == [SECOND]
  with pytest.raises(CorpusError, match="of all 2 sentences more than 9% of the words are unknown"):
    read(0.09)


def test_a_vocabulary_has_frequent_words_and_all_concepts():
  sentences = [["a", "dog", "a"], ["the", "dog", "<unk>", "<eos>"], ["the", "b"]]
  words = corpus.vocabulary_of(sentences, ("zebra", "b", "dog"), 2).words
  assert words == ("<unk>", "a", "dog", "the", "b", "zebra")
  assert corpus.vocabulary_of(sentences, (), 2).words == ("<unk>", "a", "dog", "the")
  with pytest.raises(CorpusError, match="no word stands 3 times"):
    corpus.vocabulary_of(sentences, (), 3)


@pytest.mark.parametrize("name, content, message", [
    ("c.json", b"{", "not JSON"),
    ("c.json", b"[]", "no captions of COCO"),
    ("c.json", b'{"annotations": [{"caption": "a"}, {"text": "a"}]}', "annotation 2: has no text"),
    ("c.txt.gz", gzip.compress(b"a" * 99)[:-9], "cannot be read .*copy it again"),
    ("c.txt", b"\xff\xfe", "not UTF-8"),
])  # fmt: skip
def test_damage_is_named(tmp_path, name, content, message):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(CorpusError, match=message):
    corpus.read(tmp_path / name, "en")


def test_what_is_no_corpus(tmp_path):
  with pytest.raises(CorpusError, match=r"c\.txt: no such file"):
    corpus.read(tmp_path / "c.txt", "en")
  with pytest.raises(CorpusError, match=r"a folder without \.json files"):
    corpus.read(tmp_path, "en")
  (tmp_path / "0.json").write_text('{"1": [["a"]]}')
  with pytest.raises(CorpusError, match="page 1: a description that is no text"):
    corpus.read(tmp_path, "en")
  with pytest.raises(ValueError, match="no language 'de'"):
    corpus.read(tmp_path, "de")


def test_captions_of_coco(shared):
  """A real corpus: how many of its captions are left, and of which words."""
  names = (shared / "data/unsup_caption/coco.names").read_text().split("\n")
  concepts = {name.split()[-1] for name in names if name}
  path = shared / "data/coco/captions_val2017.json.gz"
  sentences = corpus.read(path, "en", concepts=concepts)
  assert len(sentences) == 24_595
  words = corpus.vocabulary_of(sentences, concepts, 5)
  assert concepts < set(words.words) and len(words) == 2261
  kept = corpus.known(sentences, words)
  assert len(kept) == 23_283
  written = "\n".join(" ".join(s) for s in kept)
  assert hashlib.sha256(written.encode()).hexdigest()[:12] == "1c18c056e903"
