"""Words of what a detector saw."""

import json

import pytest

from mmjax.text import concepts
from mmjax.text.concepts import Concept, ConceptError


def write(path, *rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def seen(label, score, number, **more):
  return {"label": label, "score": score, "class": number} | more


def test_words_by_class_number_with_their_best_scores(tmp_path):
  path = write(
      tmp_path / "d.jsonl",
      {"id": "1.jpg", "objects": [
          seen("Tennis racket", 0.4, 38), seen("Person", 0.5, 0, box=[1, 2, 3.5, 4]),
          seen("person", 0.9, 0), seen("Person", 0.7, 0), seen("Skis", 1, 30)]},
      {"id": "2.jpg", "objects": []},
  )  # fmt: skip
  path.write_text(path.read_text() + "\n")  # a blank line is no picture
  assert concepts.read(path) == {
      "1.jpg": [("person", 0.9, 0), ("ski", 1.0, 30), ("racket", 0.4, 38)],
      "2.jpg": [],
  }


def test_two_classes_with_one_word(tmp_path):
  """The number is that of the surer one."""
  objects = [seen("Teddy bear", 0.3, 77), seen("Bear", 0.2, 21), seen("Cup", 0.2, 41)]
  path = write(tmp_path / "d", {"id": "a", "objects": objects})
  assert concepts.read(path) == {"a": [Concept("cup", 0.2, 41), Concept("bear", 0.3, 77)]}


def test_chinese_words(tmp_path):
  """Of concepts that have one Chinese word, the surer one counts."""
  objects = [seen("tennis racket", 0.4, 38), seen("mitten", 0.5, 90), seen("glove", 0.3, 35)]
  path = write(tmp_path / "d", {"id": "a", "objects": objects})
  assert concepts.read(path, "zh") == {"a": [Concept("球拍", 0.4, 38), Concept("手套", 0.5, 90)]}
  with pytest.raises(ValueError, match="no language 'de'"):
    concepts.read(path, "de")


GOOD = '{"id": "1", "objects": []}\n'


@pytest.mark.parametrize("text, message", [
    (GOOD + '{"id": "2", "obj', "line 2: not JSON .* cut short"),
    (GOOD + "[]", 'line 2: not {"id"'),
    (GOOD + '{"id": 2, "objects": []}', 'line 2: "id" must be a text'),
    (GOOD + GOOD, "line 2: picture 1 stands there twice"),
    ('{"id": "2", "objects": [{"label": " ", "score": 1, "class": 1}]}', 'object 1: "label" must'),
    ('{"id": "2", "objects": ["dog"]}', 'object 1: "label" must'),
    ('{"id": "2", "objects": [{"label": "dog", "score": NaN, "class": 1}]}', '"score" must be a'),
    ('{"id": "2", "objects": [{"label": "dog", "score": 1}]}', r'\(dog\): "class" must be a whole'),
    ("\n", "no detections; make them by"),
])  # fmt: skip
def test_damage_is_named(tmp_path, text, message):
  (tmp_path / "d").write_text(text)
  with pytest.raises(ConceptError, match=message):
    concepts.read(tmp_path / "d")


def test_a_missing_file(tmp_path):
  with pytest.raises(ConceptError, match=r"cannot be read as detections .*No such file"):
    concepts.read(tmp_path / "d")


def test_pictures_without_detections_are_counted():
  found = {"a": [Concept("dog", 1.0, 3)], "b": []}
  assert concepts.of_pictures(found, ["b", "a"], "flickr8k/test") == [[], found["a"]]
  message = "no detections of 2 of 3 pictures of flickr8k/test, the first: c; run python -m"
  with pytest.raises(ConceptError, match=message):
    concepts.of_pictures(found, ["a", "c", "d"], "flickr8k/test")
