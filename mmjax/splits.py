"""One split of a prepared data set, with its texts as a config wants them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from ml_collections import ConfigDict

from data_pipelines import datasets
from data_pipelines.batching import Options, Plan
from data_pipelines.index import (
  CaptionIndex,
  RecordIndex,
  check_split,
  load_caption_index,
  load_index,
)
from data_pipelines.pipeline import Records, caption_lengths
from data_pipelines.transforms import Resize
from mmjax import pretrained, unpaired
from mmjax.config import ConfigError
from mmjax.text import captions
from mmjax.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of a prepared data set, ready to be planned.

  Attributes:
    tokens: of each record's text, or of each of its captions; None where the task cannot write it.
    references: the texts of each record: one formula, or the captions in the config's language.
  """

  name: str
  index: RecordIndex | CaptionIndex
  records: Records
  tokens: list
  references: list[list[str]]
  resize: Resize | None = None  # how the model wants its pictures, whatever the config says

  @property
  def lengths(self) -> Int[np.ndarray, "N *R"]:
    """Tokens of each record's text, or of each of its captions; -1 where there is none."""
    if isinstance(self.index, CaptionIndex):
      return caption_lengths(self.tokens)
    return np.array([-1 if t is None else len(t) for t in self.tokens], np.int32)

  @property
  def unwritable(self) -> int:
    """Records that the task cannot write; every plan drops them."""
    return sum(t is None for t in self.tokens)

  def plan(self, options: Options, **kwargs) -> Plan:
    """The batches of this split.

    Raises:
      ConfigError: the sizes of the config leave no records, or do not divide among devices.
    """
    if not isinstance(self.index, CaptionIndex):
      options = dataclasses.replace(options, texts="")
    if self.resize:
      options = dataclasses.replace(options, resize=self.resize, align=1)
    try:
      return Plan(self.index.sizes, self.lengths, options, **kwargs)
    except ValueError as e:
      raise ConfigError(f"{self.name}: {e}") from e


def open_dataset(config: ConfigDict):
  """The prepared data set of a config, as a tfds builder; None where it learns from texts alone.

  Raises:
    NotPreparedError: it is not there; says how to make it.
  """
  if config.data.texts == "corpus":
    return None
  return datasets.load(config.data.name, data_dir(config))


def data_dir(config: ConfigDict) -> Path:
  """Where prepared data sets lie."""
  return Path(config.data.dir).expanduser() if config.data.dir else datasets.default_data_dir()


def has_captions(config: ConfigDict) -> bool:
  """Whether the pictures of a config carry captions, not formulas."""
  return bool(config.data.texts)


def vocabulary_of(config: ConfigDict, builder) -> Vocabulary:
  """The words to learn: of a corpus, or of training captions, or those formulas were prepared with.

  Raises:
    ConfigError: no such split or language, or no caption in it.
  """
  if unpaired.chosen(config):
    return unpaired.load(config).vocabulary
  if not has_captions(config):
    return Vocabulary.from_words(builder.info.metadata["vocabulary"])
  require_split(builder, config.data.train_split)
  texts = _texts(config, builder, load_caption_index(builder, config.data.train_split))
  words = _language(config).words
  try:
    return Vocabulary.from_captions(
        (words(text) for of_picture in texts for text in of_picture), config.data.min_count
    )
  except ValueError as e:
    raise ConfigError(f"config.data.min_count is {config.data.min_count}: {e}") from e


def words_of(config: ConfigDict, builder, workdir: Path) -> Any:
  """The vocabulary of a run: that of its data set, or the tokenizer of a model of the hub."""
  if not pretrained.chosen(config):
    return vocabulary_of(config, builder)
  pretrained.check(config, workdir)
  return pretrained.vocabulary(config, workdir)


def require_split(builder, name: str) -> None:
  """Raises ConfigError, naming the splits there are, if `name` is not one of them."""
  if builder is None:
    return  # `unpaired.part` says so of a corpus
  try:
    check_split(builder, name)
  except ValueError as e:
    raise ConfigError(str(e)) from e


def load_split(config: ConfigDict, builder, name: str, task: Any) -> Split:
  """Sizes, texts as `task` has them, and (lazily) pictures of one split.

  Raises:
    ConfigError: no such split or language.
    UnknownWordError: a formula has a word outside the vocabulary.
  """
  require_split(builder, name)
  if builder is None:
    return _sentences(config, name, task)
  source = builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()})
  index: RecordIndex | CaptionIndex
  if has_captions(config):
    index = load_caption_index(builder, name)
    references = _texts(config, builder, index)
    tokens: list = [task.encode_texts(texts) for texts in references]
  else:
    index = load_index(builder, name)
    references = [[text] for text in index.texts]
    tokens = task.encode_texts(index.texts)
  coloured = has_captions(config) or pretrained.chosen(config)
  records = Records(source, index.ids, channels=3 if coloured else 1)
  if config.data.in_memory:
    records.hold()
  resize = pretrained.resize(task.vocabulary) if pretrained.chosen(config) else None
  return Split(name, index, records, tokens, references, resize)


def load_training_split(config: ConfigDict, builder, task: Any) -> Split:
  """`config.data.train_split`, as `load_split`, but for pictures that are learnt without pairs.

  Their captions are left out: none are there, or those of `config.data.captions`.

  Raises:
    ConfigError: also where a file of detections or captions does not fit.
  """
  name = config.data.train_split
  own = "captions" in config.data
  if config.data.texts != "none" and not own:
    return load_split(config, builder, name, task)
  require_split(builder, name)
  index = load_caption_index(builder, name)
  count = len(index.ids)
  nothing = dataclasses.replace(index, texts=[()] * count, languages=[()] * count)
  source = builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()})
  records = Records(source, index.ids, channels=3)
  if "concepts" in getattr(task, "learns_from", ()):
    records.more = unpaired.concept_arrays(config, index.ids, name, task.vocabulary)
  if config.data.in_memory:
    records.hold()
  if own:
    words = unpaired.read_captions(config, index.ids)
    join = _language(config).join
    tokens = [[task.vocabulary.encode(w)] for w in words]
    return Split(name, nothing, records, tokens, [[join(w)] for w in words])
  plain = RecordIndex(index.sizes, np.zeros(count, np.int32), index.ids, [""] * count)
  return Split(name, plain, records, [[]] * count, [[] for _ in index.ids])


def _sentences(config: ConfigDict, name: str, task: Any) -> Split:
  """Sentences of the corpus, one a record; dropped where they name no concept that is read."""
  words = unpaired.part(config, name)
  ids = [f"{name}-{i}" for i in range(len(words))]
  records = Records(None, ids, channels=3)
  tokens: list = [task.vocabulary.encode(w) for w in words]
  if "concepts" in getattr(task, "learns_from", ()):
    named = unpaired.concepts_of_sentences(config, words, task.vocabulary)
    records.more = {"concepts": named}
    tokens = [t if row.any() else None for t, row in zip(tokens, named)]
  texts = [_language(config).join(w) for w in words]
  sizes = np.ones((len(ids), 2), np.int32)
  lengths = np.array([len(w) for w in words], np.int32)
  return Split(name, RecordIndex(sizes, lengths, ids, texts), records, tokens, [[t] for t in texts])


def _language(config: ConfigDict) -> captions.Language:
  try:
    return captions.language(config.data.language)
  except ValueError as e:
    raise ConfigError(f"config.data.language: {e}") from e


def _texts(config: ConfigDict, builder, index: CaptionIndex) -> list[list[str]]:
  """The captions of each picture in the language of the config."""
  _language(config)
  wanted = config.data.language
  texts = [
      [text for text, language in zip(texts, languages) if language == wanted]
      for texts, languages in zip(index.texts, index.languages)
  ]
  if not any(texts):
    there = sorted({x for languages in index.languages for x in languages})
    raise ConfigError(
        f"{config.data.name} has no captions in config.data.language={wanted!r} here, only in:"
        f" {', '.join(there) or 'none'}"
    )
  return texts
