"""A folder of the hub in our hands and in those of the transformers package, layer by layer."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.convert import hub
from mmjax.convert.hub.folder import HubError
from mmjax.tasks.hub import Task

SIZES = ((61, 83), (120, 47))  # of the made-up pictures
TOKENS = 7
BEAMS = 4


def outputs(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
  """(name, ours, theirs) of pictures, layers of both parts, logits, and texts found.

  The pictures and the texts that are read are random, the weights those of the folder.

  Raises:
    HubError: the folder cannot be read, or transformers and PyTorch are not installed.
  """
  described = hub.read(folder)
  theirs = _Theirs(folder)
  variables = described.variables()
  draw = np.random.default_rng(0)
  pictures = [_picture(draw, *size) for size in SIZES]
  vocabulary = described.vocabulary
  tokens = draw.integers(len(vocabulary) // 2, len(vocabulary), (len(pictures), TOKENS))
  tokens[:, 0] = vocabulary.generation.start[0]

  p = described.preprocessing
  images = np.stack([p.picture(x) for x in pictures])
  given = theirs.inputs(pictures)
  if "pixel_values" in given:
    ours = (images * np.float64(p.scale) - np.array(p.mean)) / np.array(p.std)
    yield "pixels", ours.astype(np.float32), given["pixel_values"].transpose(0, 2, 3, 1)
  else:
    patches = described.model.apply({}, images, method="standardised")
    yield "patches", np.asarray(patches), given["flattened_patches"]

  if hasattr(described.model, "prompt"):  # it reads cells, then what it is asked
    given["input_ids"] = theirs.question(described.model, variables, images)
  logits, layers = _layers(described.model, variables, images, tokens[:, None])
  their_logits, their_layers = theirs.layers(given, tokens)
  if len(layers) != len(their_layers):
    raise HubError(f"{len(layers)} layers here, {len(their_layers)} there: not comparable")
  for (name, x), y in zip(layers, their_layers):
    yield name, x.reshape(y.shape), y
  yield "logits", logits[:, 0], their_logits[:, -TOKENS:]

  for beams in (1, BEAMS):
    rules = dataclasses.replace(vocabulary.generation, beam=beams)
    found = _search(described, variables, images, rules)
    their_ids = theirs.generate(given, beams)
    texts = [[*map(int, row)] for row in their_ids]
    cut = [_words(row[len(rules.start) :], rules) for row in texts]
    width = max(map(len, [*found, *cut]))
    padded = lambda rows, width=width: np.array([r + [-1] * (width - len(r)) for r in rows])
    yield ("greedy" if beams == 1 else f"{beams} beams"), padded(found), padded(cut)


def _picture(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
  """Blocks of colour, so that resizing has something to smooth."""
  blocks = draw.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
  return np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width])


def _words(row: list[int], rules: Any) -> list[int]:
  ends = [i for i, n in enumerate(row) if n in rules.stop]
  return row[: ends[0]] if ends else row


def _search(described: hub.Hub, variables: Any, images: np.ndarray, rules: Any) -> list[list[int]]:
  words = dataclasses.replace(described.vocabulary, generation=rules)
  task = Task(described.model, words)
  batch = {
      "image": jnp.asarray(images),
      "size": jnp.tile(jnp.array(images.shape[1:3]), (len(images), 1)),
      "real": jnp.ones(len(images), bool),
  }
  found = jax.device_get(task.predict(variables, batch))
  prompt = list(rules.prompt[len(rules.start) :])
  return [
      prompt + [int(n) for n in tokens[0, : lengths[0]]]
      for tokens, lengths in zip(found.tokens, found.lengths)
  ]


def _layers(
    model: Any, variables: Any, images: np.ndarray, tokens: np.ndarray
) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
  """Logits, and what comes out of each layer, the encoder's first."""
  chosen = lambda module, method: (
      method == "__call__" and bool(re.fullmatch(r"blocks(_\d+)+", module.name or ""))
  )
  run = jax.jit(
      lambda v, x, t: model.apply(
          v, x, jnp.ones(x.shape[:3], bool), t, capture_intermediates=chosen,
          mutable=["intermediates"],
      )
  )  # fmt: skip
  logits, seen = jax.device_get(run(variables, images, tokens))
  out = []
  for part in ("encoder", "reader", "decoder"):
    found = seen["intermediates"].get(part, {})
    for name in sorted(found, key=lambda n: [int(i) for i in re.findall(r"\d+", n)]):
      # A layer that sees cells and then words in one sequence was called twice.
      out.append((f"{part} {name}", np.concatenate(found[name]["__call__"], axis=2)
                  if len(found[name]["__call__"]) > 1 else found[name]["__call__"][0]))  # fmt: skip
  return logits, out


class _Theirs:
  """The folder's model and processor in the transformers package."""

  def __init__(self, folder: Path):
    try:
      import torch
      import transformers
    except ModuleNotFoundError as e:
      raise HubError(
          f"{e}: to compare a folder, install what it is compared with, best in an environment of"
          " its own: pip install torch transformers"
      ) from e
    self._torch = torch
    name = (hub.files.read_config(folder).get("architectures") or [""])[0]
    if not hasattr(transformers, name):
      raise HubError(f"{folder}/config.json names the architecture {name!r}: transformers has none")
    self.model = getattr(transformers, name).from_pretrained(folder).eval().float()
    said = hub.files.read_preprocessor(folder)
    kind = said.get("image_processor_type") or said["feature_extractor_type"]
    kind = kind.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    self._processor = getattr(transformers, kind).from_pretrained(folder)

  def inputs(self, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the model is given: pixels, or patches and which of them there are."""
    from PIL import Image

    images = [Image.fromarray(p) for p in pictures]
    made = self._processor(images, return_tensors="np")
    kinds = ("pixel_values", "flattened_patches", "attention_mask")
    return {name: np.asarray(made[name]) for name in kinds if name in made}

  def question(self, model: Any, variables: Any, images: np.ndarray) -> np.ndarray:
    """Tokens that a model that is asked reads: one for each cell, and the question."""
    valid = np.ones(images.shape[:3], bool)
    memory = jax.eval_shape(lambda v, x: model.apply(v, x, valid, method="encode"),
                            variables, images)  # fmt: skip
    cells = memory.features.shape[1] - len(model.prompt)
    row = [self.model.config.image_token_id] * cells + list(model.prompt)
    return np.tile(np.array(row, np.int64), (len(images), 1))

  def layers(
      self, pictures: dict[str, np.ndarray], tokens: np.ndarray
  ) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits, and what comes out of each layer: the encoder is run first."""
    seen: list[np.ndarray] = []
    names = {
        name: module
        for name, module in self.model.named_modules()
        if re.search(r"\.(layers?|h|blocks)(\.\d+)+(\.(spatial|channel)_block)?$", name)
    }
    innermost = [
        module for name, module in names.items() if not any(n.startswith(name + ".") for n in names)
    ]

    def keep(_, __, out):
      array = (out[0] if isinstance(out, tuple) else out).numpy()
      seen.append(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array)  # channels last

    hooks = [module.register_forward_hook(keep) for module in innermost]
    apart = hasattr(self.model, "encoder") or "input_ids" in pictures
    name = "decoder_input_ids" if apart else "input_ids"
    given = {name: self._torch.from_numpy(tokens.astype(np.int64))}
    with self._torch.no_grad():
      out = self.model(**self._tensors(pictures), **given)
    for hook in hooks:
      hook.remove()
    return out.logits.numpy(), seen

  def generate(self, pictures: dict[str, np.ndarray], beams: int) -> np.ndarray:
    with self._torch.no_grad():
      found = self.model.generate(**self._tensors(pictures), num_beams=beams, do_sample=False)
    return found.numpy()

  def _tensors(self, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: self._torch.from_numpy(array) for name, array in pictures.items()}
