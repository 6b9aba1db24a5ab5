"""Reading of references and hypotheses in every form, and what is wrong with files."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmjax.metrics.files import FileError, align, challenger_id, read_hypotheses, read_references

REFERENCES = {"1": ["a dog", "one dog"], "b.jpg": ["a cat"]}
HYPOTHESES = {"1": ["a dog"], "b.jpg": [""]}
R, H = read_references, read_hypotheses


def write(tmp_path, name, content):
  path = tmp_path / name
  if not isinstance(content, str | bytes):
    content = json.dumps(content, ensure_ascii=False)
  path.write_bytes(content.encode() if isinstance(content, str) else content)
  return path


COCO = {
    "info": {}, "licenses": [], "images": [{"id": 1, "file_name": "x"}], "type": "captions",
    "annotations": [
        {"image_id": 1, "id": 7, "caption": "a dog"}, {"image_id": "b.jpg", "id": 8,
         "caption": "a cat"}, {"image_id": 1, "id": 9, "caption": "one dog"}],
}  # fmt: skip


@pytest.mark.parametrize("name, content", [
    ("r.json", {"1": ["a dog", "one dog"], "b.jpg": "a cat"}),
    ("r.json", {"1": [{"caption": "a dog"}, {"caption": "one dog"}], "b.jpg": ["a cat"]}),
    ("r.json", COCO),
    ("r.json", COCO["annotations"]),
    ("r.json", [{"image_id": "1", "url": "", "caption": ["a dog", "one dog"]},
                {"image_id": "b.jpg", "url": "", "caption": ["a cat"]}]),
    ("r.jsonl", '{"id": 1, "texts": ["a dog", "one dog"]}\n\n{"id": "b.jpg", "text": "a cat"}\n'),
    ("r.json", '{"id": 1, "references": ["a dog", "one dog"]}\n{"id": "b.jpg", "text": "a cat"}'),
    ("r.csv", 'image_id,caption\r\n1,a dog\r\n1,"one dog"\r\nb.jpg,a cat\r\n'),
    ("r.csv", "1,a dog\n1,one dog\nb.jpg,a cat\n"),
    ("r.tsv", "text\tid\na dog\t1\none dog\t1\na cat\tb.jpg\n"),
    ("r.tsv", "\ufeff1\ta dog\n1\tone dog\nb.jpg\ta cat"),
])  # fmt: skip
def test_references_in_every_form(tmp_path, name, content):
  assert read_references(write(tmp_path, name, content)) == (REFERENCES, [], frozenset())


@pytest.mark.parametrize("name, content", [
    ("h.json", {"1": "a dog", "b.jpg": ""}),
    ("h.json", {"1": ["a dog"], "b.jpg": None}),
    ("h.json", [{"image_id": 1, "caption": "a dog"}, {"image_id": "b.jpg", "caption": ""}]),
    ("h.jsonl", '{"id": "1", "text": "a dog"}\n{"id": "b.jpg", "text": ""}\n'),
    ("h.jsonl", '{"id": "1", "reference": "a cat", "hypothesis": "a dog", "score": -1.5}\n'
                '{"id": "b.jpg", "reference": "a cat", "hypothesis": null, "score": null}\n'),
    ("h.csv", "id,text\n1,a dog\nb.jpg,\n"),
    ("h.tsv", "1\ta dog\nb.jpg\t\n"),
])  # fmt: skip
def test_hypotheses_in_every_form(tmp_path, name, content):
  found = read_hypotheses(write(tmp_path, name, content))
  assert found[:2] == (HYPOTHESES, [f"1 of 2 hypotheses in {name} are empty"])
  null = "null" in content or content in [{"1": ["a dog"], "b.jpg": None}]
  assert found.dropped == ({"b.jpg"} if null else set())


def test_both_sides_of_the_lines_that_evaluation_writes(tmp_path):
  path = write(tmp_path, "predictions.jsonl", '{"id": "a", "reference": "x", "hypothesis": "y"}\n')
  assert read_references(path).texts == {"a": ["x"]}
  assert read_hypotheses(path).texts == {"a": ["y"]}


def test_a_compressed_file(tmp_path):
  path = write(tmp_path, "h.json.gz", gzip.compress(b'{"1": "a dog"}'))
  assert read_hypotheses(path).texts == {"1": ["a dog"]}


def test_quotation_marks_of_a_tab_table_are_text(tmp_path):
  path = write(tmp_path, "r.tsv", '1\t"a" dog\n2\t" \\frac\n')
  assert read_references(path).texts == {"1": ['"a" dog'], "2": ['" \\frac']}


def test_line_separators_of_unicode_do_not_end_a_json_line(tmp_path):
  path = write(tmp_path, "h.jsonl", '{"id": 1, "text": "a\u2028b"}\n{"id": 2, "text": "c"}')
  assert read_hypotheses(path).texts == {"1": ["a\u2028b"], "2": ["c"]}


def test_empty_references_beside_others_are_left_out(tmp_path):
  found = read_references(write(tmp_path, "r.json", {"1": ["", "a dog", " "]}))
  assert found [:2] == ({"1": ["a dog"]}, ["2 empty references are left out"])


DEEP = "[" * 200_000


@pytest.mark.parametrize("read, name, content, message", [
    (R, "r.json", {"1": []}, "'1' has no reference that is not empty"),
    (R, "r.json", {"1": ["a"], "2": [""]}, "'2' has no reference that is not empty"),
    (R, "r.json", {"1": ["a", 3]}, "the text of '1' is 3, not a string"),
    (R, "r.json", {"1": None}, "the text of '1' is null, not a string"),
    (R, "r.json", {}, "holds no references"),
    (R, "r.json", "7", "holds int, not an object or a list"),
    (R, "r.json", '{"1": "a", "1": "b"}', "1 stands twice in one object"),
    (R, "r.jsonl", '{"id": 1, "texts": ["a"]}\n{"id": 1, "texts": ["b"]}',
     "line 2: the references of '1' stand there twice"),
    (R, "r.json", '{\n"1": "a",\n}', "line 3: not JSON"),
    (R, "r.jsonl", '{"id": 1, "text": "a"}\n{"id": 2, "text": }', "line 2: not JSON"),
    (R, "r.json", '{"id": 1, "text": "a"}\n{"id": 2, "text": }', "line 2: not JSON"),
    (R, "r.jsonl", '{"id": 1}', "line 1: has none of references, .* but id"),
    (R, "r.jsonl", '{"text": "a"}', "line 1: has none of image_id, id, image but text"),
    (R, "r.jsonl", '["a"]', "line 1: not an object such as"),
    (R, "r.jsonl", '{"id": 1.5, "text": "a"}', "the id is 1.5; give a string or a whole number"),
    (R, "r.jsonl", '{"id": true, "text": "a"}', "the id is true"),
    (R, "r.json", DEEP, "recursion"),
    (R, "r.json", '{"1": ' + "9" * 5000 + "}", "Exceeds the limit"),
    (R, "r.json", "", "the file is empty"),
    (R, "r.json", {"1": "a\0b"}, "the text of '1' holds a NUL character"),
    (R, "r.tsv", b"1\ta\n2\tb\0\n", "line 2: holds a NUL byte"),
    (R, "r.tsv", b"1\ta\n2\tb\xff\n", "line 2: not UTF-8"),
    (R, "r.json", '{"1": "\\ud83d"}', "half a surrogate pair"),
    (R, "r.json", {"1": "a" * 20_001}, "the text of '1' has 20,001 characters"),
    (R, "r.csv", "1,a\n2,b,c\n", "line 2: 3 cells, not 2"),
    (R, "r.csv", '1,"a\n', "line 1: unexpected end of data"),
    (R, "r.json.gz", b"no gzip", "cannot be read"),
    (H, "h.json", [{"id": 1, "caption": "a"}, {"id": "1", "caption": "b"}],
     "entry 2: '1' has a hypothesis already"),
    (H, "h.json", {"1": []}, "the list of hypotheses of '1' is empty"),
    (H, "h.json", {"1": 5}, "the text of '1' is 5, not a string"),
    (H, "h.json", [], "holds no hypotheses"),
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, read, name, content, message):
  path = write(tmp_path, name, content)
  with pytest.raises(FileError, match=message) as said:
    read(path)
  assert str(said.value).startswith(str(path)) and len(str(said.value)) < 400


def test_files_that_are_not_there(tmp_path):
  with pytest.raises(FileError, match=r"none\.json: no such file"):
    read_references(tmp_path / "none.json")
  with pytest.raises(FileError, match="a folder; give a file"):
    read_references(tmp_path)


def test_samples_are_matched_by_id():
  ids, references, hypotheses = align({"b": ["x"], "a": ["y"]}, {"a": ["1"], "b": ["2"]})
  assert (ids, references, hypotheses) == (["b", "a"], [["x"], ["y"]], [["2"], ["1"]])


def test_other_ids_are_named_with_their_number():
  references = {str(i): ["x"] for i in range(9)}
  with pytest.raises(FileError) as said:
    align(references, {"0": ["x"], "q": ["x"], "1": ["x"]})
  assert str(said.value).startswith(
      "the ids differ: 7 only in the references (2, 3, 4, 5, 6, ...) and 1 only in the hypotheses"
      " (q); 2 are in both. Give a hypothesis for each reference")  # fmt: skip


def test_files_of_ai_challenger(shared):
  folder = shared / "data/aic_icc"
  references = read_references(folder / "eval_sample_reference.json")
  hypotheses = read_hypotheses(folder / "eval_sample_submission.json")
  ids, texts, written = align(references.texts, hypotheses.texts)
  assert [len(t) for t in texts] == [5, 5, 5] and [len(w) for w in written] == [1, 1, 1]
  assert list(references.texts) == [challenger_id(name) for name in ids] and len(ids[0]) == 40
  annotations = read_references(folder / "annotations_sample.json").texts
  assert len(annotations) == 8 and all(len(t) == 5 for t in annotations.values())
  assert all(len(name) == 40 for name in annotations)  # as submissions name them
  assert len(read_hypotheses(folder / "predictions_test_a_sample.json.gz").texts) == 30_000


ATOMS = ['"1"', "1", ":", ",", "{", "}", "[", "]", "\n", '"id"', '"caption"', '"a b"', '""', "null",
         "true", "1e999", '"annotations"', "\t", "\\", "\u2028", "NaN", "id,caption"]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ATOMS), max_size=14).map("".join) | st.binary(max_size=30),
       st.sampled_from(["f.json", "f.jsonl", "f.csv", "f.tsv", "f.gz"]))  # fmt: skip
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path, content, name):
  path = write(tmp_path, name, content)
  for read in (read_references, read_hypotheses):
    try:
      texts = read(path).texts
    except FileError as e:
      assert str(path) in str(e)
    else:
      assert texts and all(isinstance(t, str) for found in texts.values() for t in found)
