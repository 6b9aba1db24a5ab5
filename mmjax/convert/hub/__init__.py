"""Folders as the Hugging Face hub has them -> models, weights, tokenizers and preprocessing."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.convert import florence2, hub_models
from mmjax.convert.hub import folder as files
from mmjax.convert.hub import generation, preprocessing, tokenizer
from mmjax.convert.hub.folder import HubError
from mmjax.convert.hub.tokenizer import HubVocabulary
from mmjax.models.florence2 import Florence2

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
  words = tokenizer.read_tokenizer(folder, config, how, formulas=formulas)
  if isinstance(model, Florence2):
    model = _fit(folder, model, pictures.canvas, words)
  if tuple(model.encoder.image_size) != pictures.canvas:
    ours, theirs = (" x ".join(map(str, s)) for s in (pictures.canvas, model.encoder.image_size))
    raise HubError(
        f"{folder}: preprocessor_config.json makes pictures of {ours} pixels, the model"
        f" (config.json) takes {theirs}: they are not of one model; download both again"
    )
  return Hub(folder, config, pictures, words, model)


def _fit(
    folder: Path, model: Florence2, size: tuple[int, int], words: HubVocabulary
) -> Florence2:
  """The model for the folder's pictures, asked for a caption in the folder's tokens."""
  prompt = words.tokenizer.encode(f"<s>{florence2.CAPTION}</s>", add_special_tokens=False).ids
  ends = [words.tokenizer.token_to_id(token) for token in ("<s>", "</s>")]
  if [prompt[0], prompt[-1]] != ends:
    raise HubError(
        f"{folder}: the tokenizer has no tokens <s> and </s>, between which Florence-2 is asked;"
        " download its files again"
    )
  try:
    return florence2.fit(model, size, tuple(prompt))
  except ValueError as e:
    raise HubError(f"{folder}: {e}") from e


def keep(source: Path, target: Path) -> None:
  """Copies what describes a model, not its weights, so that a run can do without `source`."""
  target.mkdir(parents=True, exist_ok=True)
  for name in _KEPT:
    if (source / name).is_file():
      shutil.copyfile(source / name, target / name)


def to_state(hub: Hub, variables: Any) -> dict[str, np.ndarray]:
  """The variables under the names that the library gives them."""
  return hub_models.to_state(hub.config, variables)
