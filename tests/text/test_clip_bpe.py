"""CLIP's byte-pair encoding with a handful of merges, by hand."""

import gzip

import numpy as np
import pytest

from mmjax.text.clip_bpe import Tokenizer

MERGES = ["a b", "ab c</w>", "b c</w>", "a a", "o g</w>", "d og</w>", "' s</w>", "a b</w>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("merges") / "merges.txt"
  path.write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
  return Tokenizer(path)


def pieces(tokenizer, text):
  """What the numbers stand for: letters, letters with the mark of the end, merges."""
  names = {n: word for word, n in tokenizer._numbers.items()}
  return [names[n] for n in tokenizer.encode(text)]


@pytest.mark.parametrize("text, expected", [
    ("abc", ["abc</w>"]),  # "a b" comes before "b c</w>"
    ("bc", ["bc</w>"]),
    ("aaab", ["aa", "ab</w>"]),  # "a a" first, then the last two
    ("DOG dogs", ["dog</w>", "d", "o", "g", "s</w>"]),
    ("dog's", ["dog</w>", "'s</w>"]),
    ("dog... a_b", ["dog</w>", ".", ".", ".</w>", "a</w>", "_</w>", "b</w>"]),
    ("12 m²½", ["1</w>", "2</w>", "m</w>", "Â", "²</w>", "Â", "½</w>"]),
    ("é", ["Ã", "©</w>"]),
    ("a&amp;amp;b", ["a</w>", "&</w>", "b</w>"]),
    ("  ", []),
])  # fmt: skip
def test_pieces(tokenizer, text, expected):
  assert pieces(tokenizer, text) == expected


def test_numbers_are_bytes_then_ends_then_merges(tokenizer):
  assert tokenizer.encode("!") == [256]  # the first of the letters that can be seen, at an end
  assert tokenizer.encode("abc") == [512 + 1]
  assert (tokenizer.start, tokenizer.end) == (520, 521)


def test_rows_start_end_and_are_cut(tokenizer):
  rows = tokenizer.rows(["abc", "", "dog dog dog dog dog"], 5)
  np.testing.assert_array_equal(rows, [
      [520, 513, 521, 0, 0], [520, 521, 0, 0, 0], [520, 517, 517, 517, 521]])


def test_files(tmp_path):
  path = tmp_path / "m.gz"
  path.write_bytes(gzip.compress(("header\n" + "\n".join(MERGES)).encode()))
  assert Tokenizer(path).encode("dog") == [517]
  for content in (b"", b"header\na b c\n", b"\xff\xfe\n", b"\x1f\x8bcut"):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.gz: (not )?merges of CLIP's tokenizer"):
      Tokenizer(path)
  with pytest.raises(ValueError, match="none: merges of CLIP's tokenizer cannot be read"):
    Tokenizer(tmp_path / "none")
