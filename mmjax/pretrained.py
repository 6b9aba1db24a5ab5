"""Runs whose model, tokenizer and preprocessing come from a folder of the Hugging Face hub."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.augment import Augment
from data_pipelines.transforms import Resize
from mmjax.config import ConfigError
from mmjax.convert import hub
from mmjax.convert.hub.tokenizer import HubVocabulary


def chosen(config: ConfigDict) -> bool:
  """Whether a config has such a model."""
  return config.model.name == hub.NAME


def folder(config: ConfigDict, workdir: Path) -> Path:
  """What describes the model: the workdir's own copy, else `config.init_from`.

  Raises:
    ConfigError: there is neither.
  """
  if hub.is_hub(workdir / hub.NAME):
    return workdir / hub.NAME
  if not config.init_from:
    raise ConfigError(
        "the model of this config comes from a folder of the Hugging Face hub: name it by"
        " --config.init_from=FOLDER"
    )
  return Path(config.init_from).expanduser()


def vocabulary(config: ConfigDict, workdir: Path) -> HubVocabulary:
  """The model's tokenizer; it knows where the model is described.

  Raises:
    HubError: the folder cannot be used.
    ConfigError: there is none.
  """
  return _read(config, workdir).vocabulary


def check(config: ConfigDict, workdir: Path) -> None:
  """Raises ConfigError if a config's texts or changes of pictures are not for the model."""
  described = _read(config, workdir)
  if described.preprocessing.steps == "patches" and Augment(**config.data.augment).any:
    raise ConfigError(
        "config.data.augment changes pictures after they are resized, and this model gets them as"
        " patches, not as pictures: set all of it to 0"
    )
  room = described.model.decoder.places - len(described.vocabulary.generation.start)
  room = room // 8 * 8  # batches are planned in eights of tokens
  if config.data.max_tokens > room:
    raise ConfigError(
        f"config.data.max_tokens is {config.data.max_tokens}, the model has room for {room} tokens:"
        f" set it to {room} or less"
    )


def _read(config: ConfigDict, workdir: Path) -> hub.Hub:
  formulas = bool(config.data.name and not config.data.texts)
  return hub.read(folder(config, workdir), formulas=formulas)


def model(words: HubVocabulary) -> Any:
  """The model that writes in the tokens of `words`."""
  return hub.read(words.folder).model


def resize(words: HubVocabulary) -> Resize:
  """How that model's pictures get their size."""
  return hub.read(words.folder).preprocessing.resize


def weights(config: ConfigDict) -> dict[str, Any]:
  """The variables in `config.init_from`.

  Raises:
    HubError, WeightsError: they cannot be read.
  """
  return hub.read(config.init_from).variables(unpickle=config.model.unpickle)


def keep(words: HubVocabulary, workdir: Path) -> None:
  """Copies the description of the model into the workdir, which can then do without the folder."""
  if words.folder != workdir / hub.NAME:
    hub.keep(words.folder, workdir / hub.NAME)
