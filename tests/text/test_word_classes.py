import pytest

from mmjax.text.word_classes import CLASSES, word_class

ENGLISH = {
  "noun": "dog dogs woman building surfer skateboarder children bed feet",
  "verb": "running runs stands sitting jumped holding catches tries leaps skiing flipped rides",
  "adjective": "young sandy wooden large furry joyous",
  "colour": "red blond gray multicolored",
  "number": "two 3 several third 12",
  "function word": "a the on in with is while her there",
  "other": "& '",
}
CHINESE = {
  "noun": "男人 草地 小女孩 狗", "verb": "奔跑 穿着 跳跃", "adjective": "年轻",
  "colour": "红色 白 黑白", "number": "一个 两只 三", "function word": "在 的 和 上",
  "other": "， 囗囗囗",
}


@pytest.mark.parametrize("name", CLASSES)
def test_english_words_have_the_class_of_a_reader(name):
  words = ENGLISH[name].split()
  assert {word: word_class(word, "en") for word in words} == dict.fromkeys(words, name)


@pytest.mark.parametrize("name", CLASSES)
def test_chinese_words_have_the_class_of_the_dictionary(name):
  pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")
  words = CHINESE[name].split()
  assert {word: word_class(word, "zh") for word in words} == dict.fromkeys(words, name)


def test_another_language_is_refused():
  with pytest.raises(ValueError, match="language 'de'; there are: en, zh"):
    word_class("Hund", "de")
