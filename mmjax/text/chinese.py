"""Chinese captions as words or as characters.

Full-width punctuation is kept as words of its own but for the full stop `。`, which is deleted, as
AI Challenger's scorer does. Traditional characters are left alone: they are other words than their
simplified forms.
"""

import functools
import hashlib
import re
import warnings
from pathlib import Path

STOP = "。"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BETWEEN = re.compile(f"[{_HAN}]\\s+[{_HAN}]")
# Letters and digits of other scripts stay together: T, 3.5.
_CHARACTER = re.compile(r"[A-Za-z0-9]+(?:[.'-][A-Za-z0-9]+)*|\S")


def words(text: str) -> list[str]:
  """Words of a caption by jieba in exact mode, after AI Challenger: no `。`, blanks part words.

  Raises:
    ImportError: jieba is not installed.
  """
  return [w for w in _segmenter().cut(without_stops(text), cut_all=False) if not w.isspace()]


def characters(text: str) -> list[str]:
  """Characters of a caption, without `。` and blanks; a run of Latin letters or digits is one."""
  return _CHARACTER.findall(without_stops(text))


def without_stops(text: str) -> str:
  """The caption without blanks around it and without any `。`."""
  return text.strip().replace(STOP, "")


def is_segmented(text: str) -> bool:
  """Whether blanks stand between Chinese characters: somebody has cut the text into words."""
  return _BETWEEN.search(text) is not None


def part_of_speech(word: str) -> str:
  """The tag of a word in jieba's dictionary (n, v, a, m, ...), "" where it does not have it.

  `jieba.posseg` gives words that it knows the same tag.

  Raises:
    ImportError: jieba is not installed.
  """
  return _tags().get(word, "")


def segmentation() -> dict[str, str]:
  """What cuts words, to be stored with a vocabulary: other versions cut otherwise.

  Raises:
    ImportError: jieba is not installed.
  """
  jieba = _jieba()
  digest = hashlib.sha256(_dictionary(jieba).read_bytes()).hexdigest()[:12]
  return {"tool": "jieba", "version": jieba.__version__, "mode": "exact", "dictionary": digest}


@functools.cache
def _segmenter():
  """A segmenter of jieba's own dictionary that says nothing and writes nothing.

  jieba itself would announce the loading, and read and write a cache in the folder for temporary
  files, where anybody may have put another.
  """
  jieba = _jieba()
  segmenter = jieba.Tokenizer()
  with _dictionary(jieba).open("rb") as lines:
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(lines)
  segmenter.initialized = True
  return segmenter


@functools.cache
def _tags() -> dict[str, str]:
  lines = _dictionary(_jieba()).read_text(encoding="utf-8").splitlines()
  return {word: tag for word, _, tag in map(str.split, lines)}


def _jieba():
  try:
    with warnings.catch_warnings():  # it imports what setuptools calls deprecated
      warnings.simplefilter("ignore")
      import jieba
  except ImportError as e:
    raise ImportError("Chinese words need jieba: pip install 'mmjax[captions]'") from e
  return jieba


def _dictionary(jieba) -> Path:
  return Path(jieba.__file__).with_name("dict.txt")
