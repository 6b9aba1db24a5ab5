"""Words and their numbers."""

import pytest

from mmjax.text.vocabulary import EOS, PAD, SOS, UnknownWordError, Vocabulary

WORDS = (r"\frac", "{", "}", "x")


def test_words_follow_the_three_specials():
  vocabulary = Vocabulary.from_words(iter(WORDS))
  assert (PAD, SOS, EOS) == (0, 1, 2)
  assert len(vocabulary) == 7
  assert vocabulary.encode(["x", r"\frac", "x"]) == [6, 3, 6]


def test_decode_stops_at_the_end_and_leaves_specials_out():
  vocabulary = Vocabulary(WORDS)
  assert vocabulary.decode([SOS, 6, PAD, 4, EOS, 5, 5]) == ["x", "{"]
  assert vocabulary.decode([]) == []
  assert vocabulary.decode(vocabulary.encode(WORDS)) == list(WORDS)


def test_unknown_words_are_named():
  with pytest.raises(UnknownWordError, match=r"vocabulary of 7 words: \['y', 'z'\]"):
    Vocabulary(WORDS).encode(["x", "y", "z"])


@pytest.mark.parametrize("words", [("x", "x"), ("x", "<pad>")])
def test_repeated_words_and_specials_are_refused(words):
  with pytest.raises(ValueError, match="each word once and no special"):
    Vocabulary(words)


def test_fingerprint_changes_with_words_and_order():
  vocabularies = [WORDS, WORDS[::-1], WORDS[:-1], (*WORDS, "y"), ()]
  prints = [Vocabulary(words).fingerprint for words in vocabularies]
  assert len(set(prints)) == len(prints)
  assert all(len(p) == 12 for p in prints)
  assert prints[0] == Vocabulary(WORDS).fingerprint


def test_equal_words_make_equal_vocabularies():
  assert Vocabulary(WORDS) == Vocabulary.from_words(list(WORDS))
  assert hash(Vocabulary(WORDS)) == hash(Vocabulary.from_words(list(WORDS)))


def test_crohme_dictionary_covers_every_caption(shared):
  folder = shared / "data/crohme"
  vocabulary = Vocabulary.from_words((folder / "dictionary.txt").read_text().split())
  assert len(vocabulary) == 113
  for split in ("train", "2014", "2016"):
    for line in (folder / split / "captions.txt").read_text().splitlines():
      words = line.split("\t")[1].split()
      assert vocabulary.decode([*vocabulary.encode(words), EOS]) == words


CAPTIONS = [c.split() for c in ("a dog", "a cat", "the dog", "<unk> a <eos> <eos>")]


def test_captions_make_a_vocabulary_of_frequent_words():
  vocabulary = Vocabulary.from_captions(CAPTIONS, 2)
  assert vocabulary.words == ("<unk>", "a", "dog")
  assert vocabulary.encode(["a", "cat", "dog", "zebra", "<unk>"]) == [4, 3, 5, 3, 3]
  assert vocabulary.decode([4, 3, EOS, 5]) == ["a", "<unk>"]
  assert Vocabulary.from_captions(CAPTIONS, 1).words == ("<unk>", "a", "dog", "cat", "the")
  with pytest.raises(ValueError, match="no word stands 4 times"):
    Vocabulary.from_captions(CAPTIONS, 4)


def test_a_special_is_no_word_even_where_unknown_ones_are():
  vocabulary = Vocabulary.from_captions(CAPTIONS, 1)
  with pytest.raises(UnknownWordError, match="'<pad>', '<eos>'"):
    vocabulary.encode(["a", "<pad>", "<eos>"])


def test_a_stored_vocabulary_still_knows_the_unknown():
  stored = list(Vocabulary.from_captions(CAPTIONS, 2).words)
  assert Vocabulary.from_words(stored).encode(["zebra"]) == [3]


def test_vocabulary_of_real_captions(shared):
  """Words of Flickr8k's training captions alone; most of the test split's are among them."""
  from mmjax.text import english

  folder = shared / "data/flickr8k"
  texts = [line.split("\t") for line in (folder / "captions_en.txt").read_text().splitlines()]
  words = {}
  for split in ("train", "test"):
    names = set((folder / f"{split}.txt").read_text().split())
    words[split] = [english.words(t) for name, t in texts if name.split("#")[0] in names]
  vocabulary = Vocabulary.from_captions(words["train"], 5)
  assert len(words["train"]) == 30_000 and len(vocabulary) == 2541
  numbers = [n for caption in words["test"] for n in vocabulary.encode(caption)]
  assert 0.01 < numbers.count(3) / len(numbers) < 0.04
