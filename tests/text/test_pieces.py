"""Pieces of words, learnt from captions."""

import pytest

from mmjax.text import pieces

pytest.importorskip("sentencepiece", reason="pip install 'mmjax[captions]'")
CAPTIONS = [
    f"{n} {what} {where}"
    for n in ("a", "two", "three") for what in ("dogs running", "men walking", "birds singing")
    for where in ("in the snow", "on the beach", "under a tree")
]  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
  return pieces.train(CAPTIONS, 29, tmp_path_factory.mktemp("pieces") / "a.model")


def test_text_comes_back(learnt):
  for text in (*CAPTIONS, "two men singing in a tree"):
    cut = learnt.words(text)
    assert learnt.join(cut) == text
    assert learnt.vocabulary.decode(learnt.vocabulary.encode(cut)) == cut


def test_the_vocabulary_has_every_piece_once_and_one_for_the_unknown(learnt):
  vocabulary = learnt.vocabulary
  assert vocabulary.words[0] == "<unk>" and len(vocabulary.words) == 29
  assert 3 in vocabulary.encode(learnt.words("a 狗"))


def test_a_stored_model_is_read_again(learnt, tmp_path):
  again = pieces.train(CAPTIONS, 29, tmp_path / "b.model")
  assert pieces.Pieces(tmp_path / "b.model").words(CAPTIONS[5]) == learnt.words(CAPTIONS[5])
  assert again.vocabulary == learnt.vocabulary


def test_bad_input_is_refused(tmp_path):
  with pytest.raises(ValueError, match="5000 pieces cannot be learnt from these captions"):
    pieces.train(CAPTIONS, 5000, tmp_path / "c.model")
  assert not (tmp_path / "c.model").exists()
  (tmp_path / "d.model").write_bytes(b"nothing")
  with pytest.raises(ValueError, match=r"d\.model: not a SentencePiece model"):
    pieces.Pieces(tmp_path / "d.model")
