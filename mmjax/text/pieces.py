"""Pieces of words by SentencePiece, for languages and data without a good list of words."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmjax.text.vocabulary import UNKNOWN, Vocabulary

_BLANK = "▁"  # what SentencePiece writes for a blank


def train(captions: Iterable[str], size: int, path: Path) -> "Pieces":
  """Learns `size` pieces (unigram model: Kudo, 2018) and writes them to `path`.

  Args:
    captions: raw text of the training split alone.
    size: pieces, with `<unk>`.
    path: of the model; `.model` by custom.

  Raises:
    ImportError: sentencepiece is not installed.
    ValueError: the captions have fewer pieces than that, or more characters.
  """
  model = io.BytesIO()
  try:
    _sentencepiece().SentencePieceTrainer.train(
        sentence_iterator=iter(captions),
        model_writer=model,
        vocab_size=size,
        unk_id=0,
        bos_id=-1,  # the vocabulary has its own
        eos_id=-1,
        character_coverage=0.9995,
        num_threads=1,  # the pieces must not depend on the machine
        minloglevel=2,
    )
  except RuntimeError as e:
    raise ValueError(f"{size} pieces cannot be learnt from these captions: {e}") from e
  path.write_bytes(model.getvalue())
  return Pieces(path)


class Pieces:
  """A stored model of pieces.

  Raises:
    ImportError: sentencepiece is not installed.
    ValueError: the file is no such model.
  """

  def __init__(self, path: Path):
    library = _sentencepiece()
    try:
      self._model = library.SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError as e:
      raise ValueError(f"{path}: not a SentencePiece model ({e})") from e

  @property
  def vocabulary(self) -> Vocabulary:
    """All pieces; `<unk>` is the first word."""
    m = self._model
    pieces = [m.id_to_piece(i) for i in range(m.get_piece_size()) if not m.is_unknown(i)]
    return Vocabulary((UNKNOWN, *pieces))

  def words(self, text: str) -> list[str]:
    """Pieces of a caption."""
    return self._model.encode(text, out_type=str)

  def join(self, pieces: Sequence[str]) -> str:
    """The text of pieces."""
    return "".join(pieces).replace(_BLANK, " ").strip()


def _sentencepiece():
  try:
    import sentencepiece
  except ImportError as e:
    raise ImportError("pieces need sentencepiece: pip install 'mmjax[captions]'") from e
  return sentencepiece
