"""The tokenizer of a folder of the hub, as a vocabulary of tasks and evaluators."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmjax.convert.hub.folder import HubError, read_json, text_part
from mmjax.decode.generation import Generation
from mmjax.text import latex
from mmjax.text.vocabulary import UnknownWordError

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
         "vocab.json", "merges.txt", "vocab.txt", "sentencepiece.bpe.model")  # fmt: skip
_SPECIALS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
             "mask_token")  # fmt: skip
_USUAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "[PAD]", "[UNK]", "[CLS]",
          "[SEP]", "[MASK]")  # fmt: skip
# Models that were trained to write words behind the start; others, what their tokenizer puts there.
BEGIN_AT_ONCE = {"blip", "git", "mbart"}
LEAST_SHARE = 0.9  # of the model's table that a tokenizer fills: tables are rounded up
# How the library tidies English where tokenizer_config.json asks for it.
_TIDY = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
         (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class HubVocabulary:
  """Words to tokens and back, by a tokenizer of the hub; its numbers are the model's own.

  Attributes:
    serialized: what `tokenizer.json` holds.
    size: rows of the model's table of tokens, which may be more than the tokens.
    generation: says which tokens begin and end a text.
    folder: where it was read from.
    begins: tokens that the model wants between the start and the words.
    formulas: whether texts are LaTeX, whose words are its tokens; else blanks part words.
    tidy: whether blanks before punctuation go.
  """

  serialized: str = dataclasses.field(repr=False)
  size: int
  generation: Generation
  folder: Path = dataclasses.field(compare=False)
  begins: tuple[int, ...] = ()
  formulas: bool = False
  tidy: bool = False

  @functools.cached_property
  def tokenizer(self) -> Any:
    return _library().Tokenizer.from_str(self.serialized)

  @functools.cached_property
  def words(self) -> tuple[str, ...]:
    """Its tokens by number."""
    numbers = self.tokenizer.get_vocab(with_added_tokens=True)
    return tuple(sorted(numbers, key=lambda word: numbers[word]))

  def __len__(self) -> int:
    return self.size

  @property
  def fingerprint(self) -> str:
    """Twelve hex digits that change with any token or rule."""
    return hashlib.sha256(self.serialized.encode()).hexdigest()[:12]

  def encode(self, words: Sequence[str]) -> list[int]:
    """Numbers of the text that `words` make, without start and end.

    Raises:
      UnknownWordError: a formula could not be written with the tokens.
    """
    numbers = self.tokenizer.encode(" ".join(words), add_special_tokens=False).ids
    if self.formulas and self.decode(numbers) != list(words):
      raise UnknownWordError(
          f"the model's tokenizer reads {' '.join(words)!r} back as"
          f" {' '.join(self.decode(numbers))!r}: it does not know the words of formulas; take a"
          " model whose tokenizer keeps case, backslashes and braces"
      )
    return [*self.begins, *numbers]

  def decode(self, numbers: Iterable[int]) -> list[str]:
    """Words of the text up to its end, specials left out."""
    text = self.text(numbers)
    if not self.formulas:
      return text.split(" ") if text else []
    try:
      return latex.tokenize(text)
    except ValueError:  # a model may write anything
      return text.split()

  def text(self, numbers: Iterable[int]) -> str:
    """The text up to its end, specials left out."""
    before = []
    for n in map(int, numbers):
      if n in self.generation.stop:
        break
      before.append(n)
    text = self.tokenizer.decode(before, skip_special_tokens=True)
    for old, new in _TIDY if self.tidy and not self.formulas else ():
      text = text.replace(old, new)
    return text.strip()


def read_tokenizer(
    folder: Path, config: Mapping[str, Any], generation: Generation, *, formulas: bool = False
) -> HubVocabulary:
  """The tokenizer of a folder.

  Args:
    folder: has `tokenizer.json`, or files that one can be made of.
    config: `config.json`.
    generation: the settings of the folder.
    formulas: see `HubVocabulary`.

  Raises:
    HubError: there is none, it is damaged, or it is another model's.
  """
  settings = read_json(folder, "tokenizer_config.json") or {}
  try:
    tokenizer = _tokenizer(folder, settings)
  except HubError:
    raise
  except Exception as e:  # the library raises plain exceptions
    raise HubError(f"{folder}: the tokenizer cannot be read ({e}); download its files again") from e
  part = text_part(config)
  size = int(part.get("vocab_size") or 0)
  numbers = tokenizer.get_vocab(with_added_tokens=True).values()
  largest = max(numbers, default=-1)
  if largest >= size or len(numbers) < LEAST_SHARE * size:
    raise HubError(
        f"{folder}: the tokenizer has {len(numbers)} tokens, up to number {largest}; the model"
        f" (vocab_size in config.json) has {size}: they are not of one model; download both again"
    )
  used = {*generation.prompt, *generation.stop, *generation.suppressed}
  beyond = sorted(n for n in used if not 0 <= n < size)
  if beyond:
    raise HubError(f"{folder}: the search uses tokens {beyond}, the model has only {size}")
  begins: list[int] = []
  if not {config["model_type"], part.get("model_type")} & BEGIN_AT_ONCE:
    framed = tokenizer.encode("", add_special_tokens=True).ids
    begins = [n for n in framed if n not in (*generation.start, *generation.stop)]
  return HubVocabulary(
      tokenizer.to_str(), size, generation, folder, tuple(begins), formulas,
      bool(settings.get("clean_up_tokenization_spaces")),
  )  # fmt: skip


def _library() -> Any:
  try:
    import tokenizers
  except ModuleNotFoundError as e:
    raise HubError(f"{e}: pip install 'mmjax[hub]' brings what folders of the hub need") from e
  return tokenizers


def _tokenizer(folder: Path, settings: Mapping[str, Any]) -> Any:
  there = lambda *names: all((folder / name).is_file() for name in names)
  library = _library()
  if there("tokenizer.json"):
    return library.Tokenizer.from_file(str(folder / "tokenizer.json"))
  if there("vocab.json", "merges.txt"):
    tokenizer = _byte_pairs(folder, settings)
  elif there("vocab.txt"):
    tokenizer = _word_pieces(folder, settings)
  elif there("sentencepiece.bpe.model"):
    tokenizer = _sentence_pieces(folder)
  else:
    raise HubError(
        f"{folder} has no tokenizer: download tokenizer.json (or vocab.json and merges.txt, or"
        " vocab.txt, or sentencepiece.bpe.model) from the model's page of the hub; where the page"
        " has none of them, AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER) of"
        " transformers writes one"
    )
  _add_special(tokenizer, folder, settings)
  return tokenizer


def _add_special(tokenizer: Any, folder: Path, settings: Mapping[str, Any]) -> None:
  """The tokens that stand beside the vocabulary files, in the order of their numbers."""
  named = {**settings, **(read_json(folder, "special_tokens_map.json") or {})}
  special = [token for token in _USUAL if tokenizer.token_to_id(token) is not None]
  for name in _SPECIALS:
    token = named.get(name)
    special += [token["content"] if isinstance(token, dict) else token] if token else []
  more = named.get("additional_special_tokens") or []
  special += [token["content"] if isinstance(token, dict) else token for token in more]
  added = {k: int(n) for k, n in (read_json(folder, "added_tokens.json") or {}).items()}
  for number, token in (settings.get("added_tokens_decoder") or {}).items():
    added[token["content"]] = int(number)
    special += [token["content"]] if token.get("special") else []
  for token in [*sorted(added, key=lambda t: added[t]), *special]:
    entry = _library().AddedToken(token, normalized=False, special=token in special)
    add = tokenizer.add_special_tokens if token in special else tokenizer.add_tokens
    add([entry])
    if token in added and tokenizer.token_to_id(token) != added[token]:
      raise HubError(
          f"{folder}: added token {token!r} should have the number {added[token]}, there is room"
          f" for it at {tokenizer.token_to_id(token)}: the vocabulary is another one's"
      )


def _byte_pairs(folder: Path, settings: Mapping[str, Any]) -> Any:
  """GPT-2's and RoBERTa's kind."""
  library = _library()
  model = library.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
  tokenizer = library.Tokenizer(model)
  blank = bool(settings.get("add_prefix_space", False))
  tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=blank)
  tokenizer.decoder = library.decoders.ByteLevel()
  if any(name in str(settings.get("tokenizer_class")) for name in ("Roberta", "Bart")):
    _frame(tokenizer, "<s>", "</s>")
  return tokenizer


def _frame(tokenizer: Any, first: str, last: str) -> None:
  """Lets the tokenizer put tokens around a text when it is asked for specials."""
  tokens = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
  if all(number is not None for _, number in tokens):
    template = _library().processors.TemplateProcessing
    tokenizer.post_processor = template(f"{first} $A {last}", special_tokens=tokens)


def _word_pieces(folder: Path, settings: Mapping[str, Any]) -> Any:
  """BERT's kind."""
  kind = str(settings.get("tokenizer_class", ""))
  if "Japanese" in kind:
    raise HubError(f"{folder}: a tokenizer of the kind {kind} is not read")
  library = _library()
  unknown = settings.get("unk_token", "[UNK]")
  unknown = unknown["content"] if isinstance(unknown, dict) else unknown
  lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
  words = {line: i for i, line in enumerate(lines) if line or i < len(lines) - 1}
  tokenizer = library.Tokenizer(library.models.WordPiece(words, unk_token=unknown))
  tokenizer.normalizer = library.normalizers.BertNormalizer(
      handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
      strip_accents=settings.get("strip_accents"),
      lowercase=settings.get("do_lower_case", True),
  )
  tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
  tokenizer.decoder = library.decoders.WordPiece()
  _frame(tokenizer, "[CLS]", "[SEP]")
  return tokenizer


def _sentence_pieces(folder: Path) -> Any:
  """XLM-R's kind: a unigram model whose numbers are moved by one behind fairseq's specials."""
  library = _library()
  try:
    from sentencepiece import sentencepiece_model_pb2
  except ModuleNotFoundError as e:
    raise HubError(
        f"{folder} has its tokenizer as sentencepiece.bpe.model: pip install 'mmjax[captions]'"
        f" reads it ({e})"
    ) from e
  stored: Any = getattr(sentencepiece_model_pb2, "ModelProto")()  # noqa: B009 (made at run time)
  stored.ParseFromString((folder / "sentencepiece.bpe.model").read_bytes())
  pieces = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
  pieces += [(p.piece, p.score) for p in stored.pieces[3:]] + [("<mask>", 0.0)]
  tokenizer = library.Tokenizer(library.models.Unigram(pieces, unk_id=3))
  steps = [library.normalizers.Strip(left=False, right=True),
           library.normalizers.Replace(library.Regex(" {2,}"), "▁")]  # fmt: skip
  if stored.normalizer_spec.precompiled_charsmap:
    charsmap = stored.normalizer_spec.precompiled_charsmap
    steps.insert(0, library.normalizers.Precompiled(charsmap))
  tokenizer.normalizer = library.normalizers.Sequence(steps)
  tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace()
  tokenizer.decoder = library.decoders.Metaspace()
  _frame(tokenizer, "<s>", "</s>")
  return tokenizer
