"""Words and characters of Chinese captions."""

import subprocess
import sys

import pytest

from mmjax.text import chinese

jieba = pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")


@pytest.mark.parametrize("text, cut", [
    ("草地上有两个戴着帽子的男人在打高尔夫球",
     "草地/上/有/两个/戴着/帽子/的/男人/在/打/高尔夫球"),
    (" 大海边的沙滩上有3个光着上身的小男孩在玩球。\n",
     "大/海边/的/沙滩/上/有/3/个光/着/上身/的/小男孩/在/玩球"),
    ("一个。女人，。", "一个/女人/，"),
    ("一个 女人　在", "一个/女人/在"),
    ("穿T恤", "穿/T恤"),
    ("。", ""), ("", ""), (" \t", ""),
])  # fmt: skip
def test_words(text, cut):
  assert chinese.words(text) == cut.split("/") * bool(cut)


def test_words_are_those_of_the_library_left_to_itself(tmp_path):
  texts = ["一个面对着蓝天大海的女人坐在海边的沙滩椅子", "球场上有两个打着网球的运动员在比赛"]
  other = jieba.Tokenizer()
  other.tmp_dir = str(tmp_path)
  for text in texts:
    assert chinese.words(text) == list(other.cut(text))


@pytest.mark.parametrize("text, cut", [
    ("一个人。", "一/个/人"),
    ("穿T-shirt的3个人，好！", "穿/T-shirt/的/3/个/人/，/好/！"),
    ("3.5米", "3.5/米"),
    ("一个 女人", "一/个/女/人"),
])
def test_characters(text, cut):
  assert chinese.characters(text) == cut.split("/")


@pytest.mark.parametrize("text, whether", [
    ("一个 女人", True), ("一个女人", False), ("", False), ("a man in red", False),
    ("穿 T恤", False), (" 女人 ", False), ("一个　女人", True),
])
def test_segmented_texts_have_blanks_between_characters(text, whether):
  assert chinese.is_segmented(text) is whether


def test_traditional_characters_are_left_alone():
  assert "".join(chinese.words("一個騎著馬的男人")) == "一個騎著馬的男人"


def test_what_cut_the_words_is_told():
  found = chinese.segmentation()
  assert found["version"] == jieba.__version__ and found["mode"] == "exact"
  assert len(found["dictionary"]) == 12


def test_nothing_is_said_or_written(tmp_path):
  code = "from mmjax.text import chinese; assert chinese.words('蓝天大海') == ['蓝天', '大海']"
  done = subprocess.run(
      [sys.executable, "-W", "error", "-c", code], capture_output=True, check=True,
      env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)})  # fmt: skip
  assert done.stdout == done.stderr == b"" and not list(tmp_path.iterdir())


def test_references_of_ai_challenger_were_cut_so(shared):
  """Of the organizers' 15 references, all that our words do not agree with is named."""
  from mmjax.metrics.files import read_references

  texts = read_references(shared / "data/aic_icc/eval_sample_reference.json").texts
  given = [t for found in texts.values() for t in found]
  assert len(given) == 15 and all(chinese.is_segmented(t) for t in given)
  same = [chinese.words(t.replace(" ", "")) == t.split() for t in given]
  assert sum(same) >= 14
