"""Words for what detectors see."""

import pytest

from mmjax.infer.detectors import COCO
from mmjax.text import chinese, concept_words, concepts, imagenet_words
from mmjax.text.concept_words import ConceptWordError, said_as

ALL = sorted({concepts.word_of(label) for label in COCO.split(",")} | {*imagenet_words.words()})


def test_classes_of_coco(shared):
  """In the order of the published detectors, some by the words of captions."""
  labels = [" ".join(label.split()) for label in COCO.split(",")]
  names = (shared / "data/unsup_caption/coco.names").read_text().split("\n")[:80]
  other = {ours: theirs for ours, theirs in zip(labels, names) if ours != theirs}
  assert len(labels) == len(set(labels)) == 80 and other == {
      "motorcycle": "motorbike", "airplane": "aeroplane", "hotdog": "hot dog", "couch": "sofa",
      "potted plant": "pottedplant", "dining table": "diningtable", "television": "tvmonitor",
      "hair dryer": "hair drier",
  }  # fmt: skip


def test_classes_of_imagenet():
  of_class, words = imagenet_words.word_of_class(), imagenet_words.words()
  assert len(set(words)) == len(words) and set(of_class.values()) == set(words)
  assert all(0 <= n < 1000 for n in of_class) and 600 < len(of_class) < 1000
  rows = [n for line in imagenet_words._rows() for n in line[1]]
  assert len(rows) == len(of_class)  # none has two words
  known = {0: "fish", 207: "dog", 281: "cat", 340: "zebra", 652: "uniform", 779: "bus",
           954: "banana", 981: "player"}  # fmt: skip
  assert {n: of_class[n] for n in known} == known
  assert all(concepts.word_of(w) == w for w in words)


def test_every_concept_has_words_in_both_languages():
  for concept in ALL:
    assert said_as(concept, "en")[0] == concept
    assert said_as(concept, "zh")[0] == concept_words.chinese(concept)
  for language in ("en", "zh"):
    rows = concept_words._rows(language)
    assert set(rows) <= set(ALL)  # none for what nobody sees
    assert all(len(set(words)) == len(words) and c not in words for c, words in rows.items())
  with pytest.raises(ConceptWordError, match="no Chinese word is known for the concept 'harbor'"):
    said_as("harbor", "zh")


def test_jieba_does_not_cut_what_stands_for_a_concept():
  pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")
  words = [concept_words.chinese(concept) for concept in ALL]
  assert [w for w in words if chinese.words(w) != [w]] == []
