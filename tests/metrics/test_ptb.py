"""Tokens of captions against those of Stanford's tokenizer, written down by `record_official`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import ptb
from mmjax.metrics.ptb import tokenize, tokenize_all
from tests.metrics import official_sets as sets

RECORD = json.loads(sets.RECORDED.read_text())


def tokens(captions):
  return [" ".join(words) for words in tokenize_all(captions)]


def test_every_kind_of_token():
  for caption, ours, official in zip(sets.lines(), tokens(sets.lines()), RECORD["lines"]):
    assert ours == official, caption


@pytest.mark.parametrize("name, captions", [
  ("mixtures", lambda shared: sets.mixtures()),
  ("flickr8k english", lambda shared: sets.flickr8k(shared, "captions_en.txt")),
  ("flickr8k chinese", lambda shared: sets.flickr8k(shared, "captions_zh.txt")),
  ("flickr8k translated", lambda shared: sets.flickr8k(shared, "captions_zh_translated_test.txt")),
  ("coco", sets.coco)])
def test_every_caption_of_a_set(name, captions, shared):
  assert sets.digest(tokens(captions(shared))) == RECORD["digests"][name]


def test_letters_are_those_of_the_tokenizer_whatever_python_knows():
  plane = [chr(i) for i in range(0x10000)]
  assert sum(map(ptb._is_letter, plane)) == 48462
  assert sum(map(ptb._is_capital, plane)) == 973


def test_line_breaks_are_blanks():
  assert tokenize("a red\nbus") == tokenize("a red\r\nbus") == ["a", "red", "bus"]
  assert tokenize_all(["one\u2028two", "three\vfour"]) == [["one", "two"], ["three", "four"]]


def test_the_next_caption_decides_about_an_initial():
  assert tokenize_all(["plan A.", "The end"])[0] == ["plan", "a"]
  assert tokenize_all(["plan A.", "the end"])[0] == ["plan", "a."]
  assert tokenize("plan A.") == ["plan", "a."]


@given(st.lists(st.text(), max_size=5))
def test_one_list_for_each_text(texts):
  found = tokenize_all(texts)
  assert len(found) == len(texts)
  assert all(word == word.lower() for words in found for word in words)


@pytest.mark.parametrize("texts, message", [
  (["a", None], "caption 1 is None"), ([b"a"], "caption 0 is b'a'"), ("a dog", "one string")])
def test_refuses_what_is_no_list_of_strings(texts, message):
  with pytest.raises(TypeError, match=message):
    tokenize_all(texts)
