import pytest
from html5 import Checked

from mmjax.report.word_errors import differences, section, word_errors

FIVE = [["a", "red", "dog", "runs"], ["the", "dog", "running"], ["dogs", "on", "grass"],
        ["a", "red", "dog"], ["two", "red", "dogs"]]


def test_a_word_is_extra_if_no_reference_has_its_stem():
  extra, missed = differences(["a", "blue", "cat", "run", "cat"], FIVE, "en")
  assert extra == ["blue", "cat"]
  assert missed == ["red", "dog"]  # in 3 and in 5 of 5; "a" was written, "grass" is in one


def test_a_word_is_missed_from_three_of_five_references_on():
  references = [["grass"], ["grass"], ["grass"], ["x"], ["y"]]
  assert differences([], references, "en")[1] == ["grass"]
  assert differences([], [["grass"], ["grass"], ["z"], ["x"], ["y"]], "en")[1] == []


def test_errors_are_counted_by_class_with_their_pictures():
  texts = ["A red dog runs.", "the dog running", "dogs on grass", "a red dog", "two red dogs"]
  hypotheses = [["a", "blue", "cat"], ["a", "blue", "bird"], None, ["two", "red", "dogs"]]
  found = word_errors(["p", "q", "r", "s"], hypotheses, [texts] * 4, "en")
  assert found.pictures == 3
  assert found.extra["colour"] == {"blue": ["p", "q"]}
  assert found.extra["noun"] == {"cat": ["p"], "bird": ["q"]}
  assert found.missed["colour"] == {"red": ["p", "q"]}
  assert found.missed["noun"] == {"dog": ["p", "q"]}
  assert found.swapped == {
    ("blue", "red"): ["p", "q"], ("cat", "dog"): ["p"], ("bird", "dog"): ["q"]}


def test_tables_show_the_most_frequent_and_lead_to_pictures_on_the_page():
  texts = [["a dog runs on the grass"] * 5] * 3
  found = word_errors(["p", "<q>", "r"], [["a", "cat"]] * 2 + [["a", "bird"]], texts, "en")
  html = section(found, {"r": "#sample-r"})
  assert not Checked(html).open_tags
  assert html.index('<span lang="en">cat<') < html.index('<span lang="en">bird<')
  assert '<a class="id" href="#sample-r">r</a>' in html and "&lt;q&gt;" in html
  assert "Of 3 pictures" in html and "grass" in html


def test_without_errors_there_is_no_section():
  assert section(word_errors(["p"], [["a", "dog"]], [["a dog"]], "en"), {}) == ""


def test_chinese_words_are_those_that_jieba_cuts():
  pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")
  found = word_errors(["p"], [["一只", "白色", "猫"]], [["一只黑色的狗。"]], "zh")
  assert found.extra["colour"] == {"白色": ["p"]} and found.extra["noun"] == {"猫": ["p"]}
  assert found.swapped["白色", "黑色"] == ["p"] and found.swapped["猫", "狗"] == ["p"]
