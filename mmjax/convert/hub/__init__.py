"""Folders as the Hugging Face hub has them -> models, weights, tokenizers and preprocessing."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.convert import hub_models
from mmjax.convert.hub import folder as files
from mmjax.convert.hub import generation, preprocessing, tokenizer
from mmjax.convert.hub.folder import HubError
from mmjax.convert.hub.tokenizer import HubVocabulary

NAME = "hub"  # of the folder in a workdir that keeps a run's settings and tokenizer
_KEPT = (files.CONFIG, files.GENERATION, *files.PREPROCESSORS, *tokenizer.FILES)


@dataclasses.dataclass(frozen=True)
class Hub:
  """A folder, without its weights.

  Attributes:
    folder: where it is.
    config: `config.json`.
    preprocessing: of its pictures.
    vocabulary: its tokenizer; `vocabulary.generation` says how texts are searched for.
    model: a linen module (see `mmjax.convert.hub_models`).
  """

  folder: Path
  config: dict[str, Any]
  preprocessing: preprocessing.Preprocessing
  vocabulary: HubVocabulary
  model: Any

  def variables(self, *, unpickle: bool = False) -> dict[str, Any]:
    """The weights of the folder as the model's variables.

    Raises:
      HubError, WeightsError: they are missing, damaged, or not this model's.
    """
    state = files.read_state(self.folder, unpickle=unpickle)
    try:
      return hub_models.to_variables(self.config, state)
    except HubError:
      raise
    except ValueError as e:
      raise HubError(f"{self.folder}: {e}") from e


def is_hub(folder: Path) -> bool:
  """Whether a folder says what a model of the hub is."""
  return (folder / files.CONFIG).is_file()


def read(folder: Path | str, *, formulas: bool = False) -> Hub:
  """Settings, tokenizer and model of a folder; `formulas` as in `HubVocabulary`.

  Raises:
    HubError: something is missing, damaged, or not known here; says what to do.
  """
  folder = Path(folder).expanduser()
  config = files.read_config(folder)
  said = files.read_preprocessor(folder)
  try:
    pictures = preprocessing.from_dict(said)
    how = generation.from_dicts(config, files.read_json(folder, files.GENERATION))
    model = hub_models.from_config(config, {**said, **pictures.normalised()})
  except HubError:
    raise
  except ValueError as e:
    raise HubError(f"{folder}: {e}") from e
  if tuple(model.encoder.image_size) != pictures.canvas:
    ours, theirs = (" x ".join(map(str, s)) for s in (pictures.canvas, model.encoder.image_size))
    raise HubError(
        f"{folder}: preprocessor_config.json makes pictures of {ours} pixels, the model"
        f" (config.json) takes {theirs}: they are not of one model; download both again"
    )
  words = tokenizer.read_tokenizer(folder, config, how, formulas=formulas)
  return Hub(folder, config, pictures, words, model)


def keep(source: Path, target: Path) -> None:
  """Copies what describes a model, not its weights, so that a run can do without `source`."""
  target.mkdir(parents=True, exist_ok=True)
  for name in _KEPT:
    if (source / name).is_file():
      shutil.copyfile(source / name, target / name)


def to_state(hub: Hub, variables: Any) -> dict[str, np.ndarray]:
  """The variables under the names that the library gives them."""
  return hub_models.to_state(hub.config, variables)
