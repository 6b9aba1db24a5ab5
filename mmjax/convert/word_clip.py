"""Published CLIP weights with their merges -> variables of `mmjax.models.word_clip`.

Weights are those that `mmjax.convert.clip` reads, or such a network fine-tuned for grammar by the
code of Cho et al., 2022: `clip_model.*` and `grammar_score_head.*`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from mmjax.convert import clip
from mmjax.convert import state_dict as sd
from mmjax.convert.arrays import read_arrays
from mmjax.convert.hub.folder import read_state
from mmjax.convert.state_dict import WeightsError
from mmjax.metrics.clipscore import PROMPT
from mmjax.models.word_clip import NOTHING, PROMPT_WORDS, WordClip
from mmjax.text.clip_bpe import Tokenizer
from mmjax.text.vocabulary import SPECIALS, UNKNOWN, Vocabulary

MERGES = ("merges.txt", "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt")
HEAD = "grammar_score_head."
HEADS = ("grammar_hidden", "grammar_out")
WRAPPER = "clip_model."


def convert(arrays: dict[str, np.ndarray]) -> dict:
  """Variables from the reference's state dict; without `HEADS` where it has no head for grammar.

  Raises:
    WeightsError: see `mmjax.convert.clip.convert`; or a part of the head is missing.
  """
  head = {name: a for name, a in arrays.items() if HEAD in name}
  rest = {name.removeprefix(WRAPPER): a for name, a in arrays.items() if HEAD not in name}
  found = clip.convert(rest)
  params = found["params"]
  params["text_proj"] = params["textual"].pop("project")
  params["encoder"] = {"visual": params.pop("visual")}
  if head:
    w = sd.Weights(head, f"{HEAD}0.weight")
    width = params["text_proj"]["kernel"].shape[0]
    hidden = w.take(f"{HEAD}0.weight", None, width)
    w.put("grammar_hidden/kernel", hidden.T)
    w.put("grammar_out/kernel", w.take(f"{HEAD}2.weight", 2, len(hidden)).T)
    params |= w.finish()
  if "batch_stats" in found:
    found["batch_stats"] = {"encoder": found["batch_stats"]}
  return found


def read(path: Path, vocabulary: Vocabulary) -> dict:
  """Variables from a folder of the hub, or from a file of weights with its merges beside it.

  Raises:
    WeightsError: one of both cannot be read, or they do not belong together.
  """
  folder = path if path.is_dir() else path.parent
  merges = next((folder / name for name in MERGES if (folder / name).is_file()), None)
  if not path.exists():
    raise WeightsError(f"{path}: no such file or folder")
  if merges is None:
    raise WeightsError(
        f"{folder} has no {MERGES[0]} and no {MERGES[1]}: put the merges of CLIP's tokenizer there"
    )
  variables = convert(read_state(path) if path.is_dir() else read_arrays(path))
  try:
    tokenizer = Tokenizer(merges)
  except ValueError as e:
    raise WeightsError(str(e)) from e
  known = len(variables["params"]["textual"]["words"]["embedding"])
  if tokenizer.end + 1 != known:
    raise WeightsError(f"{merges}: makes {tokenizer.end + 1} pieces, {path} knows {known}; give the"
                       " merges that belong to it")  # fmt: skip
  return variables | {"constants": {"pieces": pieces_of(vocabulary, tokenizer)}}


def pieces_of(vocabulary: Vocabulary, tokenizer: Tokenizer) -> Int[np.ndarray, "W P"]:
  """Pieces of each word of the vocabulary, specials having none, and of the words of `PROMPT`.

  `<unk>` is read as `unk`, as the code of Cho et al. has it.
  """
  words = [word if word != UNKNOWN else "unk" for word in vocabulary.words]
  numbers: list[list[int]] = [[] for _ in SPECIALS]
  numbers += [tokenizer.encode(w) for w in (*words, *PROMPT.split())]
  table = np.full((len(numbers), max(map(len, numbers))), NOTHING, np.int32)
  for row, pieces in zip(table, numbers):
    row[: len(pieces)] = pieces
  return table


def load(path: Path, vocabulary: Vocabulary, target: Any) -> dict:
  """Variables of the shapes of `target`, whose head for grammar stays where `path` has none.

  Raises:
    WeightsError: see `read`; or a word has more pieces than there is room for.
  """
  variables = read(path, vocabulary)
  for name in HEADS:
    variables["params"].setdefault(name, target.params[name])
  table, room = variables["constants"]["pieces"], target.model_state["constants"]["pieces"].shape[1]
  if table.shape[1] > room:
    raise WeightsError(
        f"a word has {table.shape[1]} pieces: set config.model.pieces to {table.shape[1]} or more")
  more = [(0, 0), (0, room - table.shape[1])]
  variables["constants"]["pieces"] = np.pad(table, more, constant_values=NOTHING)
  return variables


def model_of(variables: dict, *, prompt: bool) -> WordClip:
  """The network whose variables `read` returned: their shapes tell all its sizes."""
  params = variables["params"]
  textual = params["textual"] | {"project": params["text_proj"]}
  both = {"params": {"visual": params["encoder"]["visual"], "textual": textual}}
  sizes = clip.model_of(both)
  rows, pieces = variables["constants"]["pieces"].shape
  return WordClip(
      vocabulary_size=rows - PROMPT_WORDS,
      features=sizes.features,
      picture_size=clip.resolution_of(both),
      image_width=sizes.image_width,
      image_layers=sizes.image_layers,
      patch=sizes.patch,
      text_words=sizes.vocabulary_size,
      text_width=sizes.text_width,
      text_layers=sizes.text_layers,
      text_length=len(params["textual"]["positions"]),
      pieces=pieces,
      prompt=prompt,
  )
